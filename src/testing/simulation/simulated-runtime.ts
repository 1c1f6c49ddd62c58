import { type Clock, type Random, type Runtime, seededRandom } from '../../runtime/index.ts';
import type { Scheduler, SimulatedProcess } from './scheduler.ts';

/** A host's wall clock; `offsetMs` jumps when somebody sets it. */
export interface SimulatedHost {
  readonly name: string;
  offsetMs: number;
}

/** Virtual time begins here on the wall: 2026-01-01. */
const wallStartMs = 1_767_225_600_000;

/**
 * Runtime of one process under the scheduler. Monotonic time starts somewhere else on each host and never jumps; wall time does.
 * Timers are up to a millisecond late, as real ones are.
 */
export function simulatedRuntime(
  scheduler: Scheduler,
  process: SimulatedProcess,
  host: SimulatedHost,
): Runtime {
  const random: Random = seededRandom(Math.floor(scheduler.random.next() * 2 ** 32));
  const boot = Math.floor(scheduler.random.next() * 1e6);
  const post = (ms: number, run: () => void): (() => void) =>
    scheduler.post({ process }, ms + scheduler.random.next(), run);
  const clock: Clock = {
    now: () => Math.floor(wallStartMs + scheduler.now + host.offsetMs),
    monotonic: () => boot + scheduler.now,
    sleep(ms, signal) {
      return new Promise<void>((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const onAbort = (): void => {
          cancel();
          reject(signal?.reason);
        };
        const cancel = post(ms, () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        });
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
    schedule: (ms, run) => post(ms, run),
    yield: () =>
      new Promise<void>((resolve) => {
        post(0, resolve);
      }),
  };
  return { clock, random };
}
