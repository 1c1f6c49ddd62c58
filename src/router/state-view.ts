import type { MigrationContext, WorkerReport } from '../control/index.ts';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import type { MigrationState } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { firstState } from './first-state.ts';
import type { StateMemory } from './state-memory.ts';

/** Permission of one operation to run by one state. `leave` exactly once, when nothing of it is in flight any more. */
export interface Pass {
  readonly state: MigrationState;
  leave(): void;
}

/**
 * What this process knows of the migration's state, and what it acknowledges.
 *
 * *following* (the control store answers) ⇄ *remembering* (it does not: the last state goes on) → *closed*.
 * Acknowledged version = the oldest state version by which an operation in flight was routed; the current one when nothing
 * is in flight. It is told to the fleet whenever it rises, and with each heartbeat. Never a compile-time default: without control
 * store and without memory the view refuses to open.
 */
export interface StateView {
  current(): MigrationState;
  /** Synchronous, so that no state can slip in between the look and the count. */
  enter(): Pass;
  /** Resolves when a state with a higher version than `version` is known, or after `ms`; CLOSED when there will be no news. */
  waitBeyond(version: number, ms: number): Promise<void>;
  /** Asks the control store now; false when it did not answer. */
  refresh(): Promise<boolean>;
  acknowledgedVersion(): number;
  /** Lets nothing in any more and waits for what is in flight, at most `ms`. True: nothing is. */
  quiesce(ms: number): Promise<boolean>;
  /** Idempotent. Leaves the fleet, unless something is still in flight: then the lease has to run out. */
  close(): Promise<void>;
}

export interface StateViewOptions {
  readonly kind: 'router' | 'worker';
  readonly label: string;
  readonly leaseMs: number;
  readonly memory: StateMemory | null;
  /** Of a worker: what each heartbeat tells of its work. */
  readonly report?: (state: MigrationState) => WorkerReport;
}

/** Opens the view of this process. Errors: CONTROL_UNAVAILABLE, CONTROL_MISMATCH. */
export async function openStateView(
  context: MigrationContext,
  options: StateViewOptions,
): Promise<StateView> {
  const { state, reachable } = await firstState(context, options);
  const view = new FollowingView(context, options, state, reachable);
  await view.register();
  return view;
}

/** Applications wait behind some of these calls: a control store that hangs must not hold them. */
const controlDeadlineMs = 1_000;

function closedError(): ChangeoverError {
  return new ChangeoverError('CLOSED', 'The router was used after close(); nothing was done.');
}

class FollowingView implements StateView {
  readonly #context: MigrationContext;
  readonly #options: StateViewOptions;
  /** The present state and the operations that it routed. */
  #present: SharedPass;
  /** Older states with operations in flight, oldest first. */
  #older: readonly SharedPass[] = [];
  #closed = false;
  #quiescing = false;
  #told = 0;
  #telling: Promise<void> | null = null;
  #refreshing: Promise<boolean> | null = null;
  #waiters: (() => void)[] = [];
  #idleWaiters: (() => void)[] = [];
  #reachable: boolean;
  readonly #stopWatching: () => void;
  #cancelHeartbeat: () => void = () => {};
  #remembering: Promise<void> | undefined;

