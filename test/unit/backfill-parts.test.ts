import { describe, expect, test } from 'vitest';
import type { BackfillScope } from '../../src/backfill/backfill-scope.ts';
import { createChunkLedger } from '../../src/backfill/chunk-ledger.ts';
import { createChunkSizer } from '../../src/backfill/chunk-size.ts';
import { createGrowthMeter } from '../../src/backfill/growth.ts';
import { progressOf, progressOfCheckpoint } from '../../src/backfill/index.ts';
import type { BackfillCheckpoint } from '../../src/control/index.ts';
import { encodeKey } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

const start = { doneUntil: null, nextChunk: 1, read: 0, inserted: 0, dead: 0 };
const rows = (read: number) => ({ read, inserted: read, dead: 0 });

describe('the chunk ledger', () => {
  test('a chunk that is done behind one that is not does not move the prefix', () => {
    const ledger = createChunkLedger(start);
    ledger.plan(['b'], 'rows');
    ledger.plan(['d'], 'rows');
    const [first, second] = [ledger.take(), ledger.take()];
    ledger.finish(second!, rows(2));
    expect(ledger.prefix()).toMatchObject({ doneUntil: null, nextChunk: 1, read: 0 });
    expect(ledger.totals().read).toBe(2);
    ledger.finish(first!, rows(3));
    expect(ledger.prefix()).toMatchObject({ doneUntil: ['d'], nextChunk: 3, read: 5 });
    expect(ledger.size()).toBe(0);
  });

  test('a split chunk leaves no key between its halves and both must be done', () => {
    const ledger = createChunkLedger(start);
    ledger.plan(['h'], 'rows');
    ledger.plan(['z'], 'rows');
    const chunk = ledger.take()!;
    ledger.split(chunk, ['d']);
    const lower = ledger.take()!;
    const upper = ledger.take()!;
    expect(lower.range).toEqual({ after: null, until: ['d'] });
    expect(upper.range).toEqual({ after: ['d'], until: ['h'] });
    ledger.finish(upper, rows(1));
    expect(ledger.prefix().doneUntil).toBeNull();
    ledger.finish(lower, rows(1));
    expect(ledger.prefix().doneUntil).toEqual(['h']);
    expect(ledger.take()!.range).toEqual({ after: ['h'], until: ['z'] });
  });
});

test('chunk sizes go toward the target time, grow at most twofold, and stay within bounds', () => {
  const sizer = createChunkSizer({ initial: 100, min: 10, max: 5_000 }, 500);
  sizer.observe(100, 1);
  expect(sizer.rows()).toBe(200);
  for (let chunk = 0; chunk < 20; chunk++) sizer.observe(sizer.rows(), sizer.rows() / 2);
  expect(sizer.rows()).toBeGreaterThan(900);
  expect(sizer.rows()).toBeLessThan(1_100);
  sizer.observe(1, 10_000);
  expect(sizer.rows()).toBeGreaterThan(900);
  for (let chunk = 0; chunk < 20; chunk++) sizer.shrink();
  expect(sizer.rows()).toBe(10);
});

const counts = { rowsRead: 1_500, rowsInserted: 1_500, rowsDead: 0, estimatedRows: 3_000 };
const growing = (perSecond: number, waiting = 0) => ({ perSecond, waiting });

