import assert from 'node:assert/strict';
import { instance } from './control-steps.ts';
import { type ControlFact, migration } from './control-store-subject.ts';

/** Who lives, by one clock, and what it has acknowledged. */
export function fleetFacts(fact: ControlFact): void {
  fact('a heartbeat never lowers what was acknowledged', async ({ first, second }) => {
    await first.fleet.heartbeat(migration, instance('a', 7), 10_000);
    await second.fleet.heartbeat(migration, instance('a', 3), 10_000);
    const { instances } = await first.fleet.list(migration);
    assert.deepEqual(
      instances.map(({ id, kind, label, acknowledgedVersion }) => ({
        id,
        kind,
        label,
        acknowledgedVersion,
      })),
      [instance('a', 7)],
    );
  });

  fact('leases are given and judged by one clock', async ({ first, second }, clock) => {
    await first.fleet.heartbeat(migration, instance('a', 1), 300);
    await second.fleet.heartbeat(migration, instance('b', 1), 60_000);
    const before = await first.fleet.list(migration);
    const [a, b] = before.instances;
    assert(a && b);
    assert.equal(a.leaseUntilMs - a.lastSeenMs, 300);
    assert.equal(b.leaseUntilMs - b.lastSeenMs, 60_000);
    assert(a.lastSeenMs <= before.nowMs && before.nowMs - a.lastSeenMs < 5_000);
    await clock.sleep(400);
    const after = await second.fleet.list(migration);
    assert(after.nowMs - before.nowMs >= 350, 'the clock goes on');
    assert(after.nowMs > (after.instances[0]?.leaseUntilMs ?? 0), 'a has expired');
    assert(after.nowMs < (after.instances[1]?.leaseUntilMs ?? 0), 'b has not');
    await first.fleet.heartbeat(migration, instance('a', 1), 60_000);
    const renewed = await second.fleet.list(migration);
    assert((renewed.instances[0]?.leaseUntilMs ?? 0) > renewed.nowMs, 'a came back');
  });

  fact(
    'what a worker tells of its work comes back, the newest; others tell nothing',
    async ({ first, second }) => {
      const report = {
        side: 'target' as const,
        changesPerSecond: 480,
        keysPerSecond: null,
        logLagMs: null,
        appliedAgoMs: 12,
        lastError: 'STORE_REJECTED: „no“',
        failedAgoMs: 40_000,
      };
      const worker = { ...instance('w', 1), kind: 'worker' as const };
      await first.fleet.heartbeat(migration, instance('a', 1), 1_000);
      await first.fleet.heartbeat(migration, { ...worker, report }, 1_000);
      const newest = { ...report, lastError: null, failedAgoMs: null };
      await first.fleet.heartbeat(migration, { ...worker, report: newest }, 1_000);
      const { instances } = await second.fleet.list(migration);
      assert.deepEqual(
        instances.map((one) => [one.id, one.report ?? null]),
        [
          ['a', null],
          ['w', newest],
        ],
      );
    },
  );

  fact('a removed instance is gone, removing it again is no error', async ({ first, second }) => {
    await first.fleet.heartbeat(migration, instance('a', 1), 1_000);
    await second.fleet.remove(migration, 'a');
    await second.fleet.remove(migration, 'a');
    assert.deepEqual((await first.fleet.list(migration)).instances, []);
  });
}
