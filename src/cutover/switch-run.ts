import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import { type MigrationState, otherSide, type Side } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import {
  type CutoverLimits,
  type CutoverStep,
  defaultCutoverLimits,
  type StepTiming,
  type SwitchOptions,
} from './cutover-options.ts';
import { hasTraffic, withHooks } from './held-mark.ts';
import type { PausePrediction } from './pause-prediction.ts';
import { coordinatorId } from './undo-cutover.ts';

/** One attempt as its own coordinator sees it. */
export class SwitchRun {
  readonly context: MigrationContext;
  readonly options: SwitchOptions & CutoverLimits;
  attempt: string;
  /** The side that gives authority away. */
  readonly old: Side;
  /** Newest state that this process has produced or read. */
  state: MigrationState;
  /** Monotonic time just before the hold was published; null before. */
  heldSince: number | null = null;
  committedAt: number | null = null;
  /** When traffic that a hook held went on; null where there is no hook. */
  releasedAt: number | null = null;
  /** Of the pause, by the preflight. */
  prediction: PausePrediction | null = null;
  readonly timings: StepTiming[] = [];
  /** What a drain or a recheck of somebody else last complained about; told when the wait for it fails. */
  lastProblem: string | null = null;
  /** What hooks could not do, where nobody waits for them. */
  readonly trafficProblems: string[] = [];
  #notes: Promise<void> = Promise.resolve();
  #endPause: () => void = () => {};
  readonly #pauseOver = new Promise<void>((resolve) => {
    this.#endPause = resolve;
  });
  #cancelLease: () => void = () => {};
  #ended = false;

  constructor(context: MigrationContext, options: SwitchOptions, state: MigrationState) {
    this.context = context;
    this.options = { ...defaultCutoverLimits, ...definedOnly(options) };
    const id = context.runtime.random.id();
    this.attempt = hasTraffic(context) ? withHooks(id) : id;
    this.old = otherSide[options.to];
    this.state = state;
  }

  /** Before `begin`: somebody else's hooks hold traffic, and the marks of this attempt take that over. */
  keepHeld(): void {
    this.attempt = withHooks(this.attempt);
  }

  /** The epoch that is being left. */
  get epoch(): number {
    return this.state.cutover ? this.state.cutover.epoch - 1 : this.state.epoch;
  }

  /** A rescue from a target that does not answer. */
  get leavesOldAlone(): boolean {
    return this.options.rescue === 'unreachable';
  }

  /** The way back is never refused for a hook: what comes through it is then refused by the store that is left. */
  get needsHooks(): boolean {
    return this.options.to === 'target';
  }

  /** Milliseconds that are left of the hold's budget; the whole of it before the hold. */
  leftMs(): number {
    const { clock } = this.context.runtime;
    if (this.heldSince === null) return this.options.holdMs;
    return this.options.holdMs - (clock.monotonic() - this.heldSince);
  }

  pauseMs(): number {
    return this.heldSince === null || this.committedAt === null
      ? 0
      : (this.releasedAt ?? this.committedAt) - this.heldSince;
  }

  /** The result of `work`, or DEADLINE_EXCEEDED when the hold's budget is over first. */
  within<T>(what: string, work: Promise<T>): Promise<T> {
    return withDeadline(this.context.runtime.clock, Math.max(1, this.leftMs()), what, work);
  }

  /** A failure of a step that leads to the undo. */
  fail(message: string): never {
    const code = this.options.to === 'source' ? 'REVERSE_NOT_DRAINED' : 'CUTOVER_ABORTED';
    const cause = this.lastProblem === null ? '' : ` (${this.lastProblem})`;
    throw new ChangeoverError(code, `${message}${cause}`, { data: { attempt: this.attempt } });
  }

  /** Runs one step under its name: hook, events, timing, journal. */
  async step(step: CutoverStep, work: () => Promise<void>): Promise<void> {
    const { clock } = this.context.runtime;
    const { emit } = this.context.events;
    const started = clock.monotonic();
    emit({ type: 'cutover', attempt: this.attempt, step, outcome: 'begun', ms: 0 });
    try {
      await this.options.onStep?.(step, this.attempt);
      await work();
    } catch (error) {
      const ms = clock.monotonic() - started;
      emit({ type: 'cutover', attempt: this.attempt, step, outcome: 'failed', ms });
      this.#journal(step, 'failed', ms, messageOf(error));
      throw error;
    }
    const ms = clock.monotonic() - started;
    this.timings.push({ step, ms });
    emit({ type: 'cutover', attempt: this.attempt, step, outcome: 'done', ms });
    this.#journal(step, 'done', ms, '');
  }

  /**
   * In order, but off the path: the pause of the application must not pay for the journal. From the hold on it waits for the end, because a control store in
   * SQLite writes on our thread, and waits for the disk each time.
   */
  #journal(step: CutoverStep, outcome: 'done' | 'failed', ms: number, error: string): void {
    if (this.options.dryRun) return;
    const { control, migration } = this.context;
    const entry = {
      actor: this.options.actor,
      action: 'cutover-step',
      reason: error,
      detail: { attempt: this.attempt, step, outcome, ms: Math.round(ms * 1000) / 1000 },
    };
    const mayWrite = this.heldSince === null ? Promise.resolve() : this.#pauseOver;
    this.#notes = Promise.all([this.#notes, mayWrite])
      .then(() => control.note(migration.name, entry))
      .catch(() => {});
  }

  /** What was predicted, beside what it was: so that people learn how far to trust it. `failed`: the steps that were done. */
  journalPrediction(outcome: 'committed' | 'failed'): void {
    const { prediction, timings, options, attempt } = this;
    if (prediction === null || options.dryRun) return;
    const { control, migration } = this.context;
    const { ms: predictedMs, budgetMs, parts, obstacles } = prediction;
    const entry = {
      actor: options.actor,
      action: 'cutover-prediction',
      reason: '',
      detail: {
        attempt,
        outcome,
        predictedMs,
        actualMs: outcome === 'committed' ? Math.round(this.pauseMs()) : null,
        budgetMs,
        parts,
        obstacles,
        steps: timings.map(({ step, ms }) => ({ step, ms: Math.round(ms) })),
      },
    };
    this.#notes = this.#notes.then(() => control.note(migration.name, entry)).catch(() => {});
  }

  /** What hooks could not do, for whoever looks at the history of the migration. */
  journalTraffic(): void {
    const { control, migration } = this.context;
    if (this.trafficProblems.length === 0 || this.options.dryRun) return;
    const entry = {
      actor: this.options.actor,
      action: 'traffic-not-held',
      reason: this.trafficProblems.join(' '),
      detail: { attempt: this.attempt },
    };
    this.#notes = this.#notes.then(() => control.note(migration.name, entry)).catch(() => {});
  }

  /** Tells the fleet that this attempt has a living coordinator, and goes on telling. */
  async takeLease(): Promise<void> {
    await this.#heartbeat();
    this.#scheduleHeartbeat();
  }

  #heartbeat(): Promise<void> {
    const { control, migration, instance } = this.context;
    const id = coordinatorId(this.attempt);
    const acknowledgedVersion = this.state.version;
    return control.fleet.heartbeat(
      migration.name,
      { id, kind: 'worker', label: instance, acknowledgedVersion },
      this.options.leaseMs,
    );
  }

  #scheduleHeartbeat(): void {
    const { clock } = this.context.runtime;
    this.#cancelLease = clock.schedule(this.options.leaseMs / 3, () => {
      if (this.#ended) return;
      // A lease that cannot be renewed runs out, and another process undoes us: that is its purpose.
      void this.#heartbeat()
        .catch(() => {})
        .then(() => {
          if (!this.#ended) this.#scheduleHeartbeat();
          else void this.#dropLease();
        });
    });
  }

  #dropLease(): Promise<void> {
    const { control, migration } = this.context;
    return control.fleet.remove(migration.name, coordinatorId(this.attempt)).catch(() => {});
  }

  /** Gives the lease back and waits for the journal, three seconds at most. Idempotent. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#endPause();
    this.#cancelLease();
    const { clock } = this.context.runtime;
    const finish = this.#notes.then(() => this.#dropLease());
    await withDeadline(clock, 3_000, 'the journal of the switch', finish).catch(() => {});
  }
}

/** `{ a: undefined }` must not hide a default. */
function definedOnly<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}
