import { ChangeoverError } from '../errors/index.ts';
import type { MigrationState, Side } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { GuardState } from '../store/index.ts';
import type { MigrationContext } from './migration-context.ts';

/** A guard that this control store cannot have set: the sign of a second control store, or of an old copy of this one. */
export interface ForeignGuard {
  readonly side: Side;
  readonly guard: GuardState;
  /** The store that takes the writes by what the guards say; null: they do not say. */
  readonly authority: Side | null;
  /** What was seen. What to do stands in the error CONTROL_MISMATCH. */
  readonly message: string;
}

export interface ForeignGuardOptions {
  /** A store that does not answer within this says nothing. */
  readonly deadlineMs: number;
  /** Look at the epochs alone: the one sign on which a router or worker has to stop. */
  readonly epochsOnly?: boolean;
  /** The state as the caller has just seen it; saves a look. */
  readonly known?: MigrationState;
}

type Guards = Readonly<Record<Side, GuardState | null>>;

/** `start` notes this before it installs anything, so that guards without it in the audit are somebody else's. */
export const startBegun = 'start-begun';

const sides: readonly Side[] = ['source', 'target'];
/** A state that changes under each look is being worked on with this very control store. */
const looksMax = 3;
const auditLines = 500;

/**
 * Looks whether a store's guard belongs to another control store. Two reads by key and no more while all is well; stores that are down
 * or without a guard say nothing. Sound beside any other process: a sign counts only when the state is the same before and after the look at
 * the guards, because a guard rises above the state's epoch only while the state shows that change of authority, or was left so by one that the audit names and
 * its mark, too. CONTROL_UNAVAILABLE.
 */
export async function findForeignGuard(
  context: MigrationContext,
  options: ForeignGuardOptions,
): Promise<ForeignGuard | null> {
  const { control, migration } = context;
  let before = options.known ?? (await control.load(migration.name));
  for (let look = 1; look <= looksMax; look++) {
    const guards = await readGuards(context, options.deadlineMs);
    const state = before;
    const signs = sides.flatMap((side) => signOf(state, side, guards[side], options));
    if (signs.length === 0) return null;
    const after = await control.load(migration.name);
    if (after.version === before.version) return stillForeign(context, after, signs, guards);
    before = after;
  }
  return null;
}

/** Throws CONTROL_MISMATCH when there is a foreign guard. */
export async function refuseForeignGuard(
  context: MigrationContext,
  options: ForeignGuardOptions,
): Promise<void> {
  const found = await findForeignGuard(context, options);
  if (found !== null) throw foreignGuardError(found);
}

/** The error for callers that have looked already. */
export function foreignGuardError({
  side,
  guard,
  authority,
  message,
}: ForeignGuard): ChangeoverError {
  return new ChangeoverError('CONTROL_MISMATCH', message, {
    data: { side, role: guard.role, epoch: guard.epoch, authority },
  });
}

async function readGuards(context: MigrationContext, deadlineMs: number): Promise<Guards> {
  const read = (side: Side): Promise<GuardState | null> =>
    withDeadline(
      context.runtime.clock,
      deadlineMs,
      `a look at the guard of the ${side}`,
      context.stores[side].guard.read(),
    ).catch(() => null);
  const [source, target] = await Promise.all([read('source'), read('target')]);
  return { source, target };
}

interface Sign {
  readonly side: Side;
  readonly guard: GuardState;
  readonly why: 'epoch' | 'never-started' | 'off';
}

function signOf(
  state: MigrationState,
  side: Side,
  guard: GuardState | null,
  { epochsOnly }: ForeignGuardOptions,
): readonly Sign[] {
  if (guard === null) return [];
  if (guard.epoch > (state.cutover?.epoch ?? state.epoch)) return [{ side, guard, why: 'epoch' }];
  if (epochsOnly === true || state.phase !== 'off' || guard.role === 'idle') return [];
  // A target that did not answer when the migration went back to `off` is a follower still.
  if (side === 'target' && guard.role === 'follower' && state.version > 1) return [];
  return [{ side, guard, why: state.version === 1 ? 'never-started' : 'off' }];
}

/** In `off` a guard that is not idle is ours when a start of this generation was begun here and did not end. */
async function stillForeign(
  context: MigrationContext,
  state: MigrationState,
  signs: readonly Sign[],
  guards: Guards,
): Promise<ForeignGuard | null> {
  const sign = signs.find(({ why }) => why === 'epoch') ?? signs[0];
  if (sign === undefined) return null;
  const { why, guard } = sign;
  const ours =
    why === 'epoch'
      ? await attemptWasBegun(context, state, guard)
      : await startWasBegun(context, state);
  if (ours) return null;
  const authority = sides.find((side) => guards[side]?.role === 'authority') ?? null;
  return { side: sign.side, guard: sign.guard, authority, message: words(context, state, sign) };
}

/** A store that did not answer to the undo of an attempt is as that attempt left it, with its mark, until somebody reaches it. */
async function attemptWasBegun(
  context: MigrationContext,
  state: MigrationState,
  { attempt }: GuardState,
): Promise<boolean> {
  if (attempt === null) return false;
  const lines = await context.control.history(state.migration, auditLines);
  return lines.some(
    ({ action, detail }) => action === 'cutover-begin' && detail['attempt'] === attempt,
  );
}

async function startWasBegun(context: MigrationContext, state: MigrationState): Promise<boolean> {
  const lines = await context.control.history(state.migration, auditLines);
  return lines.some(
    ({ action, detail }) => action === startBegun && detail['generation'] === state.generation,
  );
}

function words(
  { control, migration }: MigrationContext,
  state: MigrationState,
  sign: Sign,
): string {
  const { side, guard, why } = sign;
  const seen = `The guard in the ${side} is ${guard.role} in epoch ${guard.epoch}`;
  const here = `the control store ${control.display}`;
  if (why === 'epoch') {
    return `${seen}, but ${here} has "${migration.name}" in epoch ${state.epoch} (${state.phase}): it is another one, or an old copy.`;
  }
  const known = why === 'off' ? 'says off' : 'has never started it';
  return `${seen}: "${migration.name}" is running, but ${here} ${known}. It is another one than the migration was started with.`;
}
