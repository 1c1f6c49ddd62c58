import assert from 'node:assert/strict';
import { ChangeoverError } from '../../errors/index.ts';
import { compareVersions, type DataRecord, type Version } from '../../record/index.ts';
import { systemRandom, systemRuntime } from '../../runtime/index.ts';
import type { MigrationStore, Written } from '../../store/index.ts';
import { item, order } from './conformance-shapes.ts';
import {
  failsWith,
  gate,
  look,
  ordered,
  settlesWithin,
  timeoutMs,
  write,
} from './conformance-steps.ts';
import type { Fact } from './conformance-subject.ts';

const queued = async (store: MigrationStore): Promise<number> =>
  (await store.queue.depth()).waiting;

const newer = (a: Version | null | undefined, b: Version | null | undefined): boolean =>
  Boolean(a && b && compareVersions(a, b) > 0);

/** Writes by the application to the authority, versions, re-reads. */
export function writeFacts(fact: Fact): void {
  writeActions(fact);
  journalFacts(fact);
  versionFacts(fact);
  rereadFacts(fact);
}

function writeActions(fact: Fact): void {
  fact(
    'a check sees the present record under its lock, and a throw leaves it alone',
    async ({ source }) => {
      const seen: unknown[] = [];
      const refuse = (current: unknown): void => {
        seen.push(current);
        throw new ChangeoverError('STATE_CHANGED', 'It is another one.');
      };
      const record = { id: 'k', name: 'one', note: null };
      const put = (check: (current: DataRecord | null) => void) =>
        write(source, 'items', ['k'], record, { check });
      await failsWith('STATE_CHANGED', put(refuse));
      await put((current) => seen.push(current));
      await failsWith('STATE_CHANGED', put(refuse));
      const remove = (check: (current: DataRecord | null) => void) =>
        write(source, 'items', ['k'], {}, { action: 'delete', check });
      await failsWith('STATE_CHANGED', remove(refuse));
      assert.deepEqual(seen, [null, null, record, record]);
      assert.deepEqual(await look(source, 'items', ['k']), record);
      assert.equal(await queued(source), 1);
      await remove(() => {});
      assert.equal(await look(source, 'items', ['k']), null);
    },
  );

  fact('a put inserts, then updates, and leaves what is not given', async ({ source }) => {
    const first = await write(source, 'items', ['k'], { id: 'k', name: 'one', note: 'kept' });
    assert.deepEqual(first.key, ['k']);
    assert.deepEqual(first.record, { id: 'k', name: 'one', note: 'kept' });
    const second = await write(source, 'items', ['k'], { id: 'k', name: 'two' });
    assert.deepEqual(second.record, { id: 'k', name: 'two', note: 'kept' });
    assert.deepEqual(await look(source, 'items', ['k']), second.record);
    const third = await write(source, 'items', ['k'], { id: 'k', name: null });
    assert.deepEqual(third.record, { id: 'k', name: null, note: 'kept' });
    const bare = await write(source, 'items', ['bare'], { id: 'bare' });
    assert.deepEqual(bare.record, { id: 'bare', name: null, note: null });
  });

  fact('an update changes a record that exists and nothing else', async ({ source }) => {
    const options = { action: 'update' } as const;
    const nothing = await write(source, 'items', ['k'], item('k'), options);
    assert.deepEqual(nothing, { key: ['k'], record: null, version: null, journalId: null });
    assert.equal(await look(source, 'items', ['k']), null);
    assert.equal(await queued(source), 0);
    await write(source, 'items', ['k'], item('k'));
    const changed = await write(source, 'items', ['k'], { id: 'k', name: 'new' }, options);
    assert.deepEqual(changed.record, item('k', 'new'));
  });

  fact('a delete takes the children along; of nothing it is nothing', async ({ source }) => {
    const key = ['t', '1'];
    await write(source, 'orders', key, order(key, ['1:pen'], ['x:gift']));
    const gone = await write(source, 'orders', key, {}, { action: 'delete' });
    assert.equal(gone.record, null);
    assert.ok(gone.version && gone.journalId !== null);
    assert.equal(await look(source, 'orders', key), null);
    const again = await write(source, 'orders', key, {}, { action: 'delete' });
    assert.deepEqual(again, { key, record: null, version: null, journalId: null });
    await write(source, 'orders', key, { tenant: 't', number: '1', customer: 'c' });
    const bare = { tenant: 't', number: '1', customer: 'c', lines: [], tags: [] };
    assert.deepEqual(await look(source, 'orders', key), bare);
  });

  fact('children that are given replace the set, others stay', async ({ source }) => {
    const key = ['t', '1'];
    const before = order(key, ['1:pen', '2:ink'], ['x:gift']);
    await write(source, 'orders', key, before);
    const after = order(key, ['2:red ink', '3:cap'], ['x:gift']);
    const { tags: _tags, ...withoutTags } = after;
    const written = await write(source, 'orders', key, withoutTags);
    assert.deepEqual(written.record && ordered(written.record), ordered(after));
    assert.deepEqual(await look(source, 'orders', key), ordered(after));
  });

  fact('a write that was routed by another epoch is refused', async ({ source, target }) => {
    for (const epoch of [0, 2])
      await failsWith('AUTHORITY_FENCED', write(source, 'items', ['k'], item('k'), { epoch }));
    await failsWith('AUTHORITY_FENCED', write(target, 'items', ['k'], item('k')));
    assert.equal(await look(source, 'items', ['k']), null);
    assert.equal(await queued(source), 0);
  });
}

