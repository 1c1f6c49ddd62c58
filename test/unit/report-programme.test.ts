import { describe, expect, test } from 'vitest';
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { defineMigration } from '../../src/config/index.ts';
import { programmeOf } from '../../src/config/programme-of.ts';
import { recordSamples, sampleBounds, sampleQuantile } from '../../src/control/index.ts';
import { type Programme, programmeStatus } from '../../src/report/index.ts';
import { systemClock, systemRuntime } from '../../src/runtime/index.ts';
import { bring, memoryMigration } from '../support/memory-migration.ts';

const DAY_MS = 86_400_000;
const connector = { engine: 'memory', display: 'memory', connect: async () => Promise.reject() };
const declared = (programme: Parameters<typeof defineMigration>[0]['programme'] = {}): Programme =>
  programmeOf(
    defineMigration({
      name: 'shop',
      source: connector,
      target: connector,
      collections: { items: { source: { table: 'items', key: ['id'] } } },
      control: memoryControl(),
      programme,
    }).options,
  );
const isoDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** A migration in `dual-write` since now, looked at so many days later. */
async function afterDays(days: number) {
  const opened = await memoryMigration().open('one');
  await bring(opened, 'dual-write');
  const now = () => systemClock.now() + days * DAY_MS;
  return { ...opened, runtime: { ...systemRuntime, clock: { ...systemClock, now } } };
}

describe('a phase', () => {
  test('in which nothing moves is stalled when its days are over, and not before', async () => {
    expect(await programmeStatus(await afterDays(6.9), declared())).toMatchObject({
      verdict: 'fine',
      reasons: [],
    });
    const stalled = await programmeStatus(await afterDays(7.1), declared());
    expect(stalled).toMatchObject({ verdict: 'stalled', lastProgress: { what: 'advance' } });
    expect(stalled.reasons[0]).toMatch(
      /stands in dual-write for 7 days; .* for 7 days \(stalled after 7 days\)/,
    );
  });

  test('has the days that were declared for it', async () => {
    const three = { stalledAfterDays: 3 };
    expect((await programmeStatus(await afterDays(4), declared(three))).verdict).toBe('stalled');
    const own = { stalledAfterDays: { 'dual-write': 30 } };
    expect((await programmeStatus(await afterDays(29), declared(own))).verdict).toBe('fine');
    const never = { stalledAfterDays: 0 };
    expect((await programmeStatus(await afterDays(3_000), declared(never))).verdict).toBe('fine');
    expect(declared(three).stalledAfterDays.retired).toBe(0);
    expect(declared(own).stalledAfterDays.backfill).toBe(7);
  });

  test('in which records are still compared is not stalled, and counts without a comparison do not help', async () => {
    const context = await afterDays(8);
    const minute = Math.floor((context.runtime.clock.now() - DAY_MS) / 60_000);
    const none = {
      collection: 'items',
      detector: 'parity',
      minute,
      compared: 0,
      matched: 0,
      suspect: 0,
      confirmed: 0,
      shed: 9,
      timedOut: 0,
      failed: 0,
    };
    await context.control.evidence.add('shop', [none]);
    expect((await programmeStatus(context, declared())).verdict).toBe('stalled');
    await context.control.evidence.add('shop', [{ ...none, compared: 1, matched: 1, shed: 0 }]);
    expect(await programmeStatus(context, declared())).toMatchObject({
      verdict: 'fine',
      lastProgress: { what: 'comparison', atMs: minute * 60_000 },
    });
  });

  test('in which rows are still copied is not stalled', async () => {
    const context = await afterDays(8);
    const measuredAtMs = context.runtime.clock.now() - 1_000;
    await context.control.saveCheckpoint('shop', {
      collection: 'items',
      generation: 1,
      frozenLast: null,
      doneUntil: null,
      nextChunk: 1,
      rowsRead: 1,
      rowsInserted: 1,
      rowsDead: 0,
      estimatedRows: 2,
      startedAtMs: 5,
      finishedAtMs: null,
      growth: { perSecond: 0, waiting: 0, measuredAtMs },
    });
    expect(await programmeStatus(context, declared())).toMatchObject({
      verdict: 'fine',
      lastProgress: { what: 'backfill', atMs: measuredAtMs },
    });
  });
});

