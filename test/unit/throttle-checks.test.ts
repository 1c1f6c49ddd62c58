import { describe, expect, test } from 'vitest';
import { createStandbyLag } from '../../src/adapters/postgres/postgres-standby-lag.ts';
import {
  connectionsCheck,
  createThrottle,
  queryCheck,
  replicationLagCheck,
  type ThrottleCheck,
} from '../../src/backfill/index.ts';
import { defineMigration, type OptionsInput, throttleChecksOf } from '../../src/config/index.ts';
import { systemClock, systemRuntime } from '../../src/runtime/index.ts';
import type { StoreConnector, StorePressure } from '../../src/store/index.ts';
import { itemsCollection, memoryFixture } from '../support/engine-fixture.ts';

const answers = (...values: readonly unknown[]) => {
  let at = 0;
  return async (): Promise<never> => {
    const value = values[Math.min(at++, values.length - 1)];
    if (value instanceof Error) throw value;
    return value as never;
  };
};
const ok = { ok: true };

describe('a check', () => {
  test('of connections holds above its limit, not at it', async () => {
    const check = connectionsCheck('source connections', answers(5, 6, 5), 5);
    expect(await check.ask()).toEqual(ok);
    expect(await check.ask()).toEqual({
      reason: 'source connections: 6 run a statement, more than 5',
    });
    expect(await check.ask()).toEqual(ok);
  });

  test('of replication lag holds above its limit, and where there is no standby', async () => {
    const check = replicationLagCheck('target replication lag', answers(0, 1_500.4, null), 1_000);
    expect(await check.ask()).toEqual(ok);
    expect(await check.ask()).toEqual({
      reason: 'target replication lag 1500 ms is above 1000 ms',
    });
    expect(await check.ask()).toEqual({
      reason: 'target replication lag cannot be read: there is no standby',
    });
  });

  test('of a query holds for true and for a number above the limit', async () => {
    const check = queryCheck('source throttle query', answers(true, false, 11, 10, -1), 10);
    expect(await check.ask()).toEqual({ reason: 'source throttle query answers true' });
    expect(await check.ask()).toEqual(ok);
    expect(await check.ask()).toEqual({
      reason: 'source throttle query answers 11, more than 10',
    });
    expect(await check.ask()).toEqual(ok);
    expect(await check.ask()).toEqual(ok);
  });

  const failing: readonly (readonly [string, ThrottleCheck])[] = [
    ['connections', connectionsCheck('it', answers(new Error('hidden')), 5)],
    ['replication lag', replicationLagCheck('it', answers(new Error('hidden')), 5)],
    ['a query', queryCheck('it', answers(new Error('hidden')), 5)],
    ['connections that are no number', connectionsCheck('it', answers(Number.NaN), 5)],
    ['a lag that is no number', replicationLagCheck('it', answers(Number.NaN), 5)],
    ['a query that answers no number', queryCheck('it', answers(Number.NaN), 5)],
  ];
  test.each(failing)('of %s that cannot be read throttles with that reason', async (_, check) => {
    const throttle = createThrottle(systemClock, { checks: [check], pollMs: 5 });
    let polls = 0;
    const scope = { signal: new AbortController().signal, stopped: () => (polls += 1) > 3 };
    expect(await throttle.acquire(1, scope)).toBe(false);
    expect(throttle.reason()).toMatch(/^it cannot be read: (hidden|no measurement)$/);
  });
});

