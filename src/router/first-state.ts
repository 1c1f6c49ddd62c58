import { type MigrationContext, refuseForeignGuard } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import { authorityOf, type MigrationState, routingTable } from '../migration/index.ts';
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
      await refuseOutdated(context, remembered, error);
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
 * Authority has moved since this host remembered it: the guards would refuse writes, but nothing would refuse reads, and the store that was
 * left may be emptied for a new generation by now. A store that does not answer serves no reads either.
 */
async function refuseOutdated(
  { migration, runtime, stores }: MigrationContext,
  remembered: MigrationState,
  cause: unknown,
): Promise<void> {
  const side = authorityOf(remembered.phase);
  const what = `a look at the guard of the ${side}`;
  const look = withDeadline(runtime.clock, guardLookMs, what, stores[side].guard.read());
  const guard = await look.catch(() => null);
  if (guard === null) return;
  const moved = guard.epoch > (remembered.cutover?.epoch ?? remembered.epoch);
  // Whoever leaves a phase with a follower makes this guard idle first, or takes it away.
  const left = routingTable[remembered.phase].follow === 'apply' && guard.role === 'idle';
  if (!moved && !left) return;
  throw new ChangeoverError(
    'CONTROL_UNAVAILABLE',
    `The state of "${migration.name}" that this host remembers is out of date (${remembered.phase}, epoch ${remembered.epoch}): the guard of the ${side} is ${guard.role} in epoch ${guard.epoch}. The control store, which knows more, does not answer.`,
    { cause, data: { remembered: remembered.version, epoch: guard.epoch } },
  );
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
