import { type MigrationContext, refuseForeignGuard } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import type { MigrationState } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { StateMemory } from './state-memory.ts';

/** How long the look at the guards may delay the start of an application. */
const guardLookMs = 1_000;

export interface FirstState {
  readonly state: MigrationState;
  /** False: it is the one that this host remembered. */
  readonly reachable: boolean;
}

/**
 * The state with which a process begins: the control store's, or the remembered one. Never a compile-time default.
 * Errors: CONTROL_UNAVAILABLE, CONTROL_MISMATCH.
 */
export async function firstState(
  context: MigrationContext,
  options: { readonly leaseMs: number; readonly memory: StateMemory | null },
): Promise<FirstState> {
  const { control, events, migration, runtime } = context;
  let state: MigrationState;
  try {
    const load = control.load(migration.name);
    state = await withDeadline(runtime.clock, options.leaseMs, 'The first look', load);
  } catch (error) {
    // It may be behind for good reasons: the guards refuse its writes, and news will come.
    const remembered = await options.memory?.load(migration.name);
    if (remembered) {
      events.emit({ type: 'control', reachable: false, error: messageOf(error) });
      return { state: remembered, reachable: false };
    }
    throw new ChangeoverError(
      'CONTROL_UNAVAILABLE',
      `The state of "${migration.name}" is not known: the control store does not answer and there is no remembered state.`,
      { cause: error },
    );
  }
  await refuseWrongControlStore(context, state);
  return { state, reachable: true };
}

/**
 * An epoch beyond the state's means that the authority may lie elsewhere than this control store believes: writes would be refused, but
 * reads would silently be old. Stores that do not answer in time delay nobody further.
 */
async function refuseWrongControlStore(
  context: MigrationContext,
  known: MigrationState,
): Promise<void> {
  const looking = { deadlineMs: guardLookMs, epochsOnly: true, known };
  const what = 'A look at the guards';
  await withDeadline(
    context.runtime.clock,
    2 * guardLookMs,
    what,
    refuseForeignGuard(context, looking),
  ).catch((error: unknown) => {
    if (isChangeoverError(error, 'CONTROL_MISMATCH')) throw error;
  });
}
