import {
  approvalAction,
  approvalDetail,
  type MigrationContext,
  plainName,
} from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { Phase } from '../migration/index.ts';
import type { ApproveOptions, ApproveResult, Plan } from './controller-types.ts';

/**
 * Notes an approval, see `Controller.approve`. A state that changes in between voids it: its line then stands behind the change, but names the
 * version before.
 */
export async function approveStep(
  context: MigrationContext,
  { actor, reason, to }: ApproveOptions,
  plan: (to: Phase | undefined, requester: string | null) => Promise<Plan>,
): Promise<ApproveResult> {
  const by = actor.trim();
  if (plainName(by) === '' || reason.trim() === '')
    throw new ChangeoverError(
      'CONFIG_INVALID',
      'An approval needs a name (--as NAME) and a reason (--reason TEXT): both stand in the audit.',
    );
  const { control, migration } = context;
  const made = await plan(to, null);
  const state = await control.load(migration.name);
  if (state.version !== made.stateVersion)
    throw new ChangeoverError(
      'STATE_CHANGED',
      `While the gates were looked at the state went from version ${made.stateVersion} to ${state.version}: look again.`,
    );
  await control.note(migration.name, {
    actor: by,
    action: approvalAction,
    reason,
    detail: {
      ...approvalDetail(state, made.to, made.hash),
      // What the approver could see; it is asked anew at the advance.
      gates: made.gates.map(({ gate, verdict, message }) => ({ gate, verdict, message })),
    },
  });
  return { plan: await plan(made.to, null), by };
}
