import assert from 'node:assert/strict';
import type { GuardState } from '../../store/index.ts';
import { item } from './conformance-shapes.ts';
import {
  failsWith,
  firstEpoch,
  gate,
  look,
  send,
  settlesWithin,
  timeoutMs,
  version,
  write,
} from './conformance-steps.ts';
import type { ConformanceSubject, Fact } from './conformance-subject.ts';

const k = ['k'];
const authority: GuardState = { role: 'authority', epoch: 1, attempt: null };
const sealed: GuardState = { role: 'sealed', epoch: 1, attempt: 'attempt-1' };

/** Who may write, and the change of that. */
export function guardFacts(fact: Fact, subject: ConformanceSubject): void {
  cellFacts(fact);
  drainFacts(fact);
  foreignFacts(fact, subject);
}

function cellFacts(fact: Fact): void {
  fact('the guard changes by compare-and-set', async ({ source, sourceAgain }) => {
    assert.deepEqual(await source.guard.read(), authority);
    const wrong = { ...authority, epoch: 2 };
    assert.equal(await source.guard.change(wrong, sealed, timeoutMs), false);
    assert.deepEqual(await source.guard.read(), authority);
    assert.equal(await source.guard.change(authority, sealed, timeoutMs), true);
    assert.deepEqual(await sourceAgain.guard.read(), sealed);
    const other = { ...sealed, attempt: 'attempt-2' };
    assert.equal(await sourceAgain.guard.change(authority, other, timeoutMs), false);
    assert.deepEqual(await source.guard.read(), sealed);
  });

  fact('a change that has happened already is true again', async ({ source }) => {
    assert.equal(await source.guard.change(authority, sealed, timeoutMs), true);
    assert.equal(await source.guard.change(authority, sealed, timeoutMs), true);
    assert.deepEqual(await source.guard.read(), sealed);
  });

  fact('of concurrent changes from one state one is made', async ({ source, sourceAgain }) => {
    const to = (attempt: string): GuardState => ({ ...sealed, attempt });
    const made = await Promise.all([
      source.guard.change(authority, to('one'), timeoutMs),
      sourceAgain.guard.change(authority, to('two'), timeoutMs),
    ]);
    assert.equal(made.filter(Boolean).length, 1);
    assert.equal((await source.guard.read()).attempt, made[0] ? 'one' : 'two');
  });

  fact('only the authority of the epoch takes writes', async ({ source }) => {
    const attempt = (epoch: number) => write(source, 'items', k, item('k'), { epoch });
    await source.guard.change(authority, sealed, timeoutMs);
    await failsWith('AUTHORITY_FENCED', attempt(1));
    const follower: GuardState = { role: 'follower', epoch: 2, attempt: null };
    assert.ok(await source.guard.change(sealed, follower, timeoutMs));
    await failsWith('AUTHORITY_FENCED', attempt(1));
    await failsWith('AUTHORITY_FENCED', attempt(2));
    const back: GuardState = { role: 'authority', epoch: 3, attempt: null };
    assert.ok(await source.guard.change(follower, back, timeoutMs));
    await failsWith('AUTHORITY_FENCED', attempt(1));
    assert.equal((await attempt(3)).version?.epoch, 3);
  });

  fact('a store that became follower takes changes of its epoch only', async ({ source }) => {
    const follower: GuardState = { role: 'follower', epoch: 2, attempt: null };
    await source.guard.change(authority, follower, timeoutMs);
    await failsWith('DOOR_SHUT', send(source, 'items', k, version(1), item('k')));
    const change = {
      collection: 'items',
      key: k,
      version: version(1, 2),
      value: item('k'),
      origin: 'live',
    } as const;
    assert.deepEqual(await source.door.apply([change], { epoch: 2, timeoutMs }), ['applied']);
    assert.deepEqual(await look(source, 'items', k), item('k'));
  });
}

