import { type Metric, Registry } from 'prom-client';
import type { MigrationContext } from '../control/index.ts';
import { type ChangeoverEvent, type MigrationState, phases } from '../migration/index.ts';
import {
  type Cell,
  type DurationCell,
  durationFamily,
  durationSamples,
  type MetricFamily,
  numberFamily,
  numberSamples,
  observe,
} from './metric-family.ts';
import { type MetricEntry, type MetricName, type MetricType, metricTable } from './metric-table.ts';

/** The metrics of one opened migration in this process. */
export interface Metrics {
  /** Where they are registered; `await registry.metrics()` is the text for a scrape. */
  readonly registry: Registry;
  /** Stops counting and takes the metrics out of the registry. Idempotent. */
  close(): void;
}

export interface MetricsOptions {
  /** The application's own registry; default: a new one. Several migrations may share it. */
  readonly registry?: Registry;
}

type NamesOf<T extends MetricEntry['type']> = {
  [N in MetricName]: (typeof metricTable)[N]['type'] extends T ? N : never;
}[MetricName];
type Families = { readonly [N in MetricName]: MetricFamily<never> };

/**
 * Counts the events of a migration. The label `migration` is on every metric; collections and the names of closures are the only
 * labels that an application chooses, and they are bounded (see `seriesMax`).
 */
export function createMetrics(
  context: Pick<MigrationContext, 'migration' | 'events'>,
  options: MetricsOptions = {},
): Metrics {
  const registry = options.registry ?? new Registry();
  const book = new MetricBook();
  const leave = book.join(registry, context.migration.name);
  const unsubscribe = context.events.subscribe((event) => book.count(event));
  return {
    registry,
    close() {
      unsubscribe();
      leave();
    },
  };
}

/** One cell each for every metric that an event touches. */
class MetricBook {
  readonly #families: Families;
  // What each read and write touches, found once: a look-up by a name that varies costs 15 ns.
  readonly #writes: MetricFamily<Cell>;
  readonly #writeDuration: MetricFamily<DurationCell>;
  readonly #authorityDuration: MetricFamily<DurationCell>;
  readonly #reads: MetricFamily<Cell>;
  readonly #readDuration: MetricFamily<DurationCell>;
  readonly #followerWrites: MetricFamily<Cell>;
  readonly #followerDuration: MetricFamily<DurationCell>;
  readonly #shadowReads: MetricFamily<Cell>;
  readonly #shadowDuration: MetricFamily<DurationCell>;

  constructor() {
    const families = Object.entries(metricTable).map(([name, entry]) => [
      name,
      entry.type === 'histogram' ? durationFamily(entry) : numberFamily(entry),
    ]);
    this.#families = Object.fromEntries(families) as Families;
    this.#writes = this.#number('changeover_writes_total');
    this.#writeDuration = this.#duration('changeover_write_duration_seconds');
    this.#authorityDuration = this.#duration('changeover_write_authority_duration_seconds');
    this.#reads = this.#number('changeover_reads_total');
    this.#readDuration = this.#duration('changeover_read_duration_seconds');
    this.#followerWrites = this.#number('changeover_follower_writes_total');
    this.#followerDuration = this.#duration('changeover_follower_write_duration_seconds');
    this.#shadowReads = this.#number('changeover_shadow_reads_total');
    this.#shadowDuration = this.#duration('changeover_shadow_read_duration_seconds');
    this.#number('changeover_control_up').cell().value = 1;
  }

