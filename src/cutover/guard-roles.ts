import type { MigrationContext } from '../control/index.ts';
import {
  authorityOf,
  forwardIsShut,
  type MigrationState,
  routingTable,
  type Side,
} from '../migration/index.ts';
import type { GuardRole, GuardState } from '../store/index.ts';

/**
 * The role that a store's guard has while nothing is under way. Where nobody follows, the authority is `idle`: the only role that lets
 * unjournalled writes in. SPEC.md, table G.
 */
export function expectedRole(phase: MigrationState['phase'], side: Side): GuardRole {
  const follows = routingTable[phase].follow === 'apply';
  if (authorityOf(phase) === side) return follows ? 'authority' : 'idle';
  return phase === 'off' ? 'idle' : 'follower';
}

/** The guard that a store should show in this state, without an attempt's mark. */
export function expectedGuard(state: MigrationState, side: Side): GuardState {
  // What a rescue left behind stands there alone: nothing may come over it.
  const sealed = side === 'target' && forwardIsShut(state);
  const role = sealed ? 'sealed' : expectedRole(state.phase, side);
  return { role, epoch: state.epoch, attempt: null };
}

/** Same role and epoch, whatever the mark. */
export function sameRole(a: GuardState, b: GuardState): boolean {
  return a.role === b.role && a.epoch === b.epoch;
}

/** `authority/3/ab12`, for messages. */
export function describeGuard(guard: GuardState): string {
  return `${guard.role}/${guard.epoch}/${guard.attempt ?? '-'}`;
}

/**
 * Gives a guard that still carries the mark of an ended attempt the role of the state. Sound because the guard is read *before* the
 * state: an attempt that is not under way in the later look has ended for good, so a row with its mark can only be a
 * leftover; and the change is a compare-and-set from exactly that row. True when something was changed.
 */
export async function clearStaleMark(
  context: MigrationContext,
  side: Side,
  lockTimeoutMs: number,
): Promise<boolean> {
  const { guard } = context.stores[side];
  const row = await guard.read();
  if (row.attempt === null) return false;
  const state = await context.control.load(context.migration.name);
  if (state.cutover !== null) return false;
  return guard.change(row, expectedGuard(state, side), lockTimeoutMs);
}