function drainFacts(fact: Fact): void {
  fact(
    'a change of role waits for the writes that were let in',
    async ({ source, sourceAgain }) => {
      const [held, entered] = [gate(), gate()];
      const writing = write(source, 'items', k, item('k'), {
        beforeCommit: () => {
          entered.open();
          return held.passed;
        },
      });
      await entered.passed;
      const changing = sourceAgain.guard.change(authority, sealed, timeoutMs);
      const early = await settlesWithin(200, changing);
      held.open();
      await writing;
      assert.equal(await changing, true);
      assert.equal(early, false);
      assert.deepEqual(await look(source, 'items', k), item('k'));
      await failsWith('AUTHORITY_FENCED', write(source, 'items', k, item('k', 'late')));
    },
  );

  fact('a change of role waits for open door transactions', async ({ target, targetAgain }) => {
    const from = await target.guard.read();
    const change = { collection: 'items', key: k, value: item('k'), origin: 'live' } as const;
    const opened = await target.door.open(change, firstEpoch);
    const changing = targetAgain.guard.change(from, { ...from, role: 'sealed' }, timeoutMs);
    assert.equal(await settlesWithin(200, changing), false);
    assert.equal(await opened.commit(version(1)), 'applied');
    assert.equal(await changing, true);
    await failsWith('DOOR_SHUT', send(target, 'items', k, version(2), item('k', 'late')));
  });

  fact(
    'a change that cannot get its lock gives up and nothing has changed',
    async ({ source, sourceAgain }) => {
      const [held, entered] = [gate(), gate()];
      const writing = write(source, 'items', k, item('k'), {
        beforeCommit: () => {
          entered.open();
          return held.passed;
        },
      });
      await entered.passed;
      try {
        await failsWith('STORE_CONFLICT', sourceAgain.guard.change(authority, sealed, 200));
        assert.deepEqual(await sourceAgain.guard.read(), authority);
      } finally {
        held.open();
        await writing;
      }
      await write(source, 'items', k, item('k', 'next'));
    },
  );

  fact('writes go on after a change to the same role', async ({ source }) => {
    const next: GuardState = { role: 'authority', epoch: 1, attempt: 'attempt-1' };
    assert.equal(await source.guard.change(authority, next, timeoutMs), true);
    await write(source, 'items', k, item('k'));
  });
}

function foreignFacts(fact: Fact, subject: ConformanceSubject): void {
  const { supportsGuard } = subject.capabilities;
  fact(
    'the store itself refuses foreign writers while it is not the authority',
    async (stores) => {
      const { source, target } = stores;
      assert.ok(stores.foreignInsert, 'supportsGuard needs foreignInsert');
      await stores.foreignInsert('source', item('before'));
      await source.guard.change(authority, sealed, timeoutMs);
      await assert.rejects(stores.foreignInsert('source', item('sealed')));
      await source.guard.change(sealed, { role: 'follower', epoch: 2, attempt: null }, timeoutMs);
      await assert.rejects(stores.foreignInsert('source', item('follower')));
      const live = {
        collection: 'items',
        key: ['live'],
        version: version(1, 2),
        value: item('live'),
        origin: 'live',
      } as const;
      assert.deepEqual(await source.door.apply([live], { epoch: 2, timeoutMs }), ['applied']);
      const from = await source.guard.read();
      await source.guard.change(from, { role: 'authority', epoch: 3, attempt: null }, timeoutMs);
      await stores.foreignInsert('source', item('after'));
      const found = await source.records.scan('items', { after: null, until: null }, 10);
      assert.deepEqual(
        found.map(({ key }) => key[0]),
        ['after', 'before', 'live'],
      );
      assert.equal((await target.guard.read()).epoch, 1);
    },
    supportsGuard,
  );

  fact(
    'an authority that can still be undone takes own writes of its epoch and no foreign ones',
    async (stores) => {
      const { source } = stores;
      assert.ok(stores.foreignInsert, 'supportsGuard needs foreignInsert');
      const follower: GuardState = { role: 'follower', epoch: 2, attempt: 'attempt-2' };
      assert.ok(await source.guard.change(authority, sealed, timeoutMs));
      assert.ok(await source.guard.change(sealed, follower, timeoutMs));
      const flipped: GuardState = { role: 'authority', epoch: 3, attempt: 'attempt-2' };
      assert.ok(await source.guard.change(follower, flipped, timeoutMs));
      // The attempt has not committed: with its undo this row would be lost, and nobody would know.
      await assert.rejects(stores.foreignInsert('source', item('foreign')));
      await write(source, 'items', ['own'], item('own'), { epoch: 3 });
      await failsWith('AUTHORITY_FENCED', write(source, 'items', k, item('k'), { epoch: 2 }));
      assert.ok(await source.guard.change(flipped, { ...flipped, attempt: null }, timeoutMs));
      await stores.foreignInsert('source', item('foreign'));
    },
    supportsGuard,
  );
}
