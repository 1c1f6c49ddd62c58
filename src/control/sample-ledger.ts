import type { Side } from '../migration/index.ts';

/** What is measured, and in what. `high`: the largest of a minute is what counts; `spread`: how the values are spread is kept as well. */
export const sampleSeries = {
  /** Changes in the queue of `side` that wait for the other store. */
  waiting: { unit: 'changes', kept: 'high' },
  dead: { unit: 'changes', kept: 'high' },
  /** Age of the oldest waiting change. */
  oldest: { unit: 'microseconds', kept: 'high' },
  /** From a commit in the log of `side` to its application. */
  'log-lag': { unit: 'microseconds', kept: 'high' },
  /** Reads that `side` served to callers. */
  read: { unit: 'microseconds', kept: 'spread' },
  /** Reads of `side` beside those, for comparison. */
  'shadow-read': { unit: 'microseconds', kept: 'spread' },
  /** Writes that `side` confirmed as the authority. */
  write: { unit: 'microseconds', kept: 'spread' },
} as const satisfies Readonly<Record<string, SampleKind>>;

interface SampleKind {
  readonly unit: 'changes' | 'microseconds';
  readonly kept: 'high' | 'spread';
}

export type SampleSeries = keyof typeof sampleSeries;

/** Measurements of one minute, all processes added up. Whole numbers. */
export interface Sample {
  readonly series: SampleSeries;
  readonly side: Side;
  /** Epoch minute. */
  readonly minute: number;
  readonly count: number;
  readonly sum: number;
  readonly high: number;
  /** For `spread`: how many lie at or below each of `sampleBounds` and above the one before; the last is for all above. Else all 0. */
  readonly buckets: readonly number[];
}

/** Upper limits of all buckets but the last, in microseconds: 0.25 ms to 8.2 s, each √2 of the one before. */
export const sampleBounds: readonly number[] = Array.from({ length: 31 }, (_, index) =>
  Math.round(250 * 2 ** (index / 2)),
);

/**
 * What the worker and the routers measured, per minute: for the plots of a report, not for gates. Adding is commutative, so that the size does not
 * depend on the fleet: 14 rows a minute at most. A measurement whose write failed is forgotten, never counted twice.
 */
export interface SampleLedger {
  /** Adds to the row of (migration, series, side, minute). One transaction. */
  add(migration: string, samples: readonly Sample[]): Promise<void>;
  /** Rows with minute ≥ `fromMinute`, by minute, series and side. */
  since(migration: string, fromMinute: number): Promise<readonly Sample[]>;
  /** Forgets what is before `beforeMinute`. */
  prune(migration: string, beforeMinute: number): Promise<void>;
}

/** Two samples of one series, side and minute as one. */
export const addSamples = (a: Sample, b: Sample): Sample => ({
  ...a,
  count: a.count + b.count,
  sum: a.sum + b.sum,
  high: Math.max(a.high, b.high),
  buckets: a.buckets.map((count, index) => count + (b.buckets[index] ?? 0)),
});

/**
 * A value that at least `share` of the measurements do not exceed: the upper limit of its bucket, or the largest of all where that is lower. Never too
 * small, at most √2 too large. null: nothing was measured, or the series keeps no spread.
 */
export function sampleQuantile({ buckets, high }: Sample, share: number): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let seen = 0;
  for (const [index, count] of buckets.entries()) {
    seen += count;
    if (seen >= share * total) return Math.min(high, sampleBounds[index] ?? high);
  }
  return high;
}
