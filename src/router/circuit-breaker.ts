import type { EventSink, Side } from '../migration/index.ts';
import type { Clock } from '../runtime/index.ts';

export interface BreakerOptions {
  /** Consecutive failures that open it. */
  readonly failures: number;
  /** How long it stays open before one call may probe. */
  readonly openMs: number;
}

/**
 * Keeps calls away from a store that does not answer. *closed* –failures in a row→ *open* –openMs→ *half-open* (one probe)
 * –success→ *closed*, –failure→ *open*. Only failures of the store count (unavailable, deadline), never refused data.
 */
export interface CircuitBreaker {
  /** May a call go out now? In half-open exactly one gets true until its outcome is told: tell it in every case. */
  allows(): boolean;
  succeeded(): void;
  failed(): void;
  /** The call said nothing about the store (it was never made, or given up for another reason): the next one may probe. */
  withdrawn(): void;
}

export function createCircuitBreaker(
  clock: Clock,
  side: Side,
  options: BreakerOptions,
  emit: EventSink,
): CircuitBreaker {
  let failuresInRow = 0;
  let openUntil: number | null = null;
  let probing = false;
  return {
    allows() {
      if (openUntil === null) return true;
      if (probing || clock.monotonic() < openUntil) return false;
      probing = true;
      emit({ type: 'breaker', side, state: 'half-open' });
      return true;
    },
    succeeded() {
      failuresInRow = 0;
      if (openUntil === null) return;
      openUntil = null;
      probing = false;
      emit({ type: 'breaker', side, state: 'closed' });
    },
    failed() {
      failuresInRow++;
      const wasClosed = openUntil === null;
      if (wasClosed && failuresInRow < options.failures) return;
      openUntil = clock.monotonic() + options.openMs;
      probing = false;
      if (wasClosed) emit({ type: 'breaker', side, state: 'open' });
    },
    withdrawn() {
      probing = false;
    },
  };
}
