import assert from 'node:assert/strict';
import type { Clock } from '../../runtime/index.ts';
import { advance } from './control-steps.ts';
import { type ControlFact, migration } from './control-store-subject.ts';

/** A change of state must be everywhere within this time (DESIGN: < 1 s). */
const watchMs = 1_000;

async function until(clock: Clock, ms: number, what: string, done: () => boolean): Promise<void> {
  const end = clock.monotonic() + ms;
  while (!done()) {
    if (clock.monotonic() > end) assert.fail(`${what} did not happen within ${ms} ms`);
    await clock.sleep(5);
  }
}

/** What a process that watches the state is told, and when. */
export function watchFacts(fact: ControlFact): void {
  fact(
    'a watcher is told the present state, then each newest one in < 1 s',
    async (stores, clock) => {
      const seen: number[] = [];
      const stop = stores.second.watch(
        migration,
        (state) => seen.push(state.version),
        (error) => assert.fail(String(error)),
      );
      await until(clock, watchMs, 'the first state', () => seen.length === 1);
      for (let round = 0; round < 5; round++) {
        const { version } = await advance(stores.first);
        await until(clock, watchMs, `version ${version}`, () => seen.at(-1) === version);
      }
      stop();
      await advance(stores.first);
      await clock.sleep(400);
      assert.deepEqual(
        seen,
        [...new Set(seen)].sort((a, b) => a - b),
        'never backwards, never twice',
      );
      assert.equal(seen.at(-1), 6, 'nothing after the end of the watch');
    },
  );

  fact('several watchers of a busy state all end at the newest', async (stores, clock) => {
    const watchers = Array.from({ length: 6 }, () => [] as number[]);
    const stops = watchers.map((seen, index) =>
      (index % 2 === 0 ? stores.first : stores.second).watch(
        migration,
        (state) => seen.push(state.version),
        (error) => assert.fail(String(error)),
      ),
    );
    let last = 0;
    for (let round = 0; round < 40; round++) {
      last = (await advance(round % 2 === 0 ? stores.first : stores.second)).version;
    }
    await until(clock, watchMs, 'the newest state everywhere', () =>
      watchers.every((seen) => seen.at(-1) === last),
    );
    for (const seen of watchers)
      assert.deepEqual(
        seen,
        [...seen].sort((a, b) => a - b),
      );
    for (const stop of stops) {
      stop();
      stop();
    }
  });

  fact('close ends watching, and may be called twice', async ({ first, second }, clock) => {
    const seen: number[] = [];
    second.watch(
      migration,
      (state) => seen.push(state.version),
      (error) => assert.fail(String(error)),
    );
    await until(clock, watchMs, 'the first state', () => seen.length === 1);
    await second.close();
    await second.close();
    await advance(first);
    await clock.sleep(400);
    assert.deepEqual(seen, [1]);
    await assert.rejects(second.load(migration), /CLOSED/);
  });
}
