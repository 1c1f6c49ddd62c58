import { beforeEach, expect, test } from 'vitest';
import { workerSuffix } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { defaultCutoverLimits, wayBack } from '../../src/cutover/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { bring, by, memoryMigration } from '../support/memory-migration.ts';
import { switchToTarget, write } from '../support/rescue-rig.ts';

let context: MigrationContext;

beforeEach(async () => {
  context = await memoryMigration().open('operator');
  await bring(context, 'read-switch');
  await switchToTarget(context);
  for (let id = 1; id <= 30; id++) await write(context, 'target', `k${id}`, 'waits');
});

async function backAt(changesPerSecond: number | null, drainTimeoutMs: number, waitingMax = 10) {
  const report = {
    side: 'target' as const,
    changesPerSecond,
    keysPerSecond: null,
    logLagMs: null,
    appliedAgoMs: 0,
    lastError: null,
    failedAgoMs: null,
  };
  const id = `w${workerSuffix}`;
  const worker = { id, kind: 'worker' as const, label: 'w', acknowledgedVersion: 1, report };
  await context.control.fleet.heartbeat('shop', worker, 60_000);
  const limits = { ...defaultCutoverLimits, waitingMax, drainTimeoutMs };
  return wayBack(context, await context.control.load('shop'), limits);
}

/** The queue becomes shorter by so many a second, or longer, for as long as `work` looks at it. */
async function moving(perSecond: number, work: () => ReturnType<typeof backAt>) {
  const { queue } = context.stores.target;
  let next = 100;
  let goesOn = true;
  const mover = (async () => {
    while (goesOn) {
      await systemRuntime.clock.sleep(1_000 / Math.abs(perSecond));
      if (perSecond < 0) await write(context, 'target', `k${next++}`, 'comes');
      else {
        const [entry] = (await queue.entries?.(null, 1)) ?? [];
        if (entry) await queue.complete([entry.id]);
      }
    }
  })();
  const back = await work();
  goesOn = false;
  await mover;
  return back;
}

test('the way back is ready when the queue drains in the time that a rollback waits', async () => {
  const back = await moving(20, () => backAt(10, 3_000));
  expect(back.obstacles).toEqual([]);
  expect(back.ready).toBe(true);
  expect(back.ms).toBeGreaterThanOrEqual(200);
});

test('and not when it takes longer', async () => {
  const { ready, ms, obstacles } = await moving(10, () => backAt(10, 1_000));
  expect([ready, ms]).toEqual([false, null]);
  expect(obstacles[0]?.reason).toMatch(
    /^2\d changes wait .* at \d+ fewer a second .* 10 in [23] s; .* waits 1 s/,
  );
});

test('and not when it grows, however much is applied', async () => {
  const { ready, obstacles } = await moving(-20, () => backAt(1_000, 30_000));
  expect(ready).toBe(false);
  expect(obstacles[0]?.reason).toMatch(/they grow by \d+ a second, although 1000 are applied/);
});

test('and not when as much comes as is applied', async () => {
  const { ready, obstacles } = await backAt(500, 30_000);
  expect(ready).toBe(false);
  expect(obstacles[0]?.reason).toContain('do not become fewer, although 500 are applied a second');
  expect((await backAt(null, 30_000, 100)).ready).toBe(true);
});

test('a drill says so, too', async () => {
  const cutover = { waitingMax: 10, drainTimeoutMs: 1_000 };
  const { ok, arrivalMs, checks } = await createController(context, { cutover }).drill(by);
  expect([ok, arrivalMs]).toEqual([false, null]);
  expect(checks).toContainEqual(expect.objectContaining({ check: 'drain', verdict: 'fail' }));
});
