import assert from 'node:assert/strict';
import type { Change, DataRecord, Key } from '../../record/index.ts';
import { systemRandom, systemRuntime } from '../../runtime/index.ts';
import type { MigrationStore } from '../../store/index.ts';
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
} from './conformance-steps.ts';
import type { ConformanceSubject, LogFact } from './conformance-subject.ts';
import { at, enter, logDoorOf, madeUp } from './log-steps.ts';

const k = ['k'];
const change = (
  sequence: number,
  value: DataRecord | null,
  key: Key = k,
  collection = 'items',
): Change => ({ collection, key, version: version(sequence), value, origin: 'log' });

const begin = (store: MigrationStore, sequence = 0) =>
  logDoorOf(store).begin(madeUp, { ...at(sequence), position: at(sequence).position });

/** What the door lets in out of a log, and that the checkpoint commits with it. */
export function logDoorFacts(fact: LogFact, subject: ConformanceSubject): void {
  checkpointFacts(fact, subject);
  fenceFacts(fact);
  partFacts(fact);
  chunkFacts(fact);
}

function checkpointFacts(fact: LogFact, subject: ConformanceSubject): void {
  fact('a stream begins once and stays where it is', async ({ target, targetAgain }) => {
    const door = logDoorOf(target);
    assert.equal(await door.checkpoint(madeUp), null);
    assert.deepEqual(await begin(target, 7), at(7));
    assert.deepEqual(await begin(targetAgain, 9), at(7));
    assert.deepEqual(await logDoorOf(targetAgain).checkpoint(madeUp), at(7));
    assert.equal(await door.checkpoint('changeover_conformance_s_2'), null);
  });

  fact('a stream of another log is refused', async ({ target }) => {
    await begin(target, 7);
    const other = { identity: 'log two', position: at(1).position };
    await failsWith('LOG_LOST', logDoorOf(target).begin(madeUp, other));
    assert.deepEqual(await logDoorOf(target).checkpoint(madeUp), at(7));
  });

  fact('a forgotten stream is unknown, and may begin again', async ({ target }) => {
    await begin(target, 7);
    await logDoorOf(target).forget(madeUp);
    await logDoorOf(target).forget(madeUp);
    assert.equal(await logDoorOf(target).checkpoint(madeUp), null);
    assert.deepEqual(await begin(target, 3), at(3));
  });

  fact(
    'over nothing a checkpoint moves also where the store is no follower',
    async ({ target }) => {
      await begin(target, 7);
      const follower = await target.guard.read();
      await target.guard.change(follower, { ...follower, role: 'idle' }, 1_000);
      const door = logDoorOf(target);
      await door.move(madeUp, at(7), at(9));
      await failsWith('CHECKPOINT_MOVED', door.move(madeUp, at(7), at(10)));
      await failsWith('CHECKPOINT_MOVED', door.move('changeover_nobody_s_1', at(7), at(10)));
      assert.deepEqual(await door.checkpoint(madeUp), at(9));
    },
  );

  fact('rows, fence and checkpoint commit together', async ({ target, targetAgain }) => {
    await begin(target);
    assert.deepEqual(await enter(target, at(0), at(5, 2), [change(5, item('k'))]), {
      applied: 1,
      stale: 0,
      durable: true,
    });
    assert.deepEqual(await look(targetAgain, 'items', k), item('k'));
    assert.deepEqual(await targetAgain.door.fences('items', [k]), [version(5)]);
    assert.deepEqual(await logDoorOf(targetAgain).checkpoint(madeUp), at(5, 2));
  });

  fact('a checkpoint may move without changes', async ({ target }) => {
    await begin(target);
    assert.deepEqual(await enter(target, at(0), at(9), []), {
      applied: 0,
      stale: 0,
      durable: true,
    });
    assert.deepEqual(await logDoorOf(target).checkpoint(madeUp), at(9));
  });

  fact(
    'a refused change leaves neither rows nor fences nor another checkpoint',
    async ({ target }) => {
      await begin(target);
      const bad = [change(5, item('a'), ['a']), change(5, item('b', 'forbidden'), ['b'])];
      await failsWith('STORE_REJECTED', enter(target, at(0), at(5), bad));
      assert.deepEqual(await logDoorOf(target).checkpoint(madeUp), at(0));
      assert.equal(await look(target, 'items', ['a']), null);
      assert.deepEqual(await target.door.fences('items', [['a'], ['b']]), [null, null]);
    },
    subject.refusesForbidden,
  );

  fact('another epoch or role is shut out, and nothing moves', async ({ target }) => {
    await begin(target);
    const batch = { stream: madeUp, from: at(0), to: at(5), changes: [change(5, item('k'))] };
    const door = logDoorOf(target);
    await failsWith('DOOR_SHUT', door.apply(batch, { epoch: 2, timeoutMs }));
    const from = await target.guard.read();
    await target.guard.change(from, { ...from, role: 'sealed' }, timeoutMs);
    await failsWith('DOOR_SHUT', door.apply(batch, firstEpoch));
    assert.deepEqual(await door.checkpoint(madeUp), at(0));
    assert.equal(await look(target, 'items', k), null);
  });

  fact('a batch from anywhere but the checkpoint is refused whole', async ({ target }) => {
    await begin(target);
    await enter(target, at(0), at(5, 1), [change(5, item('k', 'five'))]);
    const late = [change(6, item('k', 'six'))];
    for (const from of [at(0), at(5), at(5, 2), at(6), at(5, 1, 'log two')])
      await failsWith('CHECKPOINT_MOVED', enter(target, from, at(6), late));
    await logDoorOf(target).forget(madeUp);
    await failsWith('CHECKPOINT_MOVED', enter(target, at(5, 1), at(6), late));
    assert.deepEqual(await look(target, 'items', k), item('k', 'five'));
    assert.deepEqual(await target.door.fences('items', [k]), [version(5)]);
  });

  fact('of several that apply the same part one gets in', async ({ target, targetAgain }) => {
    await begin(target);
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.allSettled(
        [target, targetAgain, target, targetAgain].map((store, index) =>
          enter(store, at(round), at(round + 1), [change(round + 1, item('k', `by ${index}`))]),
        ),
      );
      const entered = outcomes.flatMap(({ status }, index) =>
        status === 'fulfilled' ? [index] : [],
      );
      assert.equal(entered.length, 1, `round ${round}`);
      assert.deepEqual(await look(target, 'items', k), item('k', `by ${entered[0]}`));
    }
  });

  fact('what is discarded leaves nothing', async ({ target }) => {
    await begin(target);
    const batch = { stream: madeUp, from: at(0), to: at(5), changes: [change(5, item('k'))] };
    await logDoorOf(target).apply(batch, { ...firstEpoch, discard: true });
    assert.deepEqual(await logDoorOf(target).checkpoint(madeUp), at(0));
    assert.equal(await look(target, 'items', k), null);
  });
}

