import { runBackfill } from '../backfill/index.ts';
import { drainOnce } from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { resumeCutover } from '../cutover/index.ts';
import { authorityOf, type MigrationState, routingTable } from '../migration/index.ts';
import type { StateView } from '../router/index.ts';
import { recheckSuspects } from '../verify/index.ts';
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
    drainTask(context, view, options),
    measureTask(context, options),
    backfillTask(context, options),
    recheckTask(context, options),
    resumeTask(context, options),
  ];
}

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
        if (routingTable[pass.state.phase].follow !== 'apply') return 'idle';
        const round = await drainOnce(context, pass.state, options.applier);
        return round.claimed > 0 && !round.storeDown ? 'busy' : 'idle';
      } finally {
        pass.leave();
      }
    },
  };
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

/** Copies the collections one after the other, in the order of the configuration: parents before children. */
function backfillTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  return {
    name: 'backfill',
    idleMs: 250,
    holdable: true,
    async turn(currentState, signal) {
      const { phase, generation, cutover } = currentState();
      if (options.backfill === null || phase !== 'backfill' || cutover !== null) return 'idle';
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

/** Shadow reads leave suspects in the ledger; here it is decided whether they are mismatches. */
function recheckTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  return {
    name: 'recheck',
    idleMs: options.recheckMs,
    holdable: true,
    async turn(currentState, signal) {
      const { phase, cutover } = currentState();
      if (routingTable[phase].follow !== 'apply' || cutover !== null) return 'idle';
      await recheckSuspects(context, { currentState }, signal);
      return 'idle';
    },
  };
}

/** Undoes a change of authority whose coordinator is gone: until somebody does, held writes are refused at their deadline. */
function resumeTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  return {
    name: 'resume-cutover',
    idleMs: options.measureMs,
    holdable: false,
    async turn(current) {
      const { phase } = current();
      // In `retired`, too: whoever retired the migration may have died before the target's guard was told.
      if (phase !== 'off') await resumeCutover(context);
      return 'idle';
    },
  };
}
