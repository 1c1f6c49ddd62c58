import type { MigrationState } from '../migration/index.ts';
import type { ChangeQueue } from '../queue/index.ts';
import type { Clock } from '../runtime/index.ts';
import type { MigrationStore } from '../store/index.ts';
import type { ThrottleCheck } from './throttle.ts';

/** Weight of the newest measurement: one slow answer among fast ones does not stop the work. */
const SMOOTHING = 0.4;
/** Work goes on only when the latency is this share of the limit: no flapping at the edge. */
const RELEASE_RATIO = 0.8;

/**
 * Holds work while the smoothed latency that `measure` answers (milliseconds) is above `limitMs`, until it is below
 * 80 % of it. A number that is not finite, or a throw, throttles.
 */
export function latencyCheck(
  name: string,
  measure: () => number | Promise<number>,
  limitMs: number,
): ThrottleCheck {
  let smoothed: number | null = null;
  let holding = false;
  return {
    name,
    async ask() {
      const ms = await measure();
      if (!Number.isFinite(ms)) return { reason: `${name} cannot be read: no measurement` };
      smoothed = smoothed === null ? ms : smoothed + SMOOTHING * (ms - smoothed);
      holding = smoothed > (holding ? limitMs * RELEASE_RATIO : limitMs);
      return holding
        ? { reason: `${name} ${smoothed.toFixed(1)} ms is above ${limitMs} ms` }
        : { ok: true };
    },
  };
}

/** A measurement for `latencyCheck`: how long a one-row indexed read of the store takes now, milliseconds. */
export function probeLatency(
  clock: Clock,
  store: MigrationStore,
  collection: string,
): () => Promise<number> {
  return async () => {
    const begun = clock.monotonic();
    await store.records.boundary(collection, { after: null, until: null }, 1);
    return clock.monotonic() - begun;
  };
}

/** Holds work while the oldest change that the follower does not have is older than `limitMs`. */
export function queueAgeCheck(name: string, queue: ChangeQueue, limitMs: number): ThrottleCheck {
  return {
    name,
    ofWaiting: true,
    async ask() {
      const { oldestMs, waiting } = await queue.depth();
      return oldestMs > limitMs
        ? {
            reason: `${name}: the oldest of ${waiting} changes waits for ${Math.round(oldestMs)} ms`,
          }
        : { ok: true };
    },
  };
}

/** Holds work while more connections than `max` run a statement. A number that is not finite, or a throw, throttles; so in the next two. */
export function connectionsCheck(
  name: string,
  measure: () => Promise<number>,
  max: number,
): ThrottleCheck {
  return {
    name,
    async ask() {
      const running = finite(await measure());
      return running > max
        ? { reason: `${name}: ${running} run a statement, more than ${max}` }
        : { ok: true };
    },
  };
}

/** Holds work while the slowest standby is later than `limitMs`. null, no standby, throttles: a standby that went away is not one without lag. */
export function replicationLagCheck(
  name: string,
  measure: () => Promise<number | null>,
  limitMs: number,
): ThrottleCheck {
  return {
    name,
    async ask() {
      const lagMs = await measure();
      if (lagMs === null) return { reason: `${name} cannot be read: there is no standby` };
      return finite(lagMs) > limitMs
        ? { reason: `${name} ${Math.round(lagMs)} ms is above ${limitMs} ms` }
        : { ok: true };
    },
  };
}

/** Holds work while the operator's own query answers true, or a number above `max`. */
export function queryCheck(
  name: string,
  measure: () => Promise<number | boolean>,
  max: number,
): ThrottleCheck {
  return {
    name,
    async ask() {
      const answer = await measure();
      if (typeof answer === 'boolean')
        return answer ? { reason: `${name} answers true` } : { ok: true };
      return finite(answer) > max
        ? { reason: `${name} answers ${answer}, more than ${max}` }
        : { ok: true };
    },
  };
}

function finite(value: number): number {
  if (!Number.isFinite(value)) throw new Error('no measurement');
  return value;
}

/** Holds work while the operator does. */
export function operatorHoldCheck(currentState: () => MigrationState): ThrottleCheck {
  return {
    name: 'operator',
    ask: () =>
      currentState().workHeld ? { reason: 'the operator holds background work' } : { ok: true },
  };
}