function fenceFacts(fact: LogFact): void {
  fact('older than the fence does not get in, and is counted', async ({ target }) => {
    await begin(target);
    await send(target, 'items', k, version(5), item('k', 'five'), 'retry');
    const both = [change(4, item('k', 'four')), change(4, item('a'), ['a'])];
    assert.deepEqual(await enter(target, at(0), at(4), both), {
      applied: 1,
      stale: 1,
      durable: true,
    });
    assert.deepEqual(await look(target, 'items', k), item('k', 'five'));
    assert.deepEqual(await look(target, 'items', ['a']), item('a'));
    assert.deepEqual(await target.door.fences('items', [k]), [version(5)]);
  });

  fact('a stale re-read does not get in behind the log', async ({ target }) => {
    await begin(target);
    await enter(target, at(0), at(5), [change(5, item('k', 'five'))]);
    for (const origin of ['retry', 'repair', 'live', 'outbox'] as const)
      assert.equal(await send(target, 'items', k, version(4), item('k', 'old'), origin), 'stale');
    assert.equal(await send(target, 'items', k, version(5), item('k', 'same'), 'retry'), 'stale');
    await enter(target, at(5), at(6), [change(6, null)]);
    assert.equal(await send(target, 'items', k, version(5), item('k', 'dead'), 'repair'), 'stale');
    assert.equal(await look(target, 'items', k), null);
  });

  fact('deleted and inserted again, it is there', async ({ target }) => {
    await begin(target);
    await enter(target, at(0), at(1), [change(1, item('k', 'one'))]);
    await enter(target, at(1), at(2), [change(2, null)]);
    assert.equal(await look(target, 'items', k), null);
    await enter(target, at(2), at(3), [change(3, item('k', 'three'))]);
    assert.deepEqual(await look(target, 'items', k), item('k', 'three'));
    assert.deepEqual(await enter(target, at(3), at(4), [change(2, null)]), {
      applied: 0,
      stale: 1,
      durable: true,
    });
    assert.deepEqual(await look(target, 'items', k), item('k', 'three'));
  });

  fact('a later epoch is newer than any position of an earlier log', async ({ target }) => {
    await begin(target);
    await send(target, 'items', k, version(1_000), item('k', 'before'));
    const now = { ...change(1, item('k', 'now')), version: version(1, 2) };
    await enter(target, at(0), at(1), [now]);
    assert.deepEqual(await look(target, 'items', k), item('k', 'now'));
  });

  fact('positions beyond 2^53 are told apart', async ({ target }) => {
    await begin(target);
    const big = 9_007_199_254_740_993n;
    const to = { ...at(0), position: { sequence: big, text: 'far' } };
    const one = (sequence: bigint, name: string): Change => {
      return { ...change(0, item('k', name)), version: { epoch: 1, sequence } };
    };
    await enter(target, at(0), to, [one(big, 'big')]);
    assert.deepEqual(await logDoorOf(target).checkpoint(madeUp), to);
    await enter(target, to, { ...to, skip: 1 }, [one(big - 1n, 'less')]);
    assert.deepEqual(await look(target, 'items', k), item('k', 'big'));
  });

  fact('aggregates are written whole, and deleted whole', async ({ target }) => {
    await begin(target);
    const [key, other] = [
      ['t', '1'],
      ['t', '2'],
    ];
    const first = order(key, ['1:pen', '2:ink'], ['x:gift']);
    const put = (sequence: number, of: Key, value: DataRecord | null) =>
      change(sequence, value, of, 'orders');
    await enter(target, at(0), at(1), [
      put(1, key, first),
      put(1, other, order(other, ['1:mine'], ['m:mine'])),
    ]);
    assert.deepEqual(await look(target, 'orders', key), ordered(first));
    const second = order(key, ['2:red ink', '3:cap'], []);
    await enter(target, at(1), at(2), [put(2, key, second), change(2, item('k'))]);
    assert.deepEqual(await look(target, 'orders', key), ordered(second));
    await enter(target, at(2), at(3), [put(3, key, null)]);
    assert.equal(await look(target, 'orders', key), null);
    await enter(target, at(3), at(4), [put(4, key, order(key, []))]);
    assert.deepEqual(await look(target, 'orders', key), order(key, []));
    const left = order(other, ['1:mine'], ['m:mine']);
    assert.deepEqual(await look(target, 'orders', other), ordered(left));
  });

  fact('a batch may be larger than the door takes at once', async ({ target }) => {
    await begin(target);
    const many = target.capabilities.batchMax * 2 + 17;
    const ids = Array.from({ length: many }, (_, index) => `k${index}`);
    const puts = ids.map((id) => change(5, item(id), [id]));
    assert.deepEqual(await enter(target, at(0), at(5), puts), {
      applied: many,
      stale: 0,
      durable: true,
    });
    assert.equal(await target.setup.countUpTo('items', many + 1), many);
    const mixed = ids.map((id, index) =>
      change(6, index % 2 === 0 ? null : item(id, 'again'), [id]),
    );
    assert.deepEqual(await enter(target, at(5), at(6), mixed), {
      applied: many,
      stale: 0,
      durable: true,
    });
    assert.equal(await target.setup.countUpTo('items', many + 1), Math.floor(many / 2));
    assert.deepEqual(await look(target, 'items', ['k1']), item('k1', 'again'));
  });
}