function journalFacts(fact: Fact): void {
  fact('the journal entry commits with the write', async ({ source, sourceAgain }) => {
    let seen: Written | undefined;
    const beforeCommit = async (written: Written): Promise<void> => {
      seen = written;
      assert.equal(await queued(sourceAgain), 0);
      assert.equal(await look(sourceAgain, 'items', ['k']), null);
    };
    const written = await write(source, 'items', ['k'], item('k'), { beforeCommit });
    assert.deepEqual(seen, written);
    const [entry] = await sourceAgain.queue.claim(10, 'someone', 1_000);
    assert.equal(entry?.id, written.journalId);
    assert.equal(entry?.kind, 'change');
    assert.deepEqual([entry?.collection, entry?.key], ['items', ['k']]);
  });

  fact('neither write nor journal entry survive a throw before the commit', async ({ source }) => {
    const beforeCommit = (): Promise<void> => Promise.reject(new Error('the follower is down'));
    const attempt = write(source, 'items', ['k'], item('k'), { beforeCommit });
    await assert.rejects(attempt, /the follower is down/);
    assert.equal(await look(source, 'items', ['k']), null);
    assert.equal(await queued(source), 0);
    await write(source, 'items', ['k'], item('k'));
  });

  fact('without a follower nothing is journalled', async ({ source }) => {
    const idle = { role: 'idle', epoch: 1, attempt: null } as const;
    await source.guard.change(await source.guard.read(), idle, timeoutMs);
    const written = await write(source, 'items', ['k'], item('k'), { journal: 'none' });
    assert.equal(written.version, null);
    assert.equal(written.journalId, null);
    assert.deepEqual(written.record, item('k'));
    assert.equal(await queued(source), 0);
  });

  fact('a store that has a follower refuses unjournalled writes', async ({ source }) => {
    const unjournalled = write(source, 'items', ['k'], item('k'), { journal: 'none' });
    await failsWith('AUTHORITY_FENCED', unjournalled);
    assert.equal(await look(source, 'items', ['k']), null);
  });

  fact('a grace hides the journal entry from queue workers', async ({ source }) => {
    const written = await write(source, 'items', ['k'], item('k'), { graceMs: 60_000 });
    assert.deepEqual(await source.queue.claim(10, 'worker', 1_000), []);
    assert.equal(await queued(source), 1);
    await source.queue.complete([written.journalId ?? 0n]);
    assert.equal(await queued(source), 0);
  });

  fact('an intent is consumed exactly once, with the write', async ({ source }) => {
    const intent = async (): Promise<bigint> => {
      const entry = { collection: 'items', key: ['k'], kind: 'intent', graceMs: 60_000 } as const;
      return (await source.queue.enqueue([entry]))[0] ?? 0n;
    };
    const first = await intent();
    const thrown = write(source, 'items', ['k'], item('k'), {
      journal: { intent: first },
      beforeCommit: () => Promise.reject(new Error('no')),
    });
    await assert.rejects(thrown, /no/);
    const written = await write(source, 'items', ['k'], item('k'), { journal: { intent: first } });
    assert.ok(written.version);
    const twice = write(source, 'items', ['k'], item('k', 'twice'), { journal: { intent: first } });
    await failsWith('STORE_CONFLICT', twice);
    assert.deepEqual(await look(source, 'items', ['k']), item('k'));
    assert.notEqual(await intent(), first);
  });

  fact('an intent that a healer has claimed fails its owner', async ({ source, sourceAgain }) => {
    const entry = { collection: 'items', key: ['k'], kind: 'intent', graceMs: 0 } as const;
    const [intent = 0n] = await source.queue.enqueue([entry]);
    const claimed = await sourceAgain.queue.claim(10, 'healer', 60_000);
    assert.deepEqual(
      claimed.map(({ id, kind }) => [id, kind]),
      [[intent, 'intent']],
    );
    await failsWith(
      'STORE_CONFLICT',
      write(source, 'items', ['k'], item('k'), { journal: { intent } }),
    );
    assert.equal(await look(source, 'items', ['k']), null);
  });
}

