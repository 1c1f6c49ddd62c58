import type { MigrationContext } from '../control/index.ts';
import { messageOf } from '../errors/index.ts';
import {
  authorityOf,
  type CutoverState,
  type MigrationState,
  otherSide,
  type Side,
} from '../migration/index.ts';
import { applyAttemptEvent, fateOf } from './attempt-fate.ts';
import { defaultCutoverLimits } from './cutover-options.ts';
import { clearStaleMark, describeGuard, expectedGuard, sameRole } from './guard-roles.ts';
import { hasTraffic, heldByOthers } from './held-mark.ts';
import type { ResumeResult } from './resume-result.ts';
import { finishHeld, letTrafficGo } from './traffic.ts';
import { coordinatorId, type UndoLimits, undoCutover } from './undo-cutover.ts';

export interface ResumeOptions extends Partial<UndoLimits> {
  readonly actor?: string;
  readonly reason?: string;
  /** Undo although the coordinator's lease holds: the operator's decision, always safe (it can not commit any more). */
  readonly force?: boolean;
  /** Lets traffic that hooks hold go to the authority although no mark says that it is held: by an operator, who sees that it is. */
  readonly release?: boolean;
}

/**
 * Finishes what a coordinator left that is gone. Before the commit it is *undone*, never carried on: one driver per attempt is what
 * makes a slept coordinator harmless (invariant C5). After the commit only the marks in the guards are left to clear. Cheap when there is nothing to do;
 * each worker calls it every second or so, because instances refuse writes from the end of their hold until somebody does.
 */
export async function resumeCutover(
  context: MigrationContext,
  options: ResumeOptions = {},
): Promise<ResumeResult> {
  const limits = { ...defaultCutoverLimits, ...options };
  const state = await context.control.load(context.migration.name);
  if (state.cutover === null) {
    const cleared = await clearMarks(context, state, limits.lockTimeoutMs);
    return options.release === true && hasTraffic(context) ? released(context, cleared) : cleared;
  }
  const { attempt } = state.cutover;
  if (state.cutover.status === 'running' && options.force !== true) {
    if (await ownerLives(context, attempt)) {
      return {
        outcome: 'running',
        attempt,
        state,
        message: `${state.cutover.owner} drives attempt ${attempt}`,
      };
    }
  }
  const act = {
    actor: options.actor ?? context.instance,
    reason: options.reason ?? `the coordinator ${state.cutover.owner} is gone`,
  };
  if (state.cutover.status === 'running') await adopt(context, state.cutover, act, limits.undoMs);
  const undo = await undoCutover(context, state.cutover, act, limits);
  return {
    outcome: undo.outcome === 'committed' ? 'settled' : undo.outcome,
    attempt,
    state: undo.state,
    message: undo.message,
  };
}

async function ownerLives(context: MigrationContext, attempt: string): Promise<boolean> {
  const { nowMs, instances } = await context.control.fleet.list(context.migration.name);
  const lease = instances.find(({ id }) => id === coordinatorId(attempt));
  return lease !== undefined && lease.leaseUntilMs > nowMs;
}

/** Only for the record: who takes it over. A refusal means that it has gone on meanwhile, which the undo finds out. */
async function adopt(
  context: MigrationContext,
  cutover: CutoverState,
  act: { readonly actor: string; readonly reason: string },
  budgetMs: number,
): Promise<void> {
  const event = {
    type: 'cutover-adopt',
    attempt: cutover.attempt,
    owner: context.instance,
  } as const;
  await applyAttemptEvent(context, event, act, budgetMs).catch(async (error: unknown) => {
    const { fate } = await fateOf(context, cutover.attempt);
    if (fate === 'running') throw error;
  });
}

async function clearMarks(
  context: MigrationContext,
  state: MigrationState,
  lockTimeoutMs: number,
): Promise<ResumeResult> {
  const authority = authorityOf(state.phase);
  const problems: string[] = [];
  let cleared = 0;
  for (const side of [authority, otherSide[authority]]) {
    // What says that traffic is held goes last.
    if (problems.length > 0 && hasTraffic(context)) break;
    try {
      if (mayBeRemoved(state) && (await context.stores[side].setup.objects()).length === 0)
        continue;
      if (hasTraffic(context)) await finishHeld(context, side, lockTimeoutMs);
      if (await sealLeftBehind(context, side, lockTimeoutMs)) cleared++;
      const mark = await clearStaleMark(context, side, lockTimeoutMs);
      if (mark.outcome === 'held') problems.push(`${side}: ${heldByOthers(mark.mark)}`);
      if (mark.outcome === 'cleared') cleared++;
      if (await idleWhenRetired(context, state, side, lockTimeoutMs)) cleared++;
    } catch (error) {
      problems.push(`${side}: ${messageOf(error)}`);
    }
  }
  if (problems.length > 0)
    return { outcome: 'pending', attempt: null, state, message: problems.join('; ') };
  if (cleared === 0)
    return {
      outcome: 'nothing',
      attempt: null,
      state,
      message: 'no change of authority is under way',
    };
  return {
    outcome: 'settled',
    attempt: null,
    state,
    message: `${cleared} guards were put right`,
  };
}

/** Whatever was before: a process without the hooks may have ended the attempt, and a hook that was stopped in its work may have been killed. */
async function released(context: MigrationContext, cleared: ResumeResult): Promise<ResumeResult> {
  const { message, state } = cleared;
  try {
    await letTrafficGo(context);
  } catch (error) {
    return { ...cleared, outcome: 'pending', message: `${message}; ${messageOf(error)}` };
  }
  return { ...cleared, message: `${message}; traffic goes to the ${authorityOf(state.phase)}` };
}

/**
 * A target that was given up while it did not answer, or that was restored, and that takes itself for the authority of an epoch that is over: nobody writes there from its
 * first contact on. Sound as `clearStaleMark` is, by the order of the looks. While a gap is open, sealing belongs to whoever collects it.
 */
async function sealLeftBehind(
  context: MigrationContext,
  side: Side,
  lockTimeoutMs: number,
): Promise<boolean> {
  if (side !== 'target') return false;
  const { control, migration, stores } = context;
  const row = await stores.target.guard.read();
  if (row.role !== 'authority') return false;
  const state = await control.load(migration.name);
  const over = authorityOf(state.phase) === 'source' && row.epoch < state.epoch;
  if (!over || state.cutover !== null || state.gap !== undefined) return false;
  const sealed = { role: 'sealed', epoch: state.epoch, attempt: null } as const;
  if (!(await stores.target.guard.change(row, sealed, lockTimeoutMs))) return false;
  await control.note(migration.name, {
    actor: context.instance,
    action: 'target-sealed',
    reason: `its guard was ${describeGuard(row)}, and epoch ${row.epoch} is over`,
    detail: { role: row.role, epoch: row.epoch },
  });
  return true;
}

/** In these phases everything of ours may be gone from the stores. */
const mayBeRemoved = ({ phase }: MigrationState): boolean => phase === 'off' || phase === 'retired';

/** The last step of retiring, when whoever retired the migration died before it. Retired is final, so this can never be wrong. */
async function idleWhenRetired(
  context: MigrationContext,
  state: MigrationState,
  side: Side,
  lockTimeoutMs: number,
): Promise<boolean> {
  if (state.phase !== 'retired' || side !== 'target') return false;
  const from = { role: 'authority', epoch: state.epoch, attempt: null } as const;
  const { guard } = context.stores[side];
  if (!sameRole(await guard.read(), from)) return false;
  return guard.change(from, expectedGuard(state, side), lockTimeoutMs);
}
