import assert from 'node:assert/strict';
import type { Key } from '../../record/index.ts';
import { systemRandom, systemRuntime } from '../../runtime/index.ts';
import { item, order } from './conformance-shapes.ts';
import {
  everything,
  failsWith,
  firstEpoch,
  look,
  ordered,
  send,
  settlesWithin,
  stored,
  timeoutMs,
  version,
  write,
} from './conformance-steps.ts';
import type { ConformanceSubject, Fact } from './conformance-subject.ts';
import { pruneFacts } from './prune-facts.ts';

const k = ['k'];
const items = (...ids: readonly string[]) => ids.map((id) => stored([id], item(id, 'copied')));

/** Backfill chunks: what they write, who owns them, and every race with live changes. */
export function chunkFacts(fact: Fact, subject: ConformanceSubject): void {
  writeFacts(fact, subject);
  ownershipFacts(fact);
  raceFacts(fact);
  pruneFacts(fact);
  copyFacts(fact, subject);
}

function writeFacts(fact: Fact, subject: ConformanceSubject): void {
  fact('a chunk inserts what is absent and unfenced, and sets no fence', async ({ target }) => {
    await send(target, 'items', ['live'], version(1), item('live', 'live'));
    await send(target, 'items', ['gone'], version(2), item('gone'));
    await send(target, 'items', ['gone'], version(3), null);
    const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
    const written = await target.door.writeChunk(ticket, items('gone', 'live', 'new'), firstEpoch);
    assert.deepEqual(written, { inserted: 1 });
    assert.deepEqual(await look(target, 'items', ['new']), item('new', 'copied'));
    assert.deepEqual(await look(target, 'items', ['live']), item('live', 'live'));
    assert.equal(await look(target, 'items', ['gone']), null);
    assert.deepEqual(await target.door.fences('items', [['new']]), [null]);
    assert.equal(await send(target, 'items', ['new'], version(1), item('new', 'live')), 'applied');
  });

  fact('a chunk does not touch a record that is present without a fence', async ({ target }) => {
    const first = await target.door.beginChunk('items', 1, everything, 'worker');
    assert.deepEqual(await target.door.writeChunk(first, items('a', 'b'), firstEpoch), {
      inserted: 2,
    });
    const again = await target.door.beginChunk('items', 1, everything, 'worker');
    const other = [stored(['b'], item('b', 'other')), stored(['c'], item('c', 'other'))];
    assert.deepEqual(await target.door.writeChunk(again, other, firstEpoch), { inserted: 1 });
    assert.deepEqual(await look(target, 'items', ['b']), item('b', 'copied'));
  });

  fact('an empty chunk and a null bound are chunks as well', async ({ target }) => {
    const range = { after: ['m'], until: null };
    const ticket = await target.door.beginChunk('items', 7, range, 'worker');
    assert.deepEqual(
      [ticket.collection, ticket.chunk, ticket.range, ticket.owner],
      ['items', 7, range, 'worker'],
    );
    assert.deepEqual(await target.door.writeChunk(ticket, [], firstEpoch), { inserted: 0 });
  });

  fact('children are written only for the roots that a chunk inserts', async ({ target }) => {
    const [here, gone, free] = [
      ['t', '1'],
      ['t', '2'],
      ['t', '3'],
    ];
    await send(target, 'orders', here, version(1), order(here, ['1:live']));
    await send(target, 'orders', gone, version(2), null);
    const records = [here, gone, free].map((key) =>
      stored(key, order(key, ['1:old', '2:old'], [`${key[1]}:old`])),
    );
    const ticket = await target.door.beginChunk('orders', 1, everything, 'worker');
    assert.deepEqual(await target.door.writeChunk(ticket, records, firstEpoch), { inserted: 1 });
    assert.deepEqual(await look(target, 'orders', here), order(here, ['1:live']));
    assert.equal(await look(target, 'orders', gone), null);
    assert.deepEqual(
      await look(target, 'orders', free),
      ordered(order(free, ['1:old', '2:old'], ['3:old'])),
    );
    await send(target, 'orders', gone, version(3), order(gone, []));
    assert.deepEqual(await look(target, 'orders', gone), order(gone, []));
  });

  fact('a discarded chunk leaves nothing', async ({ target }) => {
    const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
    const context = { ...firstEpoch, discard: true };
    assert.deepEqual(await target.door.writeChunk(ticket, items('a'), context), { inserted: 1 });
    assert.equal(await look(target, 'items', ['a']), null);
  });

  fact(
    'a refused record rolls the whole chunk back and the chunk may be written again',
    async ({ target }) => {
      const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
      const bad = [...items('a'), stored(['b'], item('b', 'forbidden'))];
      await failsWith('STORE_REJECTED', target.door.writeChunk(ticket, bad, firstEpoch));
      assert.equal(await look(target, 'items', ['a']), null);
      assert.deepEqual(await target.door.writeChunk(ticket, items('a'), firstEpoch), {
        inserted: 1,
      });
    },
    subject.refusesForbidden,
  );
}

