import { coordinatorPrefix, type MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import {
  type CutoverState,
  type MigrationState,
  otherSide,
  type Side,
} from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { GuardState } from '../store/index.ts';
import { applyAttemptEvent, fateOf } from './attempt-fate.ts';
import { clearStaleMark } from './guard-roles.ts';
import { hasTraffic, heldByOthers, heldMark, saysHeld } from './held-mark.ts';
import { letTrafficGo } from './traffic.ts';

/** What an undo came to. `committed`: too late, the attempt had passed the point of no return. */
export interface UndoResult {
  readonly outcome: 'undone' | 'committed' | 'pending';
  readonly message: string;
  readonly state: MigrationState;
}

export interface UndoLimits {
  readonly undoMs: number;
  readonly lockTimeoutMs: number;
  /**
   * The operator is on the way back to the source, and the target, the old authority, does not answer: the attempt ends without its guard, which keeps the
   * mark. A later look clears it, or a rescue seals over it. Absent: the attempt stays `aborting` until that store answers.
   */
  readonly abandonOld?: boolean;
}

/** The name under which a coordinator keeps its lease in the fleet. */
export const coordinatorId = (attempt: string): string => `${coordinatorPrefix}${attempt}`;

const PAUSE_MS = 25;
/** For a look at a store that is not expected to answer. */
const ABANDON_MS = 1_000;

/**
 * Takes back an attempt that has not committed. Idempotent, resumable by any process, under a deadline of its own:
 * 1. `cutover-abort` by compare-and-set: from here on it can never commit (invariant C2);
 * 2. the guard of the *new* authority back to `follower`, without mark: nobody can promote it any more (C4);
 * 3. the guard of the old authority back to `authority`: own and foreign writes are let in again;
 * 4. `cutover-undone`: instances release their writes;
 * 5. traffic that hooks hold goes on. Last, because a hook that does not answer must not keep the instances' writes: what is left of it says
 *    another mark in the guard of step 2, with which no step of the attempt can do anything.
 *
 * A new authority that does not answer does not keep the old one shut: step 2 is then left to `resumeCutover`, and the door
 * of that store stays as it is until then. An old authority that does not answer leaves the attempt `aborting` (`pending`).
 */
export async function undoCutover(
  context: MigrationContext,
  cutover: CutoverState,
  act: { readonly actor: string; readonly reason: string },
  limits: UndoLimits,
): Promise<UndoResult> {
  const { clock } = context.runtime;
  const { attempt } = cutover;
  const until = clock.monotonic() + limits.undoMs;
  const left = (): number => Math.max(0, until - clock.monotonic());
  const decided = await abort(context, attempt, act, left());
  if (decided !== null) {
    // This process may have been asleep and have held traffic after others had undone it.
    const held = decided.outcome === 'undone' ? await letGo(context, cutover, limits) : null;
    return held === null ? decided : { ...decided, message: `${decided.message}; ${held}` };
  }
  const epoch = cutover.epoch - 1;
  const newcomer = cutover.to;
  const old = otherSide[newcomer];
  // Half of the budget each: a store that hangs must not eat the time of the one that matters.
  const follower = await restore(
    context,
    newcomer,
    attempt,
    {
      role: 'follower',
      epoch,
      attempt: hasTraffic(context) || saysHeld(attempt) ? heldMark(attempt) : null,
    },
    left() / 2,
    limits.lockTimeoutMs,
  );
  // A rescue from a target that does not answer has not touched its guard.
  const authority =
    cutover.rescue === 'unreachable'
      ? null
      : await restore(
          context,
          old,
          attempt,
          { role: 'authority', epoch, attempt: null },
          limits.abandonOld ? Math.min(left(), ABANDON_MS) : left(),
          limits.lockTimeoutMs,
        );
  const abandoned = authority !== null && limits.abandonOld === true && old === 'target';
  if (authority !== null && !abandoned) {
    const { state } = await fateOf(context, attempt);
    return {
      outcome: 'pending',
      state,
      message: `the guard of the ${old} is not restored yet: ${authority}`,
    };
  }
  const state = await undone(
    context,
    attempt,
    act,
    follower,
    Math.max(left(), limits.lockTimeoutMs),
  );
  await context.control.fleet
    .remove(context.migration.name, coordinatorId(attempt))
    .catch(() => {});
  const held = await letGo(context, cutover, limits);
  const note =
    (follower === null
      ? ''
      : `; the ${newcomer} did not answer and is put right later (${follower})`) +
    (abandoned ? `; the ${old} did not answer (${authority})` : '') +
    (held === null ? '' : `; ${held}`);
  return {
    outcome: 'undone',
    state,
    message: `attempt ${attempt} is undone, the ${old} is the authority${note}`,
  };
}

/** null: nothing is held any more. Otherwise what is in the way; `resumeCutover` finds the mark and goes on. */
async function letGo(
  context: MigrationContext,
  { attempt, to }: CutoverState,
  { lockTimeoutMs }: UndoLimits,
): Promise<string | null> {
  if (!hasTraffic(context)) return saysHeld(attempt) ? heldByOthers(attempt) : null;
  try {
    await letTrafficGo(context);
  } catch (error) {
    return `traffic may still be held, and is let go later (${messageOf(error)})`;
  }
  await clearStaleMark(context, to, lockTimeoutMs).catch(() => {});
  return null;
}

/** null: the attempt is `aborting` now. Otherwise the undo is over before it began. */
async function abort(
  context: MigrationContext,
  attempt: string,
  act: { readonly actor: string; readonly reason: string },
  budgetMs: number,
): Promise<UndoResult | null> {
  try {
    await applyAttemptEvent(context, { type: 'cutover-abort', attempt }, act, budgetMs);
    return null;
  } catch (error) {
    if (!isChangeoverError(error, 'TRANSITION_REFUSED')) throw error;
    const { fate, state } = await fateOf(context, attempt);
    if (fate === 'aborting') return null;
    if (fate === 'running')
      throw new ChangeoverError('BUG', `Attempt ${attempt} runs, and its abort was refused.`, {
        cause: error,
      });
    return fate === 'committed'
      ? {
          outcome: 'committed',
          state,
          message: `attempt ${attempt} has committed and cannot be undone`,
        }
      : { outcome: 'undone', state, message: `attempt ${attempt} was undone already` };
  }
}

async function undone(
  context: MigrationContext,
  attempt: string,
  act: { readonly actor: string; readonly reason: string },
  followerProblem: string | null,
  budgetMs: number,
): Promise<MigrationState> {
  const detail = followerProblem === null ? {} : { followerGuard: followerProblem };
  try {
    return await applyAttemptEvent(
      context,
      { type: 'cutover-undone', attempt },
      { ...act, detail },
      budgetMs,
    );
  } catch (error) {
    // Two processes may undo one attempt; the slower one finds it done.
    const { fate, state } = await fateOf(context, attempt);
    if (isChangeoverError(error, 'TRANSITION_REFUSED') && fate === 'ended') return state;
    throw error;
  }
}

/**
 * Brings one guard from wherever the attempt has left it to `to`. A row without the attempt's mark is not ours to touch: the arming
 * never came, or it was restored already. null: done. Otherwise what is in the way.
 */
async function restore(
  context: MigrationContext,
  side: Side,
  attempt: string,
  to: GuardState,
  budgetMs: number,
  lockTimeoutMs: number,
): Promise<string | null> {
  const { clock } = context.runtime;
  const { guard } = context.stores[side];
  const until = clock.monotonic() + budgetMs;
  let problem = `no answer within ${Math.round(budgetMs)} ms`;
  do {
    const ms = Math.max(1, until - clock.monotonic());
    try {
      const row = await withDeadline(clock, ms, `reading the guard of the ${side}`, guard.read());
      if (row.attempt !== attempt) return null;
      const wait = Math.min(lockTimeoutMs, ms);
      const changed = guard.change(row, to, wait);
      if (await withDeadline(clock, ms, `restoring the guard of the ${side}`, changed)) return null;
      problem = 'the guard is being changed by somebody else';
    } catch (error) {
      problem = messageOf(error);
    }
    await clock.sleep(PAUSE_MS);
  } while (clock.monotonic() < until);
  return problem;
}