describe('a kill date', () => {
  test('is far, near, today and over, and over goes before stalled', async () => {
    const context = await afterDays(0);
    const at = (days: number) => declared({ killDate: isoDay(systemClock.now() + days * DAY_MS) });
    expect(await programmeStatus(context, at(8))).toMatchObject({
      verdict: 'fine',
      killDate: { daysLeft: 8 },
    });
    expect(await programmeStatus(context, at(7))).toMatchObject({
      verdict: 'near',
      reasons: [expect.stringContaining('in 7 days')],
    });
    expect((await programmeStatus(context, at(0))).reasons).toEqual([
      expect.stringMatching(/is today/),
    ]);
    expect(await programmeStatus(context, at(-1))).toMatchObject({
      verdict: 'overdue',
      reasons: [expect.stringContaining('passed 1 day ago')],
    });
    const late = await programmeStatus(await afterDays(20), at(3));
    expect([late.verdict, late.reasons.length]).toEqual(['overdue', 2]);
  });

  test('of a migration that has not begun is nobody’s concern', async () => {
    const opened = await memoryMigration().open('one');
    expect(
      await programmeStatus(opened, declared({ killDate: '2020-01-01', costPerDay: 5 })),
    ).toMatchObject({
      verdict: 'fine',
      cost: null,
      lastProgress: null,
    });
  });
});

test('what it has cost is counted from its first start', async () => {
  const { cost } = await programmeStatus(
    await afterDays(10),
    declared({ costPerDay: 1850, currency: 'EUR' }),
  );
  expect(cost).toMatchObject({ days: 10, amount: 18_500, currency: 'EUR', perDay: 1850 });
});

test('a point of no return that is a phase or a day is passed or not, one in words is only shown', async () => {
  const context = await afterDays(0);
  const passed = async (pointOfNoReturn: string) =>
    (await programmeStatus(context, declared({ pointOfNoReturn }))).pointOfNoReturn?.passed;
  expect([await passed('dual-write'), await passed('write-switch')]).toEqual([true, false]);
  expect([await passed('2020-01-01'), await passed('2999-01-01')]).toEqual([true, false]);
  expect(await passed('when the old contract ends')).toBeNull();
});

describe('what a process measured', () => {
  test('is in the control store when it ends, by series, side and minute', async () => {
    const context = await memoryMigration().open('one');
    const router = recordSamples(context, 'router');
    const worker = recordSamples(context, 'worker');
    const read = {
      type: 'read',
      collection: 'items',
      servedBy: 'source',
      why: 'authority',
      outcome: 'ok',
    } as const;
    for (const ms of [1, 2, 3, 100]) context.events.emit({ ...read, ms });
    context.events.emit({ ...read, outcome: 'failed', ms: 9_000 });
    context.events.emit({ type: 'queue', side: 'source', waiting: 7, dead: 1, oldestMs: 250 });
    await Promise.all([router.close(), worker.close()]);
    context.events.emit({ ...read, ms: 5 });
    await router.close();
    const rows = await context.control.samples.since('shop', 0);
    expect(rows.map(({ series, side, count, high }) => [series, side, count, high])).toEqual([
      ['dead', 'source', 1, 1],
      ['oldest', 'source', 1, 250_000],
      ['read', 'source', 4, 100_000],
      ['waiting', 'source', 1, 7],
    ]);
    const reads = rows.find(({ series }) => series === 'read');
    expect(reads && sampleQuantile(reads, 0.5)).toBe(2_000);
    expect(reads && sampleQuantile(reads, 0.99)).toBe(100_000);
  });

  test('is forgotten, and harms nobody, when the control store is away', async () => {
    const opened = await memoryMigration().open('one');
    const samples = { ...opened.control.samples, add: () => Promise.reject(new Error('away')) };
    const recorder = recordSamples(
      { ...opened, control: { ...opened.control, samples } },
      'worker',
    );
    opened.events.emit({ type: 'queue', side: 'source', waiting: 7, dead: 1, oldestMs: 250 });
    await expect(recorder.close()).resolves.toBeUndefined();
  });

  test('lies in buckets whose limits grow by the root of two', () => {
    expect([sampleBounds.length, sampleBounds[0], sampleBounds[2], sampleBounds.at(-1)]).toEqual([
      31, 250, 500, 8_192_000,
    ]);
  });
});