  constructor(
    context: MigrationContext,
    options: StateViewOptions,
    first: MigrationState,
    reachable: boolean,
  ) {
    this.#context = context;
    this.#reachable = reachable;
    this.#options = options;
    this.#present = new SharedPass(first, this.#onEmpty);
    this.#remember(first);
    this.#stopWatching = context.control.watch(
      context.migration.name,
      (state) => {
        this.#setReachable(true);
        this.#accept(state);
      },
      (error) => this.#setReachable(false, messageOf(error)),
    );
  }

  /** The first heartbeat: the fleet knows this instance before it routes anything. A lost control store is no obstacle. */
  async register(): Promise<void> {
    // Whoever counts or logs learns where it begins, not only what changes.
    this.#context.events.emit({ type: 'state', state: this.#present.state });
    await this.#tell();
  }

  current(): MigrationState {
    return this.#present.state;
  }

  enter(): Pass {
    if (this.#quiescing) throw closedError();
    const pass = this.#present;
    pass.count++;
    return pass;
  }

  readonly #onEmpty = (pass: SharedPass): void => {
    if (this.#quiescing && this.#isIdle()) for (const waiter of this.#idleWaiters) waiter();
    if (pass === this.#present) return;
    this.#older = this.#older.filter((other) => other !== pass);
    this.#tellIfRisen();
  };

  acknowledgedVersion(): number {
    return (this.#older[0] ?? this.#present).state.version;
  }

  async waitBeyond(version: number, ms: number): Promise<void> {
    if (this.#quiescing) throw closedError();
    if (this.#present.state.version > version) return;
    const news = new AbortController();
    const done = (): void => news.abort();
    this.#waiters.push(done);
    // A sleep, because that keeps the process alive: a program with nothing else to do would end silently before its held write is made.
    await this.#context.runtime.clock.sleep(ms, news.signal).catch(() => {});
    this.#waiters = this.#waiters.filter((other) => other !== done);
    if (this.#quiescing) throw closedError();
  }

  /** Callers share one question: at a switch every refused write asks at the same moment. */
  refresh(): Promise<boolean> {
    this.#refreshing ??= this.#refreshOnce().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refreshOnce(): Promise<boolean> {
    const { control, migration, runtime } = this.#context;
    try {
      const load = control.load(migration.name);
      this.#accept(
        await withDeadline(runtime.clock, controlDeadlineMs, 'Asking the control store', load),
      );
      this.#setReachable(true);
      return true;
    } catch (error) {
      this.#setReachable(false, messageOf(error));
      return false;
    }
  }

  #isIdle(): boolean {
    return this.#present.count === 0 && this.#older.length === 0;
  }

  async quiesce(ms: number): Promise<boolean> {
    this.#quiescing = true;
    for (const waiter of this.#waiters) waiter();
    if (this.#isIdle()) return true;
    await new Promise<void>((resolve) => {
      const cancel = this.#context.runtime.clock.schedule(ms, resolve);
      this.#idleWaiters.push(() => {
        cancel();
        resolve();
      });
    });
    return this.#isIdle();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.quiesce(0);
    this.#closed = true;
    this.#stopWatching();
    this.#cancelHeartbeat();
    await this.#telling;
    await this.#remembered();
    // Leaving the fleet says that nothing of ours can reach a store any more. While that is not true, it would be a lie.
    if (!this.#isIdle()) return;
    const { control, migration, instance, runtime } = this.#context;
    const leave = control.fleet.remove(migration.name, instance);
    await withDeadline(runtime.clock, controlDeadlineMs, 'Leaving the fleet', leave).catch(
      () => {},
    );
  }

  #accept(state: MigrationState): void {
    if (this.#closed || state.version <= this.#present.state.version) return;
    if (this.#present.count > 0) this.#older = [...this.#older, this.#present];
    this.#present = new SharedPass(state, this.#onEmpty);
    this.#remember(state);
    this.#context.events.emit({ type: 'state', state });
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
    this.#tellIfRisen();
  }

  #remember(state: MigrationState): void {
    this.#remembering = this.#options.memory?.save(state);
  }

  /** Whoever closes may end the process or remove the folder next. A disk that hangs must not hold that up for ever. */
  async #remembered(): Promise<void> {
    if (this.#remembering === undefined) return;
    const { clock } = this.#context.runtime;
    const saved = withDeadline(
      clock,
      controlDeadlineMs,
      'Remembering the state',
      this.#remembering,
    );
    await saved.catch(() => {});
  }

  #setReachable(reachable: boolean, error?: string): void {
    if (reachable === this.#reachable) return;
    this.#reachable = reachable;
    this.#context.events.emit(
      error === undefined ? { type: 'control', reachable } : { type: 'control', reachable, error },
    );
  }

  #tellIfRisen(): void {
    if (!this.#closed && this.acknowledgedVersion() > this.#told) void this.#tell();
  }

  /** One heartbeat at a time; a rise during one is told by the next. */
  #tell(): Promise<void> {
    // The microtask in between lets `#telling` be set before the loop can end and clear it.
    this.#telling ??= Promise.resolve().then(() => this.#tellAll());
    return this.#telling;
  }

  async #tellAll(): Promise<void> {
    const { control, migration, instance, runtime } = this.#context;
    const { kind, label, leaseMs, report } = this.#options;
    try {
      do {
        const acknowledgedVersion = this.acknowledgedVersion();
        const beat = control.fleet.heartbeat(
          migration.name,
          {
            id: instance,
            kind,
            label,
            acknowledgedVersion,
            ...(report && { report: report(this.current()) }),
          },
          leaseMs,
        );
        await withDeadline(runtime.clock, controlDeadlineMs, 'A heartbeat', beat);
        this.#told = acknowledgedVersion;
        this.#setReachable(true);
      } while (!this.#closed && this.acknowledgedVersion() > this.#told);
    } catch (error) {
      this.#setReachable(false, messageOf(error));
    } finally {
      // In the same turn as the last look at the acknowledged version: a rise after it starts a new round.
      this.#telling = null;
      this.#scheduleHeartbeat();
    }
  }

  #scheduleHeartbeat(): void {
    this.#cancelHeartbeat();
    if (this.#closed) return;
    // After a failure sooner: the fleet should hear of us soon after the control store is back.
    const ms = this.#reachable
      ? this.#options.leaseMs / 3
      : Math.min(500, this.#options.leaseMs / 3);
    this.#cancelHeartbeat = this.#context.runtime.clock.schedule(ms, () => void this.#tell());
  }
}

/** One for each state version, shared by its operations: they come by the hundred thousand, and none needs an object of its own. */
class SharedPass implements Pass {
  readonly state: MigrationState;
  readonly #onEmpty: (pass: SharedPass) => void;
  count = 0;

  constructor(state: MigrationState, onEmpty: (pass: SharedPass) => void) {
    this.state = state;
    this.#onEmpty = onEmpty;
  }

  leave(): void {
    if (--this.count === 0) this.#onEmpty(this);
  }
}
