import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import type { Side } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { SwitchRun } from './switch-run.ts';

/** Between two looks at something that is about to happen. */
export const LOOK_MS = 10;

/**
 * A compare-and-set on a guard, tried again while writers hold its lock. False is final: the row does not carry our mark, so
 * somebody has undone this attempt.
 */
export async function changing(
  run: SwitchRun,
  side: Side,
  budgetMs: number,
  change: (lockTimeoutMs: number) => Promise<boolean>,
): Promise<void> {
  const { clock } = run.context.runtime;
  const until = clock.monotonic() + budgetMs;
  for (;;) {
    const lockMs = Math.max(1, Math.min(run.options.lockTimeoutMs, until - clock.monotonic()));
    try {
      if (await run.within(`changing the guard of the ${side}`, change(lockMs))) return;
    } catch (error) {
      const again =
        isChangeoverError(error, 'STORE_CONFLICT') && clock.monotonic() + LOOK_MS < until;
      if (!again) throw error;
      await clock.sleep(LOOK_MS);
      continue;
    }
    throw new ChangeoverError(
      'CUTOVER_ABORTED',
      `The guard of the ${side} does not carry attempt ${run.attempt} any more: it was undone by another process.`,
    );
  }
}

/** Why dead letters stop a switch. */
export const deadMessage = (side: Side, dead: number): string =>
  `${dead} dead letters wait in the queue of the ${side}; redriven after the switch they would re-read the wrong store. Redrive or discard them first.`;

/** Until at most `waitingMax` entries wait in the old authority's queue, none of them dead. */
export async function drainWithin(
  run: SwitchRun,
  left: () => number,
  waitingMax: number,
): Promise<void> {
  const { context, options } = run;
  const { queue } = context.stores[run.old];
  const { clock } = context.runtime;
  for (;;) {
    const { waiting, dead } = await withDeadline(
      clock,
      Math.max(left(), LOOK_MS),
      'looking at the queue',
      queue.depth(),
    );
    if (dead > 0) run.fail(deadMessage(run.old, dead));
    if (waiting <= waitingMax) return;
    if (left() <= LOOK_MS)
      run.fail(`${waiting} changes still wait in the queue of the ${run.old}.`);
    const { drain } = options;
    if (drain)
      await abortable(run, `draining the ${run.old}`, (signal) => drain(run.old, signal), left());
    await clock.sleep(LOOK_MS);
  }
}

/** Work of others, with a signal that ends it with the budget. Its failure is not ours: what counts is the next look. */
export async function abortable(
  run: SwitchRun,
  what: string,
  work: (signal: AbortSignal) => Promise<unknown>,
  budgetMs: number = run.leftMs(),
): Promise<void> {
  const abort = new AbortController();
  try {
    await withDeadline(run.context.runtime.clock, Math.max(1, budgetMs), what, work(abort.signal));
  } catch (error) {
    run.lastProblem = `${what}: ${messageOf(error)}`;
  } finally {
    abort.abort();
  }
}