  #number(name: NamesOf<'counter' | 'gauge'>): MetricFamily<Cell> {
    return this.#families[name] as MetricFamily<unknown> as MetricFamily<Cell>;
  }

  #duration(name: NamesOf<'histogram'>): MetricFamily<DurationCell> {
    return this.#families[name] as MetricFamily<unknown> as MetricFamily<DurationCell>;
  }

  count(event: ChangeoverEvent): void {
    switch (event.type) {
      case 'write':
        this.#writes.cell(event.collection, event.phase, event.outcome).value++;
        observe(this.#writeDuration.cell(event.collection), event.totalMs);
        observe(this.#authorityDuration.cell(event.collection), event.authorityMs);
        return;
      case 'read':
        this.#reads.cell(event.collection, event.servedBy, event.why, event.outcome).value++;
        observe(this.#readDuration.cell(event.collection, event.servedBy), event.ms);
        return;
      case 'follower-write':
        this.#followerWrites.cell(event.collection, event.outcome).value++;
        observe(this.#followerDuration.cell(event.collection), event.ms);
        return;
      case 'shadow-read':
        this.#shadowReads.cell(event.collection, event.outcome).value++;
        if (event.outcome !== 'shed')
          observe(this.#shadowDuration.cell(event.collection), event.ms);
        return;
      default:
        this.#countSeldom(event);
    }
  }

  #countSeldom(
    event: Exclude<
      ChangeoverEvent,
      { readonly type: 'write' | 'read' | 'follower-write' | 'shadow-read' }
    >,
  ): void {
    switch (event.type) {
      case 'held':
        this.#number('changeover_held_writes_total').cell(event.collection, event.outcome).value++;
        observe(
          this.#duration('changeover_held_write_duration_seconds').cell(event.collection),
          event.ms,
        );
        return;
      case 'state':
        this.#setState(event.state);
        return;
      case 'control':
        this.#number('changeover_control_up').cell().value = Number(event.reachable);
        return;
      case 'queue':
        this.#number('changeover_queue_waiting').cell(event.side).value = event.waiting;
        this.#number('changeover_queue_dead').cell(event.side).value = event.dead;
        this.#number('changeover_queue_oldest_age_seconds').cell(event.side).value =
          event.oldestMs / 1000;
        return;
      case 'drained':
        for (const outcome of ['applied', 'stale', 'failed'] as const) {
          this.#number('changeover_queue_drained_total').cell(event.side, outcome).value +=
            event[outcome];
        }
        observe(
          this.#duration('changeover_queue_drain_duration_seconds').cell(event.side),
          event.ms,
        );
        return;
      case 'log':
        this.#number('changeover_log_changes_total').cell(event.side).value += event.changes;
        for (const outcome of ['applied', 'stale', 'parked'] as const) {
          this.#number('changeover_log_keys_total').cell(event.side, outcome).value +=
            event[outcome];
        }
        if (event.lagMs !== null)
          this.#number('changeover_log_lag_seconds').cell(event.side).value = event.lagMs / 1000;
        observe(this.#duration('changeover_log_apply_duration_seconds').cell(event.side), event.ms);
        return;
      case 'apply-failed':
        this.#number('changeover_apply_failures_total').cell(event.side, event.code).value +=
          event.changes;
        return;
      case 'way-back':
        this.#number('changeover_rollback_ready').cell().value = Number(event.ready);
        this.#number('changeover_rollback_estimate_seconds').cell().value =
          event.ms === null ? Number.NaN : event.ms / 1000;
        return;
      case 'rogue-writes':
        this.#number('changeover_rogue_writes').cell(event.side).value = event.notes;
        this.#number('changeover_rogue_writes_total').cell(event.side).value += event.added;
        return;
      case 'repair':
        this.#number('changeover_repair_stopped').cell(event.collection).value = Number(
          event.stopped,
        );
        return;
      case 'dead-letter':
        this.#number('changeover_dead_letters_total').cell(event.collection).value++;
        return;
      case 'breaker':
        for (const state of ['closed', 'open', 'half-open'] as const) {
          this.#number('changeover_breaker_state').cell(event.side, state).value = Number(
            state === event.state,
          );
        }
        this.#number('changeover_breaker_changes_total').cell(event.side, event.state).value++;
        return;
      case 'throttle':
        this.#number('changeover_backfill_throttled').cell().value = Number(event.reason !== null);
        if (event.reason !== null)
          this.#number('changeover_backfill_throttles_total').cell().value++;
        return;
      case 'mismatch':
        this.#number('changeover_mismatches_total').cell(event.collection, event.kind, event.status)
          .value++;
        return;
      case 'cutover':
        this.#number('changeover_cutover_steps_total').cell(event.step, event.outcome).value++;
        if (event.outcome === 'begun') return;
        observe(
          this.#duration('changeover_cutover_step_duration_seconds').cell(event.step),
          event.ms,
        );
        return;
      case 'backfill':
      case 'verify':
        this.#setProgress(event);
        return;
      default:
        event satisfies never;
    }
  }

  #setProgress(event: Extract<ChangeoverEvent, { readonly type: 'backfill' | 'verify' }>): void {
    const set = (name: NamesOf<'gauge'>, value: number): void => {
      this.#number(name).cell(event.collection).value = value;
    };
    if (event.type === 'verify') {
      set('changeover_verify_compared_records', event.compared);
      set('changeover_verify_suspect_records', event.suspects);
      set('changeover_verify_finished', Number(event.finished));
      return;
    }
    set('changeover_backfill_read_rows', event.rowsRead);
    set('changeover_backfill_inserted_rows', event.rowsInserted);
    set('changeover_backfill_dead_rows', event.rowsDead);
    set('changeover_backfill_estimated_rows', event.estimatedRows);
    const { convergencePerSecond } = event;
    set('changeover_backfill_convergence_rows_per_second', convergencePerSecond ?? Number.NaN);
    set('changeover_backfill_finished', Number(event.finished));
  }

  #setState(state: MigrationState): void {
    for (const phase of phases)
      this.#number('changeover_phase').cell(phase).value = Number(phase === state.phase);
    this.#number('changeover_state_version').cell().value = state.version;
    this.#number('changeover_epoch').cell().value = state.epoch;
    this.#number('changeover_dial_ratio').cell().value = state.dialBasisPoints / 10_000;
    this.#number('changeover_writes_held').cell().value = Number(
      state.cutover?.writesHeld ?? false,
    );
    this.#number('changeover_work_held').cell().value = Number(state.workHeld);
  }

  /** Registers every metric, or adds this migration to those that another one has registered. The returned function leaves. */
  join(registry: Registry, migration: string): () => void {
    const shared = { migration };
    const leaves = Object.entries(metricTable).map(([name, entry]) => {
      const family = this.#families[name as MetricName] as MetricFamily<unknown>;
      const samples = (): ReturnType<typeof numberSamples> =>
        entry.type === 'histogram'
          ? durationSamples(name, family as MetricFamily<DurationCell>, shared)
          : numberSamples(family as MetricFamily<Cell>, shared);
      const known = registry.getSingleMetric(name) as unknown;
      const exposed = known instanceof ExposedMetric ? known : new ExposedMetric(name, entry);
      exposed.parts.add(samples);
      if (exposed !== known) registry.registerMetric(exposed as unknown as Metric);
      return () => {
        exposed.parts.delete(samples);
        if (exposed.parts.size === 0 && registry.getSingleMetric(name) === (exposed as unknown))
          registry.removeSingleMetric(name);
      };
    });
    return () => {
      for (const leave of leaves) leave();
    };
  }
}

/** What prom-client's registry needs of a metric: a name and `get`. Its exposition formats and its cluster merge stay in use. */
class ExposedMetric {
  /** Written by the registry: OpenMetrics takes `_total` away. */
  name: string;
  readonly type: MetricType;
  readonly #help: string;
  readonly aggregator = 'sum';
  readonly parts = new Set<() => ReturnType<typeof numberSamples>>();

  constructor(name: string, entry: MetricEntry) {
    this.name = name;
    this.type = entry.type;
    this.#help = entry.help;
  }

  /** Part of the registry's contract; our counts are the migration's and are not reset by an application's tests. */
  reset(): void {}

  async get(): Promise<object> {
    return {
      name: this.name,
      help: this.#help,
      type: this.type,
      aggregator: this.aggregator,
      values: [...this.parts].flatMap((samples) => samples()),
    };
  }
}
