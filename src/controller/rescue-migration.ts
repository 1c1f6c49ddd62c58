import { logLag } from '../capture/index.ts';
import { coordinatorPrefix, type MigrationContext } from '../control/index.ts';
import {
  type CutoverLimits,
  resumeCutover,
  type SwitchResult,
  switchAuthority,
} from '../cutover/index.ts';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import { authorityOf, type MigrationState, type Phase, routingTable } from '../migration/index.ts';
import type { QueueDepth } from '../queue/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { GuardState } from '../store/index.ts';
import type { Act, ControllerOptions } from './controller-types.ts';

/** A target that does not answer within this does not answer. */
const TARGET_MS = 2_000;
const UNDO_MS = 5_000;
/**
 * Instances acknowledge when no write of theirs is on its way to the target any more. Where the target hangs that is after `writes.authorityTimeoutMs` (10 s unless
 * configured), and an undo would only send the held writes into the same store.
 */
const HANGING = { ackTimeoutMs: 12_000, holdMs: 15_000 };

export interface RescueOptions extends Act {
  /** A phase with a follower, before `write-switch`. Default `read-switch`. */
  readonly to?: Phase;
  /** The target does not answer: go on without sealing it first. */
  readonly targetUnreachable?: boolean;
}

/** What a rescue would leave behind, as far as it can be seen now. */
export interface RescueSurvey {
  readonly state: MigrationState;
  /** null: nothing stands in the way. */
  readonly refusal: string | null;
  readonly target: {
    /** null: it does not answer, see `error`. */
    readonly guard: GuardState | null;
    /** Changes of the reverse direction that the source may lack; dead ones are not lost either. */
    readonly queue: QueueDepth | null;
    readonly error: string | null;
  };
  /** null: nothing is captured from the log. `behind`: sequence of the end less that of the source's place (bytes, in PostgreSQL); null: not known. */
  readonly log: {
    readonly position: string | null;
    readonly end: string | null;
    readonly behind: bigint | null;
    readonly error: string | null;
  } | null;
  /** Routers; those whose lease holds have to acknowledge. */
  readonly routers: readonly {
    readonly id: string;
    readonly label: string;
    readonly alive: boolean;
  }[];
}

/** Looks, and changes nothing. */
export async function surveyRescue(
  context: MigrationContext,
  to: Phase = 'read-switch',
): Promise<RescueSurvey> {
  const { clock } = context.runtime;
  const state = await context.control.load(context.migration.name);
  const { guard, queue } = context.stores.target;
  const ask = <T>(what: string, work: Promise<T>): Promise<T> =>
    withDeadline(clock, TARGET_MS, `${what} of the target`, work);
  const problems: string[] = [];
  const orNull = <T>(work: Promise<T>): Promise<T | null> =>
    work.catch((error: unknown) => {
      problems.push(messageOf(error));
      return null;
    });
  const [row, depth, log, fleet] = await Promise.all([
    orNull(ask('the guard', guard.read())),
    orNull(ask('the queue', queue.depth())),
    logBehind(context, state),
    context.control.fleet.list(context.migration.name),
  ]);
  const routers = fleet.instances
    .filter(({ id, kind }) => kind === 'router' && !id.startsWith(coordinatorPrefix))
    .map(({ id, label, leaseUntilMs }) => ({ id, label, alive: leaseUntilMs > fleet.nowMs }));
  return {
    state,
    refusal: refusalOf(state, to),
    target: { guard: row, queue: depth, error: problems[0] ?? null },
    log,
    routers,
  };
}

async function logBehind(
  context: MigrationContext,
  state: MigrationState,
): Promise<RescueSurvey['log']> {
  if (authorityOf(state.phase) !== 'target') return null;
  try {
    const lag = await withDeadline(
      context.runtime.clock,
      TARGET_MS,
      'the log of the target',
      logLag(context, state),
    );
    if (lag === null) return null;
    const { position, end } = lag;
    const behind = position === null ? null : end.sequence - position.sequence;
    return { position: position?.text ?? null, end: end.text, behind, error: null };
  } catch (error) {
    return { position: null, end: null, behind: null, error: messageOf(error) };
  }
}

function refusalOf(state: MigrationState, to: Phase): string | null {
  if (state.gap)
    return `the gap of the last rescue is open (${state.gap.stage}): changeover rescue list`;
  if (state.phase === 'retired')
    return 'the migration is retired: nothing comes back to the source';
  if (state.phase !== 'write-switch')
    return `the source is the authority (${state.phase}): changeover rollback`;
  if (authorityOf(to) !== 'source' || routingTable[to].follow !== 'apply')
    return `${to} is not a phase in which the target follows the source`;
  return null;
}

/**
 * Authority back to the source now, without the reverse direction drained; what the source lacks is the gap, see `GapDesk`. An attempt that somebody else left
 * half-way is undone first, also when the target cannot be asked about it.
 *
 * TRANSITION_REFUSED unless the target is the authority; STORE_UNAVAILABLE when the target does not answer and nobody said so; FLEET_NOT_ACKNOWLEDGED when
 * a running router does not acknowledge; CUTOVER_ABORTED, REVERSE_NOT_DRAINED: undone.
 */
export async function rescueMigration(
  context: MigrationContext,
  controller: ControllerOptions,
  options: RescueOptions,
): Promise<SwitchResult> {
  const { actor, reason, targetUnreachable, to = 'read-switch' } = options;
  const act = { actor, reason };
  const state = await context.control.load(context.migration.name);
  const refusal = refusalOf(state, to);
  if (refusal !== null) throw new ChangeoverError('TRANSITION_REFUSED', `No rescue: ${refusal}.`);
  if (state.cutover !== null) {
    const abandonOld = targetUnreachable === true;
    const undo = { force: true, abandonOld, undoMs: UNDO_MS };
    const resumed = await resumeCutover(context, { ...act, ...undo });
    if (resumed.outcome === 'pending')
      throw new ChangeoverError(
        'STORE_UNAVAILABLE',
        `An attempt that was left half-way cannot be undone yet: ${resumed.message}. If it is the target that does not answer: \`changeover rescue --target-unreachable\`.`,
      );
  }
  return switchAuthority(context, {
    ...controller.cutover,
    ...(targetUnreachable ? patience(controller.cutover) : {}),
    ...(controller.onStep ? { onStep: controller.onStep } : {}),
    to: 'source',
    phaseAfter: to,
    rescue: targetUnreachable ? 'unreachable' : 'sealed',
    ...act,
  });
}

const patience = (
  given: ControllerOptions['cutover'],
): Pick<CutoverLimits, 'ackTimeoutMs' | 'holdMs'> => ({
  ackTimeoutMs: Math.max(given?.ackTimeoutMs ?? 0, HANGING.ackTimeoutMs),
  holdMs: Math.max(given?.holdMs ?? 0, HANGING.holdMs),
});
