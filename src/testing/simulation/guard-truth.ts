import { expectedGuard } from '../../cutover/index.ts';
import type { MigrationState, Side } from '../../migration/index.ts';
import type { GuardState } from '../../store/index.ts';

/**
 * What is wrong with a change of a guard's role or epoch that an attempt made or took back, judged by the published state; null: nothing. An
 * attempt moves guards only while it is under way (SPEC.md, C3); what it left is put right by its undo, or to what the state says.
 */
export function guardFault(
  state: MigrationState,
  side: Side,
  before: GuardState,
  after: GuardState,
): string | null {
  if (before.role === after.role && before.epoch === after.epoch) return null;
  const attempt = after.attempt ?? before.attempt;
  if (attempt === null || state.cutover?.attempt === attempt) return null;
  const expected = expectedGuard(state, side);
  const asTheStateSays = after.role === expected.role && after.epoch === expected.epoch;
  if (after.attempt === null && state.cutover === null && asTheStateSays) return null;
  const now = state.cutover === null ? 'none is under way' : `${state.cutover.attempt} is`;
  return `attempt ${attempt} made ${after.role}/${after.epoch} of the ${side}'s ${before.role}/${before.epoch}, and ${now} in epoch ${state.epoch}`;
}