function versionFacts(fact: Fact): void {
  fact(
    'versions of a key rise in commit order, whoever writes',
    async ({ source, sourceAgain }) => {
      const keys = ['k1', 'k2', 'k3'];
      const last = new Map<string, { version: Version; name: string }>();
      const one = async (index: number): Promise<void> => {
        const id = keys[index % keys.length] ?? '';
        const name = `write ${index}`;
        const store = systemRandom.next() < 0.5 ? source : sourceAgain;
        const beforeCommit = (): Promise<void> =>
          systemRuntime.clock.sleep(systemRandom.next() * 4);
        const { version } = await write(store, 'items', [id], item(id, name), { beforeCommit });
        assert.ok(version);
        if (newer(version, last.get(id)?.version) || !last.has(id)) last.set(id, { version, name });
      };
      await Promise.all(Array.from({ length: 60 }, (_, index) => one(index)));
      for (const id of keys)
        assert.deepEqual(await look(source, 'items', [id]), item(id, last.get(id)?.name));
    },
  );

  fact('versions rise through delete and insert', async ({ source }) => {
    const first = await write(source, 'items', ['k'], item('k'));
    const gone = await write(source, 'items', ['k'], {}, { action: 'delete' });
    const again = await write(source, 'items', ['k'], item('k'));
    assert.ok(newer(gone.version, first.version) && newer(again.version, gone.version));
  });
}

function rereadFacts(fact: Fact): void {
  fact('a re-read is newer than what it saw and older than what follows', async ({ source }) => {
    const before = await write(source, 'items', ['k'], item('k'));
    const [seen, absent] = await source.records.reread('items', [['k'], ['nobody']], 1);
    const after = await write(source, 'items', ['k'], item('k', 'later'));
    assert.equal(seen?.state, 'read');
    assert.deepEqual(seen?.record, item('k'));
    assert.ok(newer(seen?.version, before.version) && newer(after.version, seen?.version));
    assert.equal(absent?.state, 'read');
    assert.equal(absent?.record, null);
    const born = await write(source, 'items', ['nobody'], item('nobody'));
    assert.ok(newer(born.version, absent?.version));
  });

  fact('a sealed store is re-read still: it has to be drained', async ({ source }) => {
    await write(source, 'items', ['k'], item('k'));
    const authority = { role: 'authority', epoch: 1, attempt: null } as const;
    const sealed = { role: 'sealed', epoch: 1, attempt: 'attempt-1' } as const;
    assert.equal(await source.guard.change(authority, sealed, 5_000), true);
    const [seen] = await source.records.reread('items', [['k']], 1);
    assert.deepEqual(seen?.record, item('k'));
    await failsWith('AUTHORITY_FENCED', source.records.reread('items', [['k']], 2));
    const follower = { role: 'follower', epoch: 2, attempt: null } as const;
    assert.equal(await source.guard.change(sealed, follower, 5_000), true);
    await failsWith('AUTHORITY_FENCED', source.records.reread('items', [['k']], 2));
  });

  fact('a re-read brings the children', async ({ source }) => {
    const key = ['t', '1'];
    await write(source, 'orders', key, order(key, ['1:pen'], ['x:gift']));
    const [seen] = await source.records.reread('orders', [key], 1);
    assert.deepEqual(seen?.record, order(key, ['1:pen'], ['x:gift']));
  });

  fact('a re-read does not wait for a writer: the key is busy', async ({ source, sourceAgain }) => {
    await write(source, 'items', ['k'], item('k'));
    const held = gate();
    const entered = gate();
    const writing = write(source, 'items', ['k'], item('k', 'new'), {
      beforeCommit: () => {
        entered.open();
        return held.passed;
      },
    });
    await entered.passed;
    const rereading = sourceAgain.records.reread('items', [['k'], ['free']], 1);
    const free = await settlesWithin(3_000, rereading);
    held.open();
    const states = (await rereading).map(({ state }) => state);
    await writing;
    assert.ok(free, 'the re-read waited');
    assert.deepEqual(states, ['busy', 'read']);
    const [after] = await sourceAgain.records.reread('items', [['k']], 1);
    assert.deepEqual([after?.state, after?.record], ['read', item('k', 'new')]);
  });

  fact('a re-read by another epoch is refused', async ({ source, target }) => {
    await failsWith('AUTHORITY_FENCED', source.records.reread('items', [['k']], 2));
    await failsWith('AUTHORITY_FENCED', target.records.reread('items', [['k']], 1));
  });
}
