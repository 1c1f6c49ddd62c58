import { caughtUp } from '../capture/index.ts';
import type { Instance } from '../control/index.ts';
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

/** One look at the log waits so long for its end to arrive. */
const LOG_MS = 250;

/** How full a queue may be at the end of a drain. */
export interface DrainGoal {
  readonly waitingMax: number;
  /** Looked at only while something waits. */
  readonly oldestMsMax: number;
  /** Whether the follower has to have all of the log. */
  readonly log: boolean;
}

/** Until the follower has all of the old authority's log, and its queue is as empty as that, with nothing dead in it. */
export async function drainWithin(
  run: SwitchRun,
  left: () => number,
  goal: DrainGoal,
): Promise<void> {
  const { context, options } = run;
  const { queue } = context.stores[run.old];
  const { clock } = context.runtime;
  for (;;) {
    const ms = Math.max(left(), LOOK_MS);
    // The log first: a change of it that the follower refuses goes to the queue.
    const log = !goal.log || (await caughtUp(context, run.state, Math.min(ms, LOG_MS)));
    const { waiting, dead, oldestMs } = await withDeadline(
      clock,
      ms,
      'looking at the queue',
      queue.depth(),
    );
    if (dead > 0) run.fail(deadMessage(run.old, dead));
    const empty = waiting === 0 || (waiting <= goal.waitingMax && oldestMs <= goal.oldestMsMax);
    if (log && empty) return;
    if (left() <= LOOK_MS) {
      if (!log) run.fail(`The log of the ${run.old} is not applied to its end yet.`);
      run.fail(
        `${waiting} changes still wait in the queue of the ${run.old}, the oldest for ${Math.round(oldestMs)} ms.`,
      );
    }
    const { drain } = options;
    if (drain) {
      const work = (signal: AbortSignal): Promise<unknown> => drain(run.old, signal);
      await abortable(run, `draining the ${run.old}`, work, left());
    }
    await clock.sleep(LOOK_MS);
  }
}

/** An instance that missed its heartbeats for this share of its lease is probably dead. */
const SILENCE_SHARE = 0.6;

export const isSilent = (
  { lastSeenMs, leaseUntilMs }: Pick<Instance, 'lastSeenMs' | 'leaseUntilMs'>,
  nowMs: number,
): boolean => nowMs - lastSeenMs > (leaseUntilMs - lastSeenMs) * SILENCE_SHARE;

/**
 * Until every router whose lease holds was heard of lately, or its lease is over. Only for the application's comfort: a hold that waits for
 * the acknowledgement of an instance that has just died is a pause for nothing.
 */
export async function heardOf(run: SwitchRun, left: () => number): Promise<void> {
  const { control, migration, runtime } = run.context;
  while (left() > LOOK_MS) {
    const { nowMs, instances } = await control.fleet.list(migration.name);
    const silent = instances.filter(
      (one) => one.kind === 'router' && one.leaseUntilMs > nowMs && isSilent(one, nowMs),
    );
    if (silent.length === 0) return;
    await runtime.clock.sleep(LOOK_MS * 5);
  }
}

/** With so many keys in doubt the hold may begin. */
const DOUBTS_MAX = 20;
/** Longest wait for it: where doubts come as fast as they are decided, the prediction says what that means. */
const DOUBTS_MS = 5_000;

/** Until the worker has decided most of the keys in doubt: each that is left is rechecked while writes are held. */
export async function fewDoubts(run: SwitchRun): Promise<void> {
  const { control, migration, runtime } = run.context;
  const until = runtime.clock.monotonic() + Math.min(DOUBTS_MS, run.options.drainTimeoutMs);
  while ((await control.mismatches.count(migration.name, 'suspect')) > DOUBTS_MAX) {
    if (runtime.clock.monotonic() >= until) return;
    await runtime.clock.sleep(LOOK_MS * 5);
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
