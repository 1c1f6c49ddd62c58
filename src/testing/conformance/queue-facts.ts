import assert from 'node:assert/strict';
import type { QueueEntry } from '../../queue/index.ts';
import { systemRuntime } from '../../runtime/index.ts';
import type { MigrationStore } from '../../store/index.ts';
import { item } from './conformance-shapes.ts';
import { write } from './conformance-steps.ts';
import type { Fact } from './conformance-subject.ts';

const entry = (id: string, options: Partial<QueueEntry> = {}): QueueEntry => ({
  collection: 'items',
  key: [id],
  kind: 'change',
  graceMs: 0,
  ...options,
});

/** Ids of what can be claimed now, by a worker that crashes at once when `leaseMs` is 0. */
async function claimed(store: MigrationStore, leaseMs = 60_000, limit = 100): Promise<bigint[]> {
  return (await store.queue.claim(limit, 'worker', leaseMs)).map(({ id }) => id);
}

const sleep = (ms: number): Promise<void> => systemRuntime.clock.sleep(ms);

/** Journal, outbox, retries and dead letters. */
export function queueFacts(fact: Fact): void {
  claimFacts(fact);
  deadFacts(fact);
  snapshotFact(fact);
}

function snapshotFact(fact: Fact): void {
  fact('a snapshot shows the queue of its moment, and up to which number', async ({ source }) => {
    if (!source.snapshots) return;
    const keys = [['a'], ['b'], ['c']];
    const [first = 0n] = await source.queue.enqueue([entry('a')]);
    const [second = 0n, buried = 0n] = await source.queue.enqueue([entry('a'), entry('b')]);
    await source.queue.bury([buried], 'no');
    const snapshot = await source.snapshots.open({
      collections: ['items'],
      placed: false,
      numbered: true,
      openMs: 1_000,
      ageMs: 10_000,
    });
    await source.queue.complete([first, second]);
    const [later = 0n] = await source.queue.enqueue([entry('c')]);
    assert.deepEqual(await snapshot.queued('items', keys), [
      { standing: 'waiting', first, last: second },
      { standing: 'dead', first: buried, last: buried },
      { standing: 'none', first: null, last: null },
    ]);
    const number = snapshot.place?.until ?? -1n;
    assert.ok(number >= buried && number < later, `${number} is not from ${buried} to ${later}`);
    await snapshot.close();
  });
}

function claimFacts(fact: Fact): void {
  fact(
    'entries are claimed oldest first, up to the limit, once',
    async ({ source, sourceAgain }) => {
      const ids = await source.queue.enqueue(['a', 'b', 'c'].map((id) => entry(id)));
      assert.equal(new Set(ids).size, 3);
      assert.deepEqual(await claimed(source, 60_000, 2), ids.slice(0, 2));
      assert.deepEqual(await claimed(sourceAgain), ids.slice(2));
      assert.deepEqual(await claimed(source), []);
      const depth = await source.queue.depth();
      assert.deepEqual([depth.waiting, depth.dead], [3, 0]);
    },
  );

  fact('concurrent claims never take the same entry', async ({ source, sourceAgain }) => {
    const ids = await source.queue.enqueue(
      Array.from({ length: 40 }, (_, index) => entry(`k${index}`)),
    );
    const takes = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        claimed(index % 2 === 0 ? source : sourceAgain, 60_000, 5),
      ),
    );
    const taken = takes.flat();
    assert.equal(new Set(taken).size, taken.length);
    const rest = await claimed(source);
    assert.deepEqual(new Set([...taken, ...rest]), new Set(ids));
  });

  fact('a claim that was not settled comes back when its lease is over', async ({ source }) => {
    const ids = await source.queue.enqueue([entry('a')]);
    assert.deepEqual(await claimed(source, 80), ids);
    assert.deepEqual(await claimed(source), []);
    await sleep(150);
    assert.deepEqual(await claimed(source), ids);
  });

  fact('a claimed entry says what is known of it', async ({ source }) => {
    const before = systemRuntime.clock.now();
    const [id] = await source.queue.enqueue([entry('a', { kind: 'intent' })]);
    const [found] = await source.queue.claim(1, 'worker', 1_000);
    assert.deepEqual(
      {
        id: found?.id,
        collection: found?.collection,
        key: found?.key,
        kind: found?.kind,
        attempts: found?.attempts,
      },
      { id, collection: 'items', key: ['a'], kind: 'intent', attempts: 0 },
    );
    assert.ok(Math.abs((found?.enqueuedAtMs ?? 0) - before) < 60_000);
  });

  fact('completing removes, and completing again is nothing', async ({ source }) => {
    const ids = await source.queue.enqueue([entry('a'), entry('b')]);
    await source.queue.complete(ids);
    await source.queue.complete(ids);
    await source.queue.complete([]);
    assert.deepEqual(await source.queue.depth(), { waiting: 0, dead: 0, oldestMs: 0 });
  });

  fact('a grace and a delay are waited for', async ({ source }) => {
    const ids = await source.queue.enqueue([entry('a', { graceMs: 120 })]);
    assert.deepEqual(await claimed(source), []);
    await sleep(200);
    assert.deepEqual(await claimed(source), ids);
    await source.queue.retryLater(ids, 120, 'busy', false);
    assert.deepEqual(await claimed(source), []);
    await sleep(200);
    assert.deepEqual(await claimed(source), ids);
  });

  fact("only attempts that are somebody's fault are counted", async ({ source }) => {
    const ids = await source.queue.enqueue([entry('a')]);
    for (const counts of [true, false, true]) {
      await source.queue.claim(1, 'worker', 60_000);
      await source.queue.retryLater(ids, 0, 'failed', counts);
    }
    const [found] = await source.queue.claim(1, 'worker', 60_000);
    assert.equal(found?.attempts, 2);
  });

  fact('the depth knows the age of the oldest', async ({ source }) => {
    await source.queue.enqueue([entry('a')]);
    await sleep(60);
    await source.queue.enqueue([entry('b')]);
    const { oldestMs } = await source.queue.depth();
    assert.ok(oldestMs >= 50 && oldestMs < 60_000, `${oldestMs} ms`);
  });
}