/** A large transaction comes in parts with one version. */
function partFacts(fact: LogFact): void {
  fact('a key that two parts of one transaction change ends as the later one', async (stores) => {
    const { target } = stores;
    await begin(target);
    await enter(target, at(0), at(0, 3), [change(5, item('k', 'first part'))]);
    assert.deepEqual(await enter(target, at(0, 3), at(5), [change(5, item('k', 'second part'))]), {
      applied: 1,
      stale: 0,
      durable: true,
    });
    assert.deepEqual(await look(target, 'items', k), item('k', 'second part'));
    assert.deepEqual(await logDoorOf(target).checkpoint(madeUp), at(5));
  });

  fact('put, deleted and put again in three parts of one transaction', async ({ target }) => {
    await begin(target);
    await enter(target, at(0), at(0, 1), [change(5, item('k', 'one'))]);
    await enter(target, at(0, 1), at(0, 2), [change(5, null)]);
    assert.equal(await look(target, 'items', k), null);
    await enter(target, at(0, 2), at(5), [change(5, item('k', 'three'))]);
    assert.deepEqual(await look(target, 'items', k), item('k', 'three'));
    assert.deepEqual(await target.door.fences('items', [k]), [version(5)]);
  });

  fact('a part does not get in before a newer re-read', async ({ target }) => {
    await begin(target);
    await enter(target, at(0), at(0, 3), [change(5, item('k', 'first part'))]);
    await send(target, 'items', k, version(6), item('k', 'read again'), 'retry');
    await enter(target, at(0, 3), at(5), [change(5, item('k', 'second part'))]);
    assert.deepEqual(await look(target, 'items', k), item('k', 'read again'));
  });
}

