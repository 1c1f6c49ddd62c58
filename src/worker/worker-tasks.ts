import { runBackfill } from '../backfill/index.ts';
import {
  drainOnce,
  endStreams,
  followLog,
  loggedCollections,
  logReaders,
  logStopped,
  moveIdleStreams,
  removeStreams,
  workerSuffix,
} from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { resumeCutover, wayBack } from '../cutover/index.ts';
import { dispositionOf, messageOf } from '../errors/index.ts';
import {
  authorityOf,
  forwardIsShut,
  type MigrationState,
  routingTable,
} from '../migration/index.ts';
import { tendGap } from '../rescue/index.ts';
import type { StateView } from '../router/index.ts';
import { evidenceTask } from './evidence-task.ts';
import { modifiedTask } from './modified-task.ts';
import { parityTask } from './parity-task.ts';
import { recheckTask } from './recheck-task.ts';
import { repairTask } from './repair-task.ts';
import { rogueTask } from './rogue-task.ts';
import type { WorkerOptions } from './worker-options.ts';

/** One kind of background work, in turns. */
export interface WorkerTask {
  readonly name: string;
  /** Wait after a turn that found nothing to do; one that found work is repeated at once. */
  readonly idleMs: number;
  /** Does not run while the operator holds background work. */
  readonly holdable: boolean;
  readonly turn: (current: () => MigrationState, signal: AbortSignal) => Promise<'busy' | 'idle'>;
}

/** Everything that a worker does. */
export function workerTasks(
  context: MigrationContext,
  view: Pick<StateView, 'enter'>,
  options: WorkerOptions,
): readonly WorkerTask[] {
  return [
    logTask(context, view, options),
    idleStreamsTask(context, options),
    drainTask(context, view, options),
    measureTask(context, options),
    wayBackTask(context, options),
    rogueTask(context, options),
    evidenceTask(context),
    backfillTask(context, options),
    recheckTask(context, options),
    parityTask(context, options),
    modifiedTask(context, options),
    repairTask(context),
    resumeTask(context, options),
    gapTask(context, view, options),
  ];
}

/** Changes go to the follower in this state; after a rescue not before its gap is collected. */
const brings = (state: MigrationState): boolean =>
  routingTable[state.phase].follow === 'apply' && !forwardIsShut(state);

/**
 * A round holds records that it has read, so it runs under a pass: until it ends this worker acknowledges no newer state, and a new
 * generation does not begin. Else a record of the earlier one could enter a target that was emptied meanwhile, and stay there.
 */
function drainTask(
  context: MigrationContext,
  view: Pick<StateView, 'enter'>,
  options: WorkerOptions,
): WorkerTask {
  return {
    name: 'drain',
    idleMs: options.pollMs,
    holdable: false,
    async turn() {
      const pass = view.enter();
      try {
        if (!brings(pass.state)) return 'idle';
        const round = await drainOnce(context, pass.state, options.applier);
        return round.claimed > 0 && !round.storeDown ? 'busy' : 'idle';
      } finally {
        pass.leave();
      }
    },
  };
}

/**
 * Follows the authority's log. One worker at a time does: the first of those that are registered. That is only for peace; what keeps two from
 * applying the same is the checkpoint in the follower.
 */
function logTask(
  context: MigrationContext,
  view: Pick<StateView, 'enter'>,
  options: WorkerOptions,
): WorkerTask {
  let told = '';
  /** What stops the log is for a person: they look at the status, not at this process. */
  const tellOnce = async (reason: string): Promise<void> => {
    if (reason === told) return;
    const { control, instance, migration } = context;
    await control.note(migration.name, { actor: instance, action: logStopped, reason, detail: {} });
    told = reason;
  };
  return {
    name: 'log',
    idleMs: options.pollMs,
    holdable: false,
    async turn(current, signal) {
      const { epoch } = current();
      if (!brings(current())) return 'idle';
      if (loggedCollections(context.migration).length === 0) return 'idle';
      if (!(await isLogReader(context))) {
        await context.runtime.clock.sleep(options.measureMs, signal);
        return 'idle';
      }
      for (const side of ['source', 'target'] as const) await removeStreams(context, side, epoch);
      try {
        const result = await followLog(context, view, options.log, signal);
        return result === 'moved' ? 'busy' : 'idle';
      } catch (error) {
        if (dispositionOf(error) === 'halt') await tellOnce(messageOf(error));
        throw error;
      }
    },
  };
}

