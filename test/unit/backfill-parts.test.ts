import { describe, expect, test } from 'vitest';
import { createChunkLedger } from '../../src/backfill/chunk-ledger.ts';
import { createChunkSizer } from '../../src/backfill/chunk-size.ts';
import { progressOf } from '../../src/backfill/index.ts';

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

test('progress never reaches 100 % before the end, whatever the estimate was', () => {
  const counts = { rowsRead: 1_500, rowsInserted: 1_500, rowsDead: 0, estimatedRows: 1_000 };
  const over = progressOf(counts, 100, false);
  expect(over.estimatedRatio).toBeLessThan(1);
  expect(over.estimatedRemainingMs).toBeNull();
  expect(over.estimatedRows).toBe(1_501);
  expect(progressOf(counts, 100, true)).toMatchObject({ estimatedRatio: 1, estimatedRows: 1_500 });
  expect(progressOf({ ...counts, estimatedRows: 0 }, null, false).estimatedRatio).toBeNull();
  const half = progressOf({ ...counts, estimatedRows: 3_000 }, 150, false);
  expect(half).toMatchObject({ estimatedRatio: 0.5, estimatedRemainingMs: 10_000 });
});
