import type { Clock } from '../runtime/index.ts';

/** How much unused allowance is kept for later, in seconds of the rate. */
const BURST_SECONDS = 0.5;

/**
 * A token bucket that may go into debt: a chunk is taken as a whole once the bucket is not empty, and its debt is paid
 * by waiting before the next one. So chunks larger than the bucket pass, and the rate still holds on average.
 */
export interface TokenBucket {
  /** Milliseconds to wait before `take` is allowed; 0: at once. */
  waitMs(): number;
  take(tokens: number): void;
}

/** `perSecond` 0: no limit. */
export function createTokenBucket(clock: Clock, perSecond: number): TokenBucket {
  const capacity = perSecond * BURST_SECONDS;
  let tokens = capacity;
  let filledAt = clock.monotonic();
  const refill = (): void => {
    const now = clock.monotonic();
    tokens = Math.min(capacity, tokens + ((now - filledAt) / 1000) * perSecond);
    filledAt = now;
  };
  return {
    waitMs() {
      if (perSecond <= 0) return 0;
      refill();
      return tokens > 0 ? 0 : Math.ceil((-tokens / perSecond) * 1000) + 1;
    },
    take(count) {
      if (perSecond > 0) tokens -= count;
    },
  };
}