function ownershipFacts(fact: Fact): void {
  fact(
    'a chunk that another worker began again is lost to the first',
    async ({ target, targetAgain }) => {
      const first = await target.door.beginChunk('items', 1, everything, 'one');
      const second = await targetAgain.door.beginChunk('items', 1, everything, 'two');
      await failsWith('CHUNK_LOST', target.door.writeChunk(first, items('a'), firstEpoch));
      assert.equal(await look(target, 'items', ['a']), null);
      await target.door.abandonChunk(first);
      assert.deepEqual(await targetAgain.door.writeChunk(second, items('b'), firstEpoch), {
        inserted: 1,
      });
    },
  );

  fact('the same owner beginning again is a new attempt', async ({ target }) => {
    const first = await target.door.beginChunk('items', 1, everything, 'one');
    const second = await target.door.beginChunk('items', 1, everything, 'one');
    assert.notEqual(first.attempt, second.attempt);
    await failsWith('CHUNK_LOST', target.door.writeChunk(first, items('a'), firstEpoch));
    await target.door.writeChunk(second, items('a'), firstEpoch);
    await failsWith('CHUNK_LOST', target.door.writeChunk(second, items('b'), firstEpoch));
  });

  fact('an abandoned chunk cannot be written, abandoning twice is once', async ({ target }) => {
    const ticket = await target.door.beginChunk('items', 1, everything, 'one');
    await target.door.abandonChunk(ticket);
    await target.door.abandonChunk(ticket);
    await failsWith('CHUNK_LOST', target.door.writeChunk(ticket, items('a'), firstEpoch));
    const again = await target.door.beginChunk('items', 1, everything, 'one');
    assert.deepEqual(await target.door.writeChunk(again, items('a'), firstEpoch), { inserted: 1 });
  });

  fact('a chunk is shut out by another epoch or role', async ({ target }) => {
    const ticket = await target.door.beginChunk('items', 1, everything, 'one');
    const late = { epoch: 2, timeoutMs };
    await failsWith('DOOR_SHUT', target.door.writeChunk(ticket, items('a'), late));
    const from = await target.guard.read();
    await target.guard.change(from, { ...from, role: 'sealed' }, timeoutMs);
    await failsWith('DOOR_SHUT', target.door.writeChunk(ticket, items('a'), firstEpoch));
    assert.equal(await look(target, 'items', ['a']), null);
  });
}

