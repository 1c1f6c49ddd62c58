import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import {
  authorityOf,
  forwardIsShut,
  type MigrationState,
  routingTable,
  type Side,
} from '../migration/index.ts';
import type { GuardRole, GuardState } from '../store/index.ts';
import { hasTraffic, heldMark, saysHeld } from './held-mark.ts';

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

/** `held`: the mark stays, because it says that traffic is held by hooks that this process does not have. */
export type ClearedMark =
  | { readonly outcome: 'nothing' | 'cleared' }
  | { readonly outcome: 'held'; readonly mark: string };

/**
 * Gives a guard that still carries the mark of an ended attempt the role of the state. Sound because the guard is read *before* the
 * state: an attempt that is not under way in the later look has ended for good, so a row with its mark can only be a
 * leftover; and the change is a compare-and-set from exactly that row.
 *
 * A row of an earlier epoch is none that an attempt left: STORE_RESTORED.
 *
 * A mark that says that hooks hold traffic is not removed by a process that has none, because it is all that says so: the store gets its role, and lets foreign
 * writers in where it is the authority, and the mark stays for somebody who has them.
 */
export async function clearStaleMark(
  context: MigrationContext,
  side: Side,
  lockTimeoutMs: number,
): Promise<ClearedMark> {
  const { guard } = context.stores[side];
  const row = await guard.read();
  if (row.attempt === null) return { outcome: 'nothing' };
  const state = await context.control.load(context.migration.name);
  if (state.cutover !== null) return { outcome: 'nothing' };
  const expected = expectedGuard(state, side);
  // Whoever collects the gap looks what the row says of the target; only what the rescue itself left is put right here.
  if (side === 'target' && forwardIsShut(state) && !sameRole(row, expected))
    return { outcome: 'nothing' };
  // Both guards go on before an epoch is published: a mark of an earlier one is a copy of before.
  if (row.epoch < state.epoch)
    throw new ChangeoverError(
      'STORE_RESTORED',
      `The guard of the ${side} is ${describeGuard(row)}, and epoch ${state.epoch} was published after attempt ${row.attempt} had ended: the ${side} was restored from a backup. It stays shut to changes as it is.`,
      { data: { side, role: row.role, epoch: row.epoch } },
    );
  if (saysHeld(row.attempt) && !hasTraffic(context)) {
    const mark = heldMark(row.attempt);
    if (row.attempt !== mark || !sameRole(row, expected))
      await guard.change(row, { ...expected, attempt: mark }, lockTimeoutMs);
    return { outcome: 'held', mark };
  }
  const cleared = await guard.change(row, expected, lockTimeoutMs);
  return { outcome: cleared ? 'cleared' : 'nothing' };
}
