import { createThrottle } from '../backfill/index.ts';
import type { MigrationContext } from '../control/index.ts';
import type { Collection, MigrationState } from '../migration/index.ts';
import {
  createParityWorker,
  createWorkLease,
  isCopied,
  type ParityWorker,
} from '../verify/index.ts';
import type { WorkerOptions } from './worker-options.ts';
import type { WorkerTask } from './worker-tasks.ts';

const IDLE_MS = 250;
/** Another worker goes on with the sweep so long after this one has died. */
const LEASE_MS = 30_000;

interface Running {
  readonly worker: ParityWorker;
  readonly dueAt: number;
}

/**
 * Compares all the time what collections ask for with `parity`. The least important of all work: not while anything is copied, held by all that holds the copy, one worker of the
 * fleet at a time.
 */
export function parityTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  const { clock } = context.runtime;
  const wanted = [...context.migration.collections.values()].filter(
    ({ parity }) => parity !== undefined && parity.mode !== 'off',
  );
  const lease = createWorkLease(context, 'parity', LEASE_MS);
  const throttle = createThrottle(clock, { checks: options.backfill?.checks ?? [] });
  const running = new Map<string, Running>();

  const startOf = (
    { name, parity }: Collection,
    currentState: () => MigrationState,
    signal: AbortSignal,
  ): Running => {
    const known = running.get(name);
    if (known?.worker.isOpen) return known;
    const pace = (records: number, scope: AbortSignal): Promise<boolean> =>
      throttle.acquire(records, { signal: scope, stopped: () => currentState().workHeld });
    const setting = parity as NonNullable<typeof parity>;
    const worker = createParityWorker(context, name, setting, { currentState, pace }, signal);
    return { worker, dueAt: known?.dueAt ?? clock.monotonic() };
  };

  return {
    name: 'parity',
    idleMs: IDLE_MS,
    holdable: true,
    async turn(currentState, signal) {
      if (wanted.length === 0 || !(await allCopied(context, currentState()))) return 'idle';
      let failure: unknown = null;
      for (const collection of wanted) {
        const { worker, dueAt } = startOf(collection, currentState, signal);
        const begun = clock.monotonic();
        running.set(collection.name, { worker, dueAt });
        if (begun < dueAt) continue;
        if (!(await lease.hold())) return 'idle';
        try {
          const { everyMs } = await worker.turn();
          running.set(collection.name, { worker, dueAt: begun + everyMs });
        } catch (error) {
          // The others have their turn; this one has its own after the backoff.
          failure = error;
        }
      }
      if (failure !== null) throw failure;
      return 'idle';
    },
  };
}

/** In front of the backfill's end nothing is compared, of any collection: the copy needs the stores. */
async function allCopied(context: MigrationContext, state: MigrationState): Promise<boolean> {
  for (const name of context.migration.collections.keys())
    if (!(await isCopied(context, state, name))) return false;
  return true;
}
