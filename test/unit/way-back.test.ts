import { beforeEach, expect, test } from 'vitest';
import { workerSuffix } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { defaultCutoverLimits, wayBack } from '../../src/cutover/index.ts';
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

test('the way back is ready when the queue drains in the time that a rollback waits', async () => {
  const back = await backAt(10, 3_000);
  expect(back.obstacles).toEqual([]);
  expect(back.ready).toBe(true);
  expect(back.ms).toBeGreaterThanOrEqual(2_000);
});

test('and not when it takes longer', async () => {
  const { ready, ms, obstacles } = await backAt(10, 1_000);
  expect([ready, ms]).toEqual([false, null]);
  expect(obstacles[0]?.reason).toMatch(
    /^30 changes wait .* at 10 a second .* 10 in 2 s; .* waits 1 s/,
  );
});

test('and not when nobody knows how long', async () => {
  const { ready, obstacles } = await backAt(null, 30_000);
  expect(ready).toBe(false);
  expect(obstacles[0]?.reason).toContain('not known yet');
  expect((await backAt(null, 30_000, 100)).ready).toBe(true);
});

test('a drill says so, too', async () => {
  const cutover = { waitingMax: 10, drainTimeoutMs: 1_000 };
  const { ok, arrivalMs, checks } = await createController(context, { cutover }).drill(by);
  expect([ok, arrivalMs]).toEqual([false, null]);
  expect(checks).toContainEqual(expect.objectContaining({ check: 'drain', verdict: 'fail' }));
});
