import { ChangeoverError } from '../errors/index.ts';
import type { Clock } from './clock.ts';

/**
 * The result of `promise`, or DEADLINE_EXCEEDED after `ms`. The work itself is not stopped by this:
 * pass it a signal as well where it can stop. A late rejection is swallowed, never unhandled.
 */
export function withDeadline<T>(
  clock: Clock,
  ms: number,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.schedule(ms, () =>
      reject(
        new ChangeoverError('DEADLINE_EXCEEDED', `${what} took longer than ${ms} ms.`, {
          data: { what, ms },
        }),
      ),
    );
    promise.then(
      (value) => {
        cancel();
        resolve(value);
      },
      (error: unknown) => {
        cancel();
        reject(error);
      },
    );
  });
}