describe('the lag of standbys', () => {
  const at = (replayed: bigint, measuredMs: number | null = null) => [{ replayed, measuredMs }];

  test('is null without any, 0 when all are level, whatever the server measured before', () => {
    const lag = createStandbyLag();
    expect(lag.observe(0, 100n, [])).toBeNull();
    expect(lag.observe(1, 100n, at(100n, 9_000))).toBe(0);
  });

  test('grows while a standby stands still and the server has no measurement', () => {
    const lag = createStandbyLag();
    expect(lag.observe(0, 100n, at(100n))).toBe(0);
    expect(lag.observe(1_000, 150n, at(100n))).toBe(0);
    expect(lag.observe(3_000, 200n, at(100n))).toBe(2_000);
    expect(lag.observe(4_000, 200n, at(100n))).toBe(3_000);
    // It has replayed what was seen at 1 000, not what was seen at 3 000.
    expect(lag.observe(5_000, 250n, at(150n))).toBe(2_000);
    expect(lag.observe(6_000, 250n, at(250n))).toBe(0);
    expect(lag.observe(7_000, 300n, at(250n))).toBe(0);
  });

  test('is that of the slowest, and not less than the server measures', () => {
    const lag = createStandbyLag();
    lag.observe(0, 100n, at(50n));
    const two = [
      { replayed: 100n, measuredMs: 7_000 },
      { replayed: 50n, measuredMs: 10 },
    ];
    expect(lag.observe(500, 200n, two)).toBe(7_000);
    expect(lag.observe(9_000, 200n, two)).toBe(9_000);
  });

  test('begins anew when another server answers whose positions are lower', () => {
    const lag = createStandbyLag();
    lag.observe(0, 1_000n, at(900n));
    expect(lag.observe(60_000, 500n, at(400n))).toBe(0);
  });

  test('remembers a bounded number of positions and keeps the oldest', () => {
    const lag = createStandbyLag();
    let seen: number | null = 0;
    for (let turn = 0; turn <= 20_000; turn++)
      seen = lag.observe(turn * 100, BigInt(1_000 + turn), at(999n));
    expect(seen).toBe(2_000_000);
  });
});

describe('the checks of a configuration', () => {
  const store: StoreConnector = {
    engine: 'none',
    display: 'none:',
    connect: () => Promise.reject(new Error('not here')),
  };
  const checksOf = async (
    backfill: NonNullable<OptionsInput['backfill']>,
    pressure?: StorePressure,
  ): Promise<readonly ThrottleCheck[]> => {
    const { options } = defineMigration({
      name: 'shop',
      source: store,
      target: store,
      collections: { items: {} },
      backfill: { queueAgeMs: 0, ...backfill },
    });
    const fixture = await memoryFixture(itemsCollection());
    const { source, target } = fixture.context.stores;
    await fixture.close();
    const { pressure: _own, ...bare } = target;
    const stores = { source, target: pressure ? { ...bare, pressure } : bare };
    return throttleChecksOf(options, {
      stores,
      runtime: systemRuntime,
      migration: fixture.context.migration,
    });
  };

  test('are none by default', async () => {
    expect(await checksOf({})).toEqual([]);
  });

  test('ask each store for what is limited, with a deadline, and for nothing else', async () => {
    const asked: unknown[] = [];
    const pressure: StorePressure = {
      activeConnections: async (ms) => asked.push(['connections', ms]),
      replicationLagMs: async (ms) => asked.push(['lag', ms]),
      measure: async (query, ms) => asked.push([query, ms]),
    };
    const some = await checksOf({ targetThrottleQuery: 'SELECT 7' }, pressure);
    expect(some.map(({ name }) => name)).toEqual(['target throttle query']);
    const all = await checksOf(
      {
        targetReplicationLagMs: 10,
        targetConnectionsMax: 10,
        targetThrottleQuery: 'SELECT 7',
        targetThrottleQueryMax: 2.5,
      },
      pressure,
    );
    for (const check of all) await check.ask();
    expect(asked).toEqual([
      ['lag', 1_000],
      ['connections', 1_000],
      ['SELECT 7', 1_000],
    ]);
    expect(await all[2]?.ask()).toHaveProperty('reason');
  });

  test('can be answered by a memory database as far as it knows', async () => {
    const [check] = await checksOf({ sourceConnectionsMax: 1 });
    expect(await check?.ask()).toEqual(ok);
  });

  test('throw, and so hold, where a store cannot tell', async () => {
    const checks = await checksOf({
      sourceReplicationLagMs: 10,
      targetConnectionsMax: 10,
      targetThrottleQuery: 'SELECT 7',
    });
    expect(checks).toHaveLength(3);
    for (const check of checks)
      await expect(check.ask()).rejects.toThrow('a memory store does not tell it');
  });
});