/** What is kept for a direction that has not begun, or for one that is over for good, must not fill a disk. */
function idleStreamsTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  return {
    name: 'idle-streams',
    idleMs: options.measureMs * IDLE_STREAMS_TURNS,
    holdable: false,
    async turn(current, signal) {
      const state = current();
      if (loggedCollections(context.migration).length === 0) return 'idle';
      if (state.phase === 'retired') await endStreams(context, 'target');
      if (!brings(state) || state.cutover !== null) return 'idle';
      if (!(await isLogReader(context))) return 'idle';
      await moveIdleStreams(context, state, signal);
      return 'idle';
    },
  };
}

/** Measurements in between. */
const IDLE_STREAMS_TURNS = 10;

/** Of those that are registered the first one; nobody is when the fleet has forgotten all of them. */
async function isLogReader(context: MigrationContext): Promise<boolean> {
  const [reader] = await logReaders(context);
  return reader === undefined || reader === `${context.instance}${workerSuffix}`;
}

function measureTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  return {
    name: 'measure',
    idleMs: options.measureMs,
    holdable: false,
    async turn(current) {
      const { phase } = current();
      if (routingTable[phase].follow !== 'apply') return 'idle';
      const side = authorityOf(phase);
      context.events.emit({ type: 'queue', side, ...(await context.stores[side].queue.depth()) });
      return 'idle';
    },
  };
}

/** After the write switch somebody has to notice that the way back is gone, before it is needed. */
function wayBackTask(context: MigrationContext, { wayBackMs, cutover }: WorkerOptions): WorkerTask {
  return {
    name: 'way-back',
    idleMs: wayBackMs ?? IDLE_MS,
    holdable: false,
    async turn(current) {
      const state = current();
      const reverse =
        authorityOf(state.phase) === 'target' && routingTable[state.phase].follow === 'apply';
      if (wayBackMs === null || !reverse || state.cutover !== null) return 'idle';
      const { ready, ms, obstacles } = await wayBack(context, state, cutover);
      const reasons = obstacles.map(({ reason }) => reason);
      context.events.emit({ type: 'way-back', ready, ms, reasons });
      return 'idle';
    },
  };
}

const IDLE_MS = 60_000;

/** Copies the collections one after the other, in the order of the configuration: parents before children. */
function backfillTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  let restoredIn: string | null = null;
  return {
    name: 'backfill',
    idleMs: 250,
    holdable: true,
    async turn(currentState, signal) {
      const { phase, generation, cutover } = currentState();
      const place = `${phase} ${generation}`;
      if (phase !== 'backfill' && restoredIn !== place) {
        await restoreIndexes(context);
        restoredIn = place;
      }
      if (options.backfill === null || phase !== 'backfill' || cutover !== null) return 'idle';
      if (!brings(currentState())) return 'idle';
      for (const name of context.migration.collections.keys()) {
        const checkpoint = await context.control.checkpoint(context.migration.name, name);
        if (checkpoint?.generation === generation && checkpoint.finishedAtMs !== null) continue;
        const result = await runBackfill(
          context,
          name,
          { ...options.backfill, currentState },
          signal,
        );
        if (result.reason === 'dead-limit')
          throw new Error(
            `The backfill of "${name}" stopped: ${result.rowsDead} of ${result.rowsRead} rows are dead.`,
          );
        return result.outcome === 'finished' ? 'busy' : 'idle';
      }
      return 'idle';
    },
  };
}

/** A copy that was broken off by going back a phase may have left indexes down. */
async function restoreIndexes({ migration, stores }: MigrationContext): Promise<void> {
  for (const name of migration.collections.keys()) await stores.target.setup.restoreIndexes?.(name);
}

/** Undoes a change of authority whose coordinator is gone: until somebody does, held writes are refused at their deadline. */
function resumeTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  return {
    name: 'resume-cutover',
    idleMs: options.measureMs,
    holdable: false,
    async turn(current) {
      const { phase } = current();
      // In `retired`, too: whoever retired the migration may have died before the target's guard was told. In `off` traffic may be held still.
      if (phase === 'off' && !context.traffic?.length) return 'idle';
      const { outcome, message } = await resumeCutover(context);
      if (outcome === 'pending') throw new Error(message);
      return 'idle';
    },
  };
}

/** What a rescue left behind is made safe as soon as the target answers. Under a pass, as a round of the applier: it works on the target of this generation. */
function gapTask(
  context: MigrationContext,
  view: Pick<StateView, 'enter'>,
  options: WorkerOptions,
): WorkerTask {
  return {
    name: 'gap',
    idleMs: options.measureMs,
    holdable: false,
    async turn(current, signal) {
      if (current().gap === undefined) return 'idle';
      const pass = view.enter();
      try {
        if (await isLogReader(context)) await tendGap(context, signal);
        return 'idle';
      } finally {
        pass.leave();
      }
    },
  };
}
