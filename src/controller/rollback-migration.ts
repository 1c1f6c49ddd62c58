import { removeAllStreams } from '../capture/index.ts';
import {
  applyEvent,
  type MigrationContext,
  refuseForeignGuard,
  waitForAcknowledgements,
} from '../control/index.ts';
import { resumeCutover, type SwitchResult, switchAuthority } from '../cutover/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import {
  authorityOf,
  type MigrationState,
  type Phase,
  phaseOrder,
  phases,
  routingTable,
} from '../migration/index.ts';
import type {
  AbortOptions,
  Act,
  ControllerOptions,
  RollbackOptions,
  RollbackResult,
} from './controller-types.ts';
import { changeRole } from './guard-role.ts';

/** A rollback does not wait long for stores: its promise is the control store alone. */
const UNDO_MS = 5_000;
const GUARD_MS = 5_000;
const FLEET_MS = 15_000;

/** Where `rollback` goes by itself; null when there is no way back. */
export function phaseBehind(state: MigrationState): Phase | null {
  if (state.phase === 'off' || state.phase === 'retired') return null;
  if (state.phase === 'write-switch') return 'read-switch';
  const served = state.dialBasisPoints > 0 || state.segments.length > 0 || state.cutover !== null;
  if (state.phase === 'read-switch' && served) return 'read-switch';
  if (state.phase === 'dual-write') return 'off';
  return phases[phaseOrder(state.phase) - 1] ?? null;
}

const follows = (phase: Phase): boolean => routingTable[phase].follow === 'apply';

/** Backward, see `Controller.rollback`. */
export async function rollbackMigration(
  context: MigrationContext,
  controller: ControllerOptions,
  options: RollbackOptions,
): Promise<RollbackResult> {
  const { clock } = context.runtime;
  const started = clock.monotonic();
  const first = await context.control.load(context.migration.name);
  const to = options.to ?? phaseBehind(first);
  if (to === null)
    throw new ChangeoverError('TRANSITION_REFUSED', `There is no way back from ${first.phase}.`);
  // Before anything is done: half of the way there is through the source's guard.
  if (first.gap && !follows(to))
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      `Nobody follows in ${to}, and the gap of a rescue is open: decide its records first (changeover rescue list), or go to dual-write.`,
    );
  const act = { actor: options.actor, reason: options.reason };
  let cutover: SwitchResult | undefined;
  if (first.phase === 'write-switch') {
    if (authorityOf(to) !== 'source')
      throw new ChangeoverError(
        'TRANSITION_REFUSED',
        `${to} is not an earlier phase than write-switch.`,
      );
    cutover = await reverse(context, controller, first, follows(to) ? to : 'dual-write', act);
  }
  const back = await backWithControlAlone(context, to, act, started, cutover ? null : first);
  // The write switch was faster than the operator: the way back is a change of authority now.
  if (back === 'switched') return rollbackMigration(context, controller, { ...options, to });
  const { state, ms } = back;
  const done = (now: MigrationState, pending: string | null): RollbackResult => ({
    state: now,
    ms: cutover ? clock.monotonic() - started : ms,
    pending,
    ...(cutover ? { cutover } : {}),
  });
  // Reads are back from here on; the rest looks after the guards, with whatever answers.
  const undone = await undoInterrupted(context, state, act);
  if (undone.state.phase === 'off') await shutTarget(context, undone.state.epoch);
  if (undone.pending !== null || follows(to) || undone.state.phase === to)
    return done(undone.state, undone.pending);
  return stopFollowing(context, undone.state, to, act, done);
}

/** The change of authority to the source. An attempt that somebody left half-way is undone first. */
async function reverse(
  context: MigrationContext,
  controller: ControllerOptions,
  state: MigrationState,
  phaseAfter: Phase,
  act: Act,
): Promise<SwitchResult> {
  if (state.cutover !== null) {
    const resumed = await resumeCutover(context, {
      force: state.cutover.status === 'aborting',
      ...act,
    });
    if (resumed.outcome === 'running' || resumed.outcome === 'pending')
      throw new ChangeoverError(
        'TRANSITION_REFUSED',
        `A change of authority is under way: ${resumed.message}.`,
      );
  }
  return switchAuthority(context, {
    ...controller.cutover,
    ...(controller.drain ? { drain: controller.drain } : {}),
    ...(controller.onStep ? { onStep: controller.onStep } : {}),
    to: 'source',
    phaseAfter,
    ...act,
  });
}

/**
 * One compare-and-set. A goal without a follower (`off`, `shadow-write`) is reached in two: `dual-write` first, because leaving
 * the journal behind needs the source's guard, and reads must not wait for that.
 */
async function backWithControlAlone(
  context: MigrationContext,
  to: Phase,
  act: Act,
  started: number,
  known: MigrationState | null,
): Promise<{ readonly state: MigrationState; readonly ms: number } | 'switched'> {
  const { clock } = context.runtime;
  const now = known ?? (await context.control.load(context.migration.name));
  const stop = follows(to) || !follows(now.phase) ? to : 'dual-write';
  if (isThere(now, stop)) return { state: now, ms: clock.monotonic() - started };
  try {
    const state = await applyEvent(context, { type: 'rollback', to: stop }, act, undefined, now);
    return { state, ms: clock.monotonic() - started };
  } catch (error) {
    const later = await context.control.load(context.migration.name);
    const switched = later.phase === 'write-switch' && later.version > now.version;
    if (isChangeoverError(error, 'TRANSITION_REFUSED') && switched) return 'switched';
    throw error;
  }
}

