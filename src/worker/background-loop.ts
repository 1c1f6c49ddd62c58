import { messageOf } from '../errors/index.ts';
import { type BackoffPolicy, backoffMs, type Runtime } from '../runtime/index.ts';

/** How a loop behaves between two turns. */
export interface LoopOptions {
  readonly name: string;
  /** After a turn that returned `idle`. A turn that returned `busy` is followed at once by the next. */
  readonly idleMs: number;
  readonly backoff: BackoffPolicy;
  readonly onError: (name: string, message: string) => void;
}

/**
 * Repeats `turn` until the signal aborts. A turn that throws is reported and repeated after a backoff: a background loop dies only with its
 * worker. Resolves when the last turn has ended.
 */
export async function backgroundLoop(
  runtime: Runtime,
  options: LoopOptions,
  signal: AbortSignal,
  turn: (signal: AbortSignal) => Promise<'busy' | 'idle'>,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const result = await turn(signal);
      failures = 0;
      if (result === 'idle') await runtime.clock.sleep(options.idleMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      options.onError(options.name, messageOf(error));
      await runtime.clock
        .sleep(backoffMs(options.backoff, failures, runtime.random), signal)
        .catch(() => {});
    }
  }
}