function deadFacts(fact: Fact): void {
  fact('a dead letter waits for a person and parks its key', async ({ source }) => {
    const [dead = 0n, other = 0n] = await source.queue.enqueue([entry('a'), entry('b')]);
    await source.queue.bury([dead], 'the target refused it');
    const later = await source.queue.enqueue([entry('a')]);
    assert.deepEqual(await claimed(source), [other]);
    const [letter] = await source.queue.deadLetters(10);
    assert.deepEqual(
      [letter?.id, letter?.key, letter?.reason, letter?.newerWriteExists],
      [dead, ['a'], 'the target refused it', true],
    );
    const depth = await source.queue.depth();
    assert.deepEqual([depth.waiting, depth.dead], [2, 1]);
    assert.equal(await source.queue.resolveDead('redrive', [dead]), 1);
    assert.deepEqual(new Set(await claimed(source)), new Set([dead, ...later]));
  });

  fact(
    'every entry is listed by its id, whoever has it, and however it stands',
    async ({ source }) => {
      const { entries } = source.queue;
      if (!entries) return;
      assert.deepEqual(await entries(null, 10), []);
      const ids = await source.queue.enqueue([entry('a'), entry('b'), entry('a'), entry('c')]);
      const [claimedOne = 0n] = await claimed(source, 60_000, 1);
      await source.queue.bury([ids[1] ?? 0n], 'refused');
      assert.equal(claimedOne, ids[0]);
      const first = await entries(null, 3);
      assert.deepEqual(
        first.map(({ id, key }) => [id, key]),
        [
          [ids[0], ['a']],
          [ids[1], ['b']],
          [ids[2], ['a']],
        ],
      );
      const rest = await entries(first.at(-1)?.id ?? null, 3);
      assert.deepEqual(
        rest.map(({ id }) => id),
        ids.slice(3),
      );
      await source.queue.complete(ids);
      assert.deepEqual(await entries(null, 10), []);
    },
  );

  fact('a redriven letter begins anew, a discarded one is gone', async ({ source }) => {
    const ids = await source.queue.enqueue([entry('a'), entry('b')]);
    await source.queue.claim(10, 'worker', 60_000);
    await source.queue.retryLater(ids, 60_000, 'failed', true);
    await source.queue.bury(ids, 'enough');
    assert.deepEqual((await source.queue.deadLetters(1)).length, 1);
    assert.equal(await source.queue.resolveDead('discard', ids.slice(1)), 1);
    assert.equal(await source.queue.resolveDead('redrive', ids), 1);
    const found = await source.queue.claim(10, 'worker', 60_000);
    assert.deepEqual(
      found.map(({ id, attempts }) => [id, attempts]),
      [[ids[0], 0]],
    );
    assert.deepEqual(await source.queue.deadLetters(10), []);
    assert.equal(await source.queue.resolveDead('discard', ids), 0);
  });

  fact('an entry may be born dead', async ({ source }) => {
    const [id] = await source.queue.enqueue([entry('a', { deadReason: 'the transform threw' })]);
    assert.deepEqual(await claimed(source), []);
    const [letter] = await source.queue.deadLetters(10);
    assert.deepEqual(
      [letter?.id, letter?.reason, letter?.newerWriteExists],
      [id, 'the transform threw', false],
    );
    const written = await write(source, 'items', ['a'], item('a'));
    assert.equal((await source.queue.deadLetters(10))[0]?.newerWriteExists, true);
    assert.deepEqual(await claimed(source), [], 'a dead key parks its later changes');
    await source.queue.resolveDead('discard', [id ?? 0n]);
    assert.deepEqual(await claimed(source), [written.journalId]);
  });
}
