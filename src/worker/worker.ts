import { setMaxListeners } from 'node:events';
import { drainLog, drainUntilEmpty, workerSuffix } from '../capture/index.ts';
import { type MigrationContext, recordSamples } from '../control/index.ts';
import type { MigrationState } from '../migration/index.ts';
import type { QueueDepth } from '../queue/index.ts';
import { openStateView } from '../router/index.ts';
import { createApplyRecord } from './apply-record.ts';
import { backgroundLoop } from './background-loop.ts';
import { type WorkerOptions, type WorkerOptionsInput, workerDefaults } from './worker-options.ts';
import { type WorkerTask, workerTasks } from './worker-tasks.ts';

/** The background process of a migration: empties the authority's queue, copies, rechecks, tidies up. */
export interface Worker {
  state(): MigrationState;
  /** Empties the queue of the present authority, for a switch: see `drainUntilEmpty`. */
  drain(deadlineMs: number, signal: AbortSignal): Promise<QueueDepth>;
  /** Idempotent. Stops after the present turns and leaves the fleet. */
  close(): Promise<void>;
}

/** Tasks that bring changes to the follower. */
const applying: ReadonlySet<string> = new Set(['drain', 'log']);

const errorBackoff = { firstMs: 100, maxMs: 5_000 } as const;

/**
 * Starts a worker. Several may run for one migration, on several machines: everything they share is claimed or fenced in the stores.
 * A turn that throws is reported and repeated after a backoff; a worker ends only by `close`.
 */
export async function startWorker(
  context: MigrationContext,
  input: WorkerOptionsInput = {},
): Promise<Worker> {
  const applier = { ...workerDefaults.applier, ...input.applier };
  const log = { ...workerDefaults.log, ...input.log };
  const options: WorkerOptions = { ...workerDefaults, ...input, applier, log };
  const { label, leaseMs } = options;
  // A router of the same process has a registration of its own: one must never acknowledge, or leave the fleet, for the other.
  const registered = { ...context, instance: `${context.instance}${workerSuffix}` };
  const record = createApplyRecord(context);
  const samples = recordSamples(context, 'worker');
  const view = await openStateView(registered, {
    kind: 'worker',
    label,
    leaseMs,
    memory: null,
    report: (state) => record.report(state),
  });
  const abort = new AbortController();
  // Each task waits on it: a dozen listeners are no leak.
  setMaxListeners(0, abort.signal);
  const onError = (task: string, message: string): void => {
    if (applying.has(task)) record.failed(message);
    options.onError(task, message);
  };
  const run = (task: WorkerTask): Promise<void> => {
    const loop = { name: task.name, idleMs: task.idleMs, backoff: errorBackoff, onError };
    return backgroundLoop(context.runtime, loop, abort.signal, async (signal) =>
      task.holdable && view.current().workHeld ? 'idle' : task.turn(() => view.current(), signal),
    );
  };
  const loops = workerTasks(context, view, options).map(run);
  const stop = async (): Promise<void> => {
    abort.abort(new Error('The worker is closing.'));
    await Promise.allSettled(loops);
    record.close();
    await Promise.all([samples.close(), view.close()]);
  };
  let closing: Promise<void> | null = null;
  return {
    state: () => view.current(),
    async drain(deadlineMs, signal) {
      const pass = view.enter();
      const drained = drainLog(context, pass.state, options.log, deadlineMs, signal).then(() =>
        drainUntilEmpty(context, pass.state, options.applier, deadlineMs, signal),
      );
      return drained.finally(() => pass.leave());
    },
    close() {
      closing ??= stop();
      return closing;
    },
  };
}
