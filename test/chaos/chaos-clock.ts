import { type Runtime, systemClock, systemRuntime } from '../../src/runtime/index.ts';

/** A runtime whose wall clock can be set wrong. */
export interface JumpingRuntime {
  readonly runtime: Runtime;
  /**
   * From now on `now()` is so many milliseconds away from the truth. Nothing else jumps, as on a machine whose date is set: durations,
   * deadlines and timers go by the monotonic clock, and the servers keep their own time.
   */
  jump(offsetMs: number): void;
}

export function jumpingRuntime(): JumpingRuntime {
  let offset = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + offset };
  return {
    runtime: { ...systemRuntime, clock },
    jump(offsetMs) {
      offset = offsetMs;
    },
  };
}
