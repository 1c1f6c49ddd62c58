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
  let waitedMs = 0;
  while (!signal.aborted) {
    const began = runtime.clock.monotonic();
    try {
      const result = await turn(signal);
      failures = 0;
      if (result === 'idle') await runtime.clock.sleep(options.idleMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      // A turn that worked for longer than was waited before it did something: this is another failure, not the same again.
      failures = runtime.clock.monotonic() - began > waitedMs ? 1 : failures + 1;
      options.onError(options.name, messageOf(error));
      waitedMs = backoffMs(options.backoff, failures, runtime.random);
      await runtime.clock.sleep(waitedMs, signal).catch(() => {});
    }
  }
}