/** The races of a log with backfill chunks. */
function chunkFacts(fact: LogFact): void {
  const copies = (...ids: readonly string[]) => ids.map((id) => stored([id], item(id, 'copied')));

  fact('a delete between reading and writing of a chunk stays a delete', async ({ target }) => {
    await begin(target);
    const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
    await enter(target, at(0), at(2), [change(2, null)]);
    assert.deepEqual(await target.door.writeChunk(ticket, copies('k', 'z'), firstEpoch), {
      inserted: 1,
    });
    assert.equal(await look(target, 'items', k), null);
  });

  fact('a chunk that began later waits for the log in front of it', async (stores) => {
    const { target, targetAgain } = stores;
    await begin(target);
    const opened = await target.door.open(
      { collection: 'items', key: k, value: item('k', 'live'), origin: 'live' },
      firstEpoch,
    );
    const waiting = enter(targetAgain, at(0), at(2), [change(2, null)]);
    assert.equal(await settlesWithin(150, waiting), false);
    const beginning = target.door.beginChunk('items', 1, everything, 'worker');
    assert.equal(await settlesWithin(150, beginning), false);
    await opened.commit(version(1));
    assert.deepEqual(await waiting, { applied: 1, stale: 0, durable: true });
    const ticket = await beginning;
    await target.door.writeChunk(ticket, copies('a'), firstEpoch);
    assert.equal(await look(target, 'items', k), null);
    assert.deepEqual(await look(target, 'items', ['a']), item('a', 'copied'));
  });

  fact('a chunk and a log at the same time, in any order, lose nothing', async (stores) => {
    const { target, targetAgain } = stores;
    await begin(target);
    const keys: readonly Key[] = Array.from({ length: 12 }, (_, index) => [
      't',
      `n${String(index).padStart(2, '0')}`,
    ]);
    const copy = (key: Key): DataRecord => order(key, ['1:old', '2:old'], [`${key[1]}:old`]);
    let moved = at(0);
    for (let round = 1; round <= 20; round += 1) {
      const ticket = await target.door.beginChunk('orders', 1, everything, 'worker');
      const copying = async (): Promise<unknown> => {
        await systemRuntime.clock.sleep(systemRandom.next() * 6);
        const records = keys.map((key) => stored(key, copy(key)));
        return target.door.writeChunk(ticket, records, firstEpoch);
      };
      const following = async (): Promise<void> => {
        await systemRuntime.clock.sleep(systemRandom.next() * 6);
        for (const part of [0, 1]) {
          const changes = keys.flatMap((key, index) =>
            index % 3 === part
              ? [
                  change(
                    round * 10 + part,
                    part === 0 ? null : order(key, ['2:new']),
                    key,
                    'orders',
                  ),
                ]
              : [],
          );
          const to = at(round * 10 + part);
          await enter(targetAgain, moved, to, changes);
          moved = to;
        }
      };
      await Promise.all([copying(), following()]);
      for (const [index, key] of keys.entries()) {
        const expected = [null, order(key, ['2:new']), copy(key)][index % 3] ?? null;
        const found = await look(target, 'orders', key);
        assert.deepEqual(found, expected && ordered(expected), `round ${round}, key ${key[1]}`);
      }
      await target.setup.truncate('orders');
    }
  });
}