function isThere(state: MigrationState, to: Phase): boolean {
  const clean =
    state.dialBasisPoints === 0 && state.segments.length === 0 && state.cutover === null;
  return state.phase === to && clean;
}

async function undoInterrupted(
  context: MigrationContext,
  state: MigrationState,
  act: Act,
): Promise<{ readonly state: MigrationState; readonly pending: string | null }> {
  if (state.cutover === null) return { state, pending: null };
  try {
    const resumed = await resumeCutover(context, { ...act, force: true, undoMs: UNDO_MS });
    return {
      state: resumed.state,
      pending: resumed.outcome === 'pending' ? resumed.message : null,
    };
  } catch (error) {
    return { state, pending: messageOf(error) };
  }
}

/** From `dual-write` to a phase without a follower: the guard becomes idle *before* the state, or writes would be refused. */
async function stopFollowing(
  context: MigrationContext,
  state: MigrationState,
  to: Phase,
  act: Act,
  done: (state: MigrationState, pending: string | null) => RollbackResult,
): Promise<RollbackResult> {
  const { epoch } = state;
  try {
    await changeRole(context, 'source', 'authority', 'idle', epoch, GUARD_MS);
  } catch (error) {
    const why = `reads and writes are on the source; ${to} has to wait for the source's guard: ${messageOf(error)}`;
    return done(state, why);
  }
  let last: MigrationState;
  try {
    last = await applyEvent(context, { type: 'rollback', to }, act, state.version);
  } catch (error) {
    const now = await context.control.load(context.migration.name).catch(() => null);
    if (now !== null && follows(now.phase) && now.epoch === epoch)
      await changeRole(context, 'source', 'idle', 'authority', epoch, GUARD_MS).catch(() => {});
    throw error;
  }
  if (to === 'off') await shutTarget(context, epoch);
  await forgetLog(context).catch(() => {});
  return done(last, null);
}

/**
 * Nobody reads the log any more, which must not fill a disk; nor does anybody need what a switch prepared that was undone. Whoever starts again begins
 * a new one, and may have done so already.
 */
async function forgetLog(context: MigrationContext): Promise<void> {
  const { phase } = await context.control.load(context.migration.name);
  if (!follows(phase)) await removeAllStreams(context);
}

/** Nobody applies changes any more: late ones find the door shut. A target that does not answer keeps nobody in the phase. */
async function shutTarget(context: MigrationContext, epoch: number): Promise<void> {
  await changeRole(context, 'target', 'follower', 'idle', epoch, GUARD_MS).catch(() => {});
}

/** Ends the attempt, see `Controller.abort`. */
export async function abortMigration(
  context: MigrationContext,
  controller: ControllerOptions,
  options: AbortOptions,
): Promise<MigrationState> {
  const { takeOver, ...act } = options;
  const state = await context.control.load(context.migration.name);
  if (state.phase === 'retired')
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      'The migration is retired: decommission it instead.',
    );
  if (takeOver === true && state.phase !== 'off')
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      `This control store has the migration in ${state.phase}: only a new one, in off, can take over.`,
    );
  if (state.phase !== 'off') {
    const { pending } = await rollbackMigration(context, controller, { ...act, to: 'off' });
    if (pending !== null)
      throw new ChangeoverError(
        'STORE_UNAVAILABLE',
        `The attempt cannot be ended yet: ${pending}.`,
      );
  }
  return decommissionMigration(context, act, takeOver === true);
}

/** Removes everything of ours, see `Controller.decommission`. */
export async function decommissionMigration(
  context: MigrationContext,
  act: Act,
  takeOver = false,
): Promise<MigrationState> {
  const { control, migration, stores } = context;
  const state = await control.load(migration.name);
  if (state.phase !== 'off' && state.phase !== 'retired')
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      `The migration is in ${state.phase}: abort or retire it first.`,
    );
  // The queue holds what has not reached the other side yet: what another control store relies on must not go.
  if (!takeOver) await refuseForeignGuard(context, { deadlineMs: GUARD_MS });
  // A write in flight that still journals would fail when its table goes.
  await waitForAcknowledgements(context, state.version, {
    timeoutMs: FLEET_MS,
    expired: 'ignore',
    kinds: ['router', 'worker'],
  });
  const removed = [
    ...(await stores.target.setup.objects()),
    ...(await stores.source.setup.objects()),
  ];
  for (const side of ['target', 'source'] as const) await stores[side].setup.uninstall();
  await control.note(migration.name, {
    ...act,
    action: 'decommission',
    detail: { removed: removed.map(({ kind, name }) => `${kind} ${name}`) },
  });
  const now = await control.load(migration.name);
  if (now.version !== state.version)
    throw new ChangeoverError(
      'STATE_CHANGED',
      'The migration was started again while it was being removed.',
    );
  return now;
}
