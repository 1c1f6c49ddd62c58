import { drainOnce, drainUntilEmpty } from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { authorityOf, type MigrationState, routingTable, type Side } from '../migration/index.ts';
import type { QueueDepth } from '../queue/index.ts';
import { openStateView, type StateView } from '../router/index.ts';
import { backgroundLoop } from './background-loop.ts';
import { type WorkerOptions, workerDefaults } from './worker-options.ts';

/** A turn of background work that is not the queue: given by the caller so that the worker stays a switchboard. */
export interface WorkerTask {
  readonly name: string;
  /** Between two turns that found nothing to do. */
  readonly idleMs: number;
  /** Tasks that can wait stop while the operator holds background work. */
  readonly holdable: boolean;
  readonly turn: (state: () => MigrationState, signal: AbortSignal) => Promise<'busy' | 'idle'>;
}

/** The background process of a migration: empties the authority's queue, copies, rechecks, tidies up. */
export interface Worker {
  state(): MigrationState;
  /** Empties the queue of the present authority, for a switch: see `drainUntilEmpty`. */
  drain(deadlineMs: number, signal: AbortSignal): Promise<QueueDepth>;
  /** Idempotent. Stops after the present round. */
  close(): Promise<void>;
}

const errorBackoff = { firstMs: 100, maxMs: 5_000 } as const;

/**
 * Starts a worker. Several may run for one migration, on several machines: everything they share is claimed or fenced in the stores.
 * Errors of a turn are emitted and the turn is repeated after a backoff; a worker ends only by `close`.
 */
export async function startWorker(
  context: MigrationContext,
  input: Partial<WorkerOptions> & {
    readonly tasks?: readonly WorkerTask[];
    readonly onError?: (task: string, message: string) => void;
  } = {},
): Promise<Worker> {
  const { tasks = [], onError = () => {}, ...given } = input;
  const options: WorkerOptions = { ...workerDefaults, ...given };
  const { label, leaseMs } = options;
  const view = await openStateView(context, { kind: 'worker', label, leaseMs, memory: null });
  const abort = new AbortController();
  const { signal } = abort;
  const run = (task: WorkerTask): Promise<void> =>
    backgroundLoop(
      context.runtime,
      { name: task.name, idleMs: task.idleMs, backoff: errorBackoff, onError },
      signal,
      () => turnUnderPass(view, task, signal),
    );
  const loops = [drainTask(context, options), measureTask(context, options), ...tasks].map(run);
  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    abort.abort(new Error('The worker is closing.'));
    await Promise.allSettled(loops);
    await view.close();
  };
  return {
    state: () => view.current(),
    drain: (deadlineMs, drainSignal) =>
      drainUntilEmpty(context, view.current(), options.applier, deadlineMs, drainSignal),
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/** A turn counts as in flight only while it routes by a state: long tasks watch the state themselves and hold no pass. */
async function turnUnderPass(
  view: StateView,
  task: WorkerTask,
  signal: AbortSignal,
): Promise<'busy' | 'idle'> {
  if (task.holdable && view.current().workHeld) return 'idle';
  return task.turn(() => view.current(), signal);
}

function drainTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  return {
    name: 'drain',
    idleMs: options.pollMs,
    holdable: false,
    async turn(current) {
      const state = current();
      if (routingTable[state.phase].follow !== 'apply') return 'idle';
      const round = await drainOnce(context, state, options.applier);
      return round.claimed > 0 && !round.storeDown ? 'busy' : 'idle';
    },
  };
}

function measureTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  const measure = async (side: Side): Promise<void> => {
    const depth = await context.stores[side].queue.depth();
    context.events.emit({ type: 'queue', side, ...depth });
  };
  return {
    name: 'measure',
    idleMs: options.measureMs,
    holdable: false,
    async turn(current) {
      const state = current();
      if (routingTable[state.phase].follow === 'apply') await measure(authorityOf(state.phase));
      return 'idle';
    },
  };
}
