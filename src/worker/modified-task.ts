import { createThrottle } from '../backfill/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { authorityOf } from '../migration/index.ts';
import {
  createModifiedSweeper,
  createWorkLease,
  isCopied,
  type ModifiedSweeper,
} from '../verify/index.ts';
import type { WorkerOptions } from './worker-options.ts';
import type { WorkerTask } from './worker-tasks.ts';

const IDLE_MS = 500;
const LEASE_MS = 30_000;

/** Compares what a column says was changed lately, where collections name one; held by all that holds the copy, one worker of the fleet at a time. */
export function modifiedTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  const wanted = [...context.migration.collections.values()].filter(
    ({ modified }) => modified && (modified.source !== null || modified.target !== null),
  );
  const lease = createWorkLease(context, 'modified', LEASE_MS);
  const throttle = createThrottle(context.runtime.clock, {
    checks: options.backfill?.checks ?? [],
  });
  const sweepers = new Map<string, ModifiedSweeper>();
  return {
    name: 'modified',
    idleMs: IDLE_MS,
    holdable: true,
    async turn(currentState, signal) {
      let busy = false;
      let failure: unknown = null;
      for (const { name, modified } of wanted) {
        const side = authorityOf(currentState().phase);
        if (!modified || modified[side] === null) continue;
        if (!(await isCopied(context, currentState(), name))) continue;
        if (!(await lease.hold())) return 'idle';
        const pace = (records: number, scope: AbortSignal): Promise<boolean> =>
          throttle.acquire(records, { signal: scope, stopped: () => currentState().workHeld });
        const known = sweepers.get(name);
        const sweeper = known?.isOpen
          ? known
          : createModifiedSweeper(context, name, modified, { currentState, pace }, signal);
        sweepers.set(name, sweeper);
        try {
          busy = (await sweeper.turn()).compared > 0 || busy;
        } catch (error) {
          failure = error;
        }
      }
      if (failure !== null) throw failure;
      return busy ? 'busy' : 'idle';
    },
  };
}