describe('progress', () => {
  test('never reaches 100 % before the end, whatever the estimate was', () => {
    const pace = { rowsPerSecond: 100, growth: growing(0) };
    const beyond = { ...counts, estimatedRows: 1_000 };
    const over = progressOf(beyond, pace, false);
    expect(over.estimatedRatio).toBeLessThan(1);
    expect(over.estimatedRemainingMs).toBeNull();
    expect(over.estimatedRows).toBe(1_501);
    expect(progressOf(beyond, pace, true)).toMatchObject({
      estimatedRatio: 1,
      estimatedRows: 1_500,
      estimatedRemainingMs: 0,
      convergencePerSecond: null,
    });
    const unknown = { ...counts, estimatedRows: 0 };
    expect(progressOf(unknown, { rowsPerSecond: null, growth: null }, false)).toMatchObject({
      estimatedRatio: null,
      estimatedRemainingMs: null,
      convergencePerSecond: null,
    });
  });

  test('converges by what is copied less what is new, and ends when rows and waiting changes are through', () => {
    const of = (rowsPerSecond: number, growth: ReturnType<typeof growing>) =>
      progressOf(counts, { rowsPerSecond, growth }, false);
    expect(of(150, growing(0))).toMatchObject({
      estimatedRatio: 0.5,
      convergencePerSecond: 150,
      estimatedRemainingMs: 10_000,
    });
    expect(of(150, growing(50))).toMatchObject({
      growthPerSecond: 50,
      convergencePerSecond: 100,
      estimatedRemainingMs: 15_000,
    });
    // A queue that drains helps; what still waits in it does not.
    expect(of(150, growing(-50, 500))).toMatchObject({
      convergencePerSecond: 200,
      estimatedRemainingMs: 10_000,
    });
  });

  test('has no end when it does not converge, or when that is not known', () => {
    const end = (rowsPerSecond: number | null, growth: ReturnType<typeof growing> | null) =>
      progressOf(counts, { rowsPerSecond, growth }, false);
    expect(end(100, growing(100))).toMatchObject({
      convergencePerSecond: 0,
      estimatedRemainingMs: null,
    });
    expect(end(100, growing(150))).toMatchObject({
      convergencePerSecond: -50,
      estimatedRemainingMs: null,
    });
    for (const unknown of [end(100, null), end(null, growing(1))])
      expect(unknown).toMatchObject({ convergencePerSecond: null, estimatedRemainingMs: null });
  });

  test('of another process forgets a growth that was measured long ago', () => {
    const growth = { perSecond: 50, waiting: 0, measuredAtMs: 10_000 };
    const checkpoint: BackfillCheckpoint = {
      ...counts,
      collection: 'items',
      generation: 1,
      frozenLast: '["9"]',
      doneUntil: '["5"]',
      nextChunk: 2,
      growth,
      startedAtMs: 0,
      finishedAtMs: null,
    };
    expect(progressOfCheckpoint(checkpoint, 10_000)).toMatchObject({
      rowsPerSecond: 150,
      convergencePerSecond: 100,
      estimatedRemainingMs: 15_000,
    });
    expect(progressOfCheckpoint(checkpoint, 70_000)).toMatchObject({
      convergencePerSecond: null,
      estimatedRemainingMs: null,
    });
    const { growth: _none, ...older } = checkpoint;
    expect(progressOfCheckpoint(older, 10_000).convergencePerSecond).toBeNull();
  });
});

describe('the growth of the work', () => {
  /** A scope whose clock, extent and queue are set by the test. */
  const world = () => {
    const seen = { at: 0, last: 'z', rows: 1_000, waiting: 0, fails: false };
    const clock = {
      ...systemRuntime.clock,
      monotonic: () => seen.at,
      now: () => 1_000_000 + seen.at,
    };
    const extent = async () => {
      if (seen.fails) throw new Error('away');
      return { last: [seen.last], estimatedRows: seen.rows };
    };
    const queue = { depth: async () => ({ waiting: seen.waiting, dead: 0, oldestMs: 0 }) };
    const scope = {
      context: { runtime: { ...systemRuntime, clock } },
      authority: { records: { extent }, queue },
      collection: { name: 'items' },
    } as unknown as BackfillScope;
    const meter = createGrowthMeter(scope, encodeKey(['z']), 900);
    const look = async (at: number, change: Partial<typeof seen> = {}): Promise<void> => {
      Object.assign(seen, change, { at });
      meter.look();
      await meter.close();
    };
    return { meter, look };
  };

  test('is not known before two looks, and none is made before it is time', async () => {
    const { meter, look } = world();
    await look(499);
    expect(meter.estimatedRows()).toBe(900);
    await look(500);
    expect(meter.estimatedRows()).toBe(1_000);
    await look(1_400, { rows: 5_000 });
    expect(meter.estimatedRows()).toBe(1_000);
    expect(meter.growth()).toBeNull();
  });

  test('is that of the rows in the range and of the changes that wait', async () => {
    const { meter, look } = world();
    await look(1_000);
    await look(3_000, { rows: 1_100, waiting: 300 });
    expect(meter.growth()).toEqual({ perSecond: 200, waiting: 300, measuredAtMs: 1_003_000 });
    await look(5_000, { waiting: 0 });
    expect(meter.growth()).toMatchObject({ perSecond: 25, waiting: 0 });
  });

  test('does not count rows behind the range', async () => {
    const { meter, look } = world();
    await look(1_000);
    await look(3_000, { last: 'zz', rows: 50_000 });
    expect(meter.growth()).toMatchObject({ perSecond: 0 });
    expect(meter.estimatedRows()).toBe(1_000);
  });

  test('forgets what it saw long ago, and is not known while looks fail', async () => {
    const { meter, look } = world();
    await look(1_000);
    await look(2_000, { waiting: 10 });
    expect(meter.growth()).not.toBeNull();
    await look(40_000, { fails: true });
    expect(meter.growth()).toBeNull();
    await look(42_000, { fails: false, waiting: 20 });
    await look(44_000, { waiting: 60 });
    expect(meter.growth()).toMatchObject({ perSecond: 20 });
  });
});
