import { logLag, observeFollowing } from '../capture/index.ts';
import {
  type BackfillCheckpoint,
  findForeignGuard,
  type MigrationContext,
} from '../control/index.ts';
import { type CutoverLimits, type WayBack, wayBack } from '../cutover/index.ts';
import { messageOf } from '../errors/index.ts';
import type { Gate, GateProfile } from '../gates/index.ts';
import {
  authorityOf,
  type MigrationState,
  type Phase,
  routingTable,
  type Side,
} from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { phaseAhead, planFor } from './advance-migration.ts';
import type {
  FleetGroup,
  LogStatus,
  Plan,
  RollbackReadiness,
  SideStatus,
  Status,
} from './controller-types.ts';
import { lastDrill } from './last-drill.ts';
import { rogueWrites } from './rogue-writes.ts';
import { phaseBehind } from './rollback-migration.ts';

/** A store that does not answer within this is shown as such. */
const STORE_MS = 2_000;
const ROGUES_SHOWN = 5;
/** A change of state reaches every instance within this. */
const SPREAD_MS = 1_000;

/** Where are we, may we advance, why not, how fast can we undo. See `Controller.status`. */
export async function migrationStatus(
  context: MigrationContext,
  profile: GateProfile,
  furtherGates: (to: Phase) => readonly Gate[],
  limits: CutoverLimits,
): Promise<Status> {
  const { control, migration } = context;
  const state = await control.load(migration.name);
  const follows = routingTable[state.phase].follow === 'apply';
  const [back, following, drill] = await Promise.all([
    authorityOf(state.phase) === 'target' && follows ? wayBack(context, state, limits) : null,
    follows ? observeFollowing(context, state, STORE_MS) : null,
    lastDrill(context, state),
  ]);
  const rogues = await withDeadline(
    context.runtime.clock,
    STORE_MS,
    'notes of foreign writes',
    rogueWrites(context, state, ROGUES_SHOWN),
  ).catch(() => null);
  const [fleet, source, target, log, backfill, suspect, open, next, foreign] = await Promise.all([
    fleetGroups(context),
    sideStatus(context, state, 'source'),
    sideStatus(context, state, 'target'),
    logStatus(context, state),
    checkpoints(context, state),
    control.mismatches.count(migration.name, 'suspect'),
    control.mismatches.count(migration.name, 'unexplained'),
    nextPlan(context, state, profile, furtherGates),
    findForeignGuard(context, { deadlineMs: STORE_MS }),
  ]);
  const sides = { source, target };
  return {
    observedAtMs: context.runtime.clock.now(),
    state,
    fleet,
    sides,
    log,
    following,
    backfill,
    mismatches: { suspect, open },
    foreign,
    next,
    rollback: rollbackReadiness(state, back),
    lastDrill: drill,
    rogues,
  };
}

async function nextPlan(
  context: MigrationContext,
  state: MigrationState,
  profile: GateProfile,
  furtherGates: (to: Phase) => readonly Gate[],
): Promise<Plan | null> {
  const to = phaseAhead(state.phase);
  if (to === null || state.cutover !== null || state.gap !== undefined) return null;
  return planFor(context, state, to, profile, furtherGates(to), null);
}

async function fleetGroups(context: MigrationContext): Promise<readonly FleetGroup[]> {
  const { nowMs, instances } = await context.control.fleet.list(context.migration.name);
  const groups = new Map<number, FleetGroup['instances'][number][]>();
  for (const instance of instances) {
    const group = groups.get(instance.acknowledgedVersion) ?? [];
    group.push({ ...instance, alive: instance.leaseUntilMs > nowMs });
    groups.set(instance.acknowledgedVersion, group);
  }
  return [...groups]
    .sort(([a], [b]) => b - a)
    .map(([stateVersion, members]) => ({ stateVersion, instances: members }));
}

async function sideStatus(
  context: MigrationContext,
  state: MigrationState,
  side: Side,
): Promise<SideStatus> {
  const { clock } = context.runtime;
  const { engine, guard, queue, setup } = context.stores[side];
  const role = authorityOf(state.phase) === side ? 'authority' : 'follower';
  const ask = <T>(what: string, work: Promise<T>): Promise<T | Error> =>
    withDeadline(clock, STORE_MS, `${what} of the ${side}`, work).catch((error: unknown) =>
      error instanceof Error ? error : new Error(messageOf(error)),
    );
  const objects = await ask('the objects', setup.objects());
  if (!(objects instanceof Error) && objects.length === 0)
    return { engine, role, installed: false, guard: null, queue: null, error: null };
  const [row, depth] = await Promise.all([
    ask('the guard', guard.read()),
    ask('the queue', queue.depth()),
  ]);
  const problem = [objects, row, depth].find((answer) => answer instanceof Error);
  return {
    engine,
    role,
    installed: objects instanceof Error ? null : true,
    guard: row instanceof Error ? null : row,
    queue: depth instanceof Error ? null : depth,
    error: problem instanceof Error ? problem.message : null,
  };
}

async function logStatus(
  context: MigrationContext,
  state: MigrationState,
): Promise<LogStatus | null> {
  if (routingTable[state.phase].follow !== 'apply') return null;
  const { clock } = context.runtime;
  const none = { position: null, end: null, level: false, retention: null };
  try {
    const lag = await withDeadline(clock, STORE_MS, 'the log', logLag(context, state));
    if (lag === null) return null;
    const { position, end, retention } = lag;
    return {
      position: position?.text ?? null,
      end: end.text,
      level: position !== null && position.sequence >= end.sequence,
      retention,
      error: position === null ? 'the follower does not know where its log begins' : null,
    };
  } catch (error) {
    return { ...none, error: messageOf(error) };
  }
}

async function checkpoints(
  context: MigrationContext,
  state: MigrationState,
): Promise<readonly BackfillCheckpoint[]> {
  const found = await Promise.all(
    [...context.migration.collections.keys()].map((name) =>
      context.control.checkpoint(context.migration.name, name),
    ),
  );
  return found.flatMap((one) => (one?.generation === state.generation ? [one] : []));
}

function rollbackReadiness(state: MigrationState, back: WayBack | null): RollbackReadiness {
  const to = phaseBehind(state);
  const never = { ready: false, to, readsMs: null, writesMs: null, obstacles: [] };
  if (to === null)
    return {
      ...never,
      message:
        state.phase === 'off' ? 'There is nothing to undo.' : 'Retired: there is no way back.',
    };
  if (back === null) {
    const message =
      'Reads go back with one entry in the control store; writes never left the source.';
    return { ready: true, to, readsMs: SPREAD_MS, writesMs: 0, message, obstacles: [] };
  }
  const { ready, ms, obstacles, rehearsal } = back;
  if (!ready)
    return { ...never, obstacles, message: obstacles.map(({ reason }) => reason).join(' ') };
  const { prediction, following } = rehearsal;
  const message = `${following.queue?.waiting ?? 0} changes of the reverse direction have to drain, then authority changes; writes are held for about ${prediction?.ms ?? 0} ms.`;
  return { ready, to, readsMs: ms, writesMs: ms, message, obstacles };
}
