/** Buckets to a doubling: each is 2^(1/8), or 9 %, wider than the one before. */
const PER_DOUBLING = 8;
/** Everything at or below this many milliseconds is one bucket. */
const FLOOR_MS = 0.01;

/** The bucket of a latency in milliseconds: 0 for ≤ 0.01 ms, then 8 to a doubling. */
export function latencyBucket(ms: number): number {
  return ms <= FLOOR_MS ? 0 : Math.ceil(PER_DOUBLING * Math.log2(ms / FLOOR_MS));
}

/** Lower and upper limit of a bucket in milliseconds. */
export function bucketLimits(bucket: number): {
  readonly fromMs: number;
  readonly untilMs: number;
} {
  const limit = (index: number): number => FLOOR_MS * 2 ** (index / PER_DOUBLING);
  return { fromMs: bucket === 0 ? 0 : limit(bucket - 1), untilMs: limit(bucket) };
}

/**
 * The limits between which the quantile lies (nearest rank, exact but for the width of the bucket); null without reads.
 */
export function latencyQuantile(
  buckets: ReadonlyMap<number, number>,
  share: number,
): { readonly fromMs: number; readonly untilMs: number } | null {
  const ordered = [...buckets].sort(([a], [b]) => a - b);
  const total = ordered.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [bucket, count] of ordered) {
    seen += count;
    if (count > 0 && seen >= share * total) return bucketLimits(bucket);
  }
  return null;
}