function raceFacts(fact: Fact): void {
  fact(
    'beginning a chunk waits for the door transactions before it',
    async ({ target, targetAgain }) => {
      const opened = await target.door.open(
        { collection: 'items', key: k, value: item('k'), origin: 'live' },
        firstEpoch,
      );
      const beginning = targetAgain.door.beginChunk('items', 1, everything, 'worker');
      assert.equal(await settlesWithin(150, beginning), false);
      await opened.commit(version(1));
      const ticket = await beginning;
      assert.deepEqual(await targetAgain.door.writeChunk(ticket, items('k'), firstEpoch), {
        inserted: 0,
      });
    },
  );

  fact('a delete between reading and writing of a chunk stays a delete', async ({ target }) => {
    for (const origin of ['live', 'repair', 'retry'] as const) {
      const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
      await send(target, 'items', k, version(2), null, origin);
      await target.door.writeChunk(ticket, items('k'), firstEpoch);
      assert.equal(await look(target, 'items', k), null);
      await target.door.pruneFences(version(9));
    }
  });

  fact(
    'a chunk waits for an open delete of a record it has read',
    async ({ target, targetAgain }) => {
      const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
      const opened = await target.door.open(
        { collection: 'items', key: k, value: null, origin: 'live' },
        firstEpoch,
      );
      const writing = targetAgain.door.writeChunk(ticket, items('a', 'k', 'z'), firstEpoch);
      assert.equal(await settlesWithin(150, writing), false);
      assert.equal(await opened.commit(version(2)), 'applied');
      assert.deepEqual(await writing, { inserted: 2 });
      assert.equal(await look(target, 'items', k), null);
    },
  );

  fact(
    'a delete outside of the range does not hold a chunk up',
    async ({ target, targetAgain }) => {
      const range = { after: ['m'], until: ['p'] };
      const ticket = await target.door.beginChunk('items', 1, range, 'worker');
      const opened = await target.door.open(
        { collection: 'items', key: k, value: null, origin: 'live' },
        firstEpoch,
      );
      const writing = targetAgain.door.writeChunk(ticket, items('n'), firstEpoch);
      assert.equal(await settlesWithin(5_000, writing), true);
      await opened.abort();
      assert.deepEqual(await writing, { inserted: 1 });
    },
  );

  fact('a chunk and live changes at the same time, in any order, lose nothing', async (stores) => {
    const { target, targetAgain } = stores;
    const keys: readonly Key[] = Array.from({ length: 12 }, (_, index) => [
      't',
      `n${String(index).padStart(2, '0')}`,
    ]);
    for (let round = 1; round <= 25; round += 1) {
      const [deleted, updated] = [version(round * 10 + 1), version(round * 10 + 2)];
      const ticket = await target.door.beginChunk('orders', 1, everything, 'worker');
      const copies = keys.map((key) =>
        stored(key, order(key, ['1:old', '2:old'], [`${key[1]}:old`])),
      );
      const copying = async (): Promise<unknown> => {
        await systemRuntime.clock.sleep(systemRandom.next() * 6);
        return target.door.writeChunk(ticket, copies, firstEpoch);
      };
      const changing = keys.map(async (key, index) => {
        await systemRuntime.clock.sleep(systemRandom.next() * 6);
        if (index % 3 === 0) await send(targetAgain, 'orders', key, deleted, null);
        if (index % 3 === 1) await send(targetAgain, 'orders', key, updated, order(key, ['2:new']));
      });
      await Promise.all([copying(), ...changing]);
      for (const [index, key] of keys.entries()) {
        const expected = [
          null,
          order(key, ['2:new']),
          order(key, ['1:old', '2:old'], [`${key[1]}:old`]),
        ][index % 3];
        assert.deepEqual(
          await look(target, 'orders', key),
          expected ?? null,
          `round ${round}, key ${key[1]}`,
        );
      }
      await target.setup.truncate('orders');
    }
  });
}

function copyFacts(fact: Fact, subject: ConformanceSubject): void {
  const copies = subject.capabilities.supportsCopyStream;
  fact(
    'a copied chunk writes what a written one would',
    async ({ source, target }) => {
      for (const id of ['a', 'gone', 'live', 'x', 'z'])
        await write(source, 'items', [id], item(id, 'a\tb\\'));
      await send(target, 'items', ['live'], version(1), item('live', 'live'));
      await send(target, 'items', ['gone'], version(2), null);
      const from = { engine: source.engine, collection: 'items', store: source };
      const range = { after: null, until: ['x'] };
      const ticket = await target.door.beginChunk('items', 1, range, 'worker');
      const copied = await target.door.copyChunk?.(ticket, from, firstEpoch);
      assert.deepEqual(copied, { inserted: 2, rows: 4 });
      const rest = { after: ['x'], until: null };
      const free = await target.door.beginChunk('items', 2, rest, 'worker');
      assert.deepEqual(await target.door.copyChunk?.(free, from, firstEpoch), {
        inserted: 1,
        rows: 1,
      });
      assert.deepEqual(await look(target, 'items', ['a']), item('a', 'a\tb\\'));
      assert.deepEqual(await look(target, 'items', ['z']), item('z', 'a\tb\\'));
      assert.deepEqual(await look(target, 'items', ['live']), item('live', 'live'));
      assert.equal(await look(target, 'items', ['gone']), null);
      await assert.rejects(async () => target.door.copyChunk?.(free, from, firstEpoch));
    },
    copies,
  );
}
