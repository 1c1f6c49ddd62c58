import { expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { createWorkLease } from '../../src/verify/work-lease.ts';
import { verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();

test('a lease that a clock ahead of time has written does not keep the work from everybody', async () => {
  const fixture = await fixtureWith(0);
  const as = (instance: string, aheadMs: number): MigrationContext => {
    const { runtime } = fixture.context;
    const clock = { ...runtime.clock, now: () => 1_000_000 + aheadMs };
    return { ...fixture.context, instance, runtime: { ...runtime, clock } };
  };
  expect(await createWorkLease(as('worker-1', 0), 'parity', 10_000).hold()).toBe(true);
  expect(await createWorkLease(as('worker-2', 5_000), 'parity', 10_000).hold()).toBe(false);
  expect(await createWorkLease(as('worker-3', 3_600_000), 'parity', 10_000).hold()).toBe(true);
  // It dies.
  expect(await createWorkLease(as('worker-2', 20_000), 'parity', 10_000).hold()).toBe(true);
});
