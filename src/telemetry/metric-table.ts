/** How a metric is exposed. Histograms are in seconds with `durationBoundsSeconds`. */
export type MetricType = 'counter' | 'gauge' | 'histogram';

/** One metric of the reference; `docs/reference/metrics.md` is generated from these. */
export interface MetricEntry {
  readonly type: MetricType;
  /** What it counts, in one sentence. */
  readonly help: string;
  /** In addition to `migration`, which every metric has. Values come from code, never from keys, tenants or messages. */
  readonly labels: readonly string[];
}

type Make<T extends MetricType> = (
  help: string,
  ...labels: string[]
) => MetricEntry & { readonly type: T };

const counter: Make<'counter'> = (help, ...labels) => ({ type: 'counter', help, labels });
const gauge: Make<'gauge'> = (help, ...labels) => ({ type: 'gauge', help, labels });
const histogram: Make<'histogram'> = (help, ...labels) => ({ type: 'histogram', help, labels });

/** Upper bounds of duration buckets, in seconds: from one pooled local query to the longest hold. */
export const durationBoundsSeconds: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Every metric of the library. Names are stable: they are part of the public API. */
export const metricTable = {
  changeover_phase: gauge(
    '1 for the phase that this instance works by, 0 for the others.',
    'phase',
  ),
  changeover_state_version: gauge('State version that this instance works by.'),
  changeover_epoch: gauge('Epoch of the authority that this instance works by.'),
  changeover_dial_ratio: gauge('Share of routing keys whose reads the target serves, 0 to 1.'),
  changeover_writes_held: gauge('1 while a change of authority holds new writes.'),
  changeover_work_held: gauge('1 while an operator holds background work.'),
  changeover_control_up: gauge('1 while the control store answers this instance.'),

  changeover_writes_total: counter(
    'Writes by callers, by outcome of the authority.',
    'collection',
    'phase',
    'outcome',
  ),
  changeover_write_duration_seconds: histogram(
    'From the call of a write to its answer, holds included.',
    'collection',
  ),
  changeover_write_authority_duration_seconds: histogram(
    'From the call of a write to the confirmation of the authority.',
    'collection',
  ),
  changeover_follower_writes_total: counter(
    'Writes sent to the follower by the process that made them.',
    'collection',
    'outcome',
  ),
  changeover_follower_write_duration_seconds: histogram(
    'Time of a follower write, whether or not a caller waited for it.',
    'collection',
  ),
  changeover_held_writes_total: counter(
    'Writes that waited for a change of authority.',
    'collection',
    'outcome',
  ),
  changeover_held_write_duration_seconds: histogram('How long held writes waited.', 'collection'),

  changeover_reads_total: counter(
    'Reads by callers: which store served them, and why that one.',
    'collection',
    'served_by',
    'why',
    'outcome',
  ),
  changeover_read_duration_seconds: histogram(
    'From the call of a read to its answer.',
    'collection',
    'served_by',
  ),
  changeover_shadow_reads_total: counter(
    'Shadow reads by outcome; shed, timed-out and failed ones compared nothing.',
    'collection',
    'outcome',
  ),
  changeover_shadow_read_duration_seconds: histogram(
    'Time of a shadow read with its comparison.',
    'collection',
  ),

  changeover_queue_waiting: gauge('Changes that the follower may not have yet.', 'side'),
  changeover_queue_dead: gauge('Changes that wait for a person.', 'side'),
  changeover_queue_oldest_age_seconds: gauge('Age of the oldest waiting change.', 'side'),
  changeover_log_changes_total: counter('Row changes read from the log.', 'side'),
  changeover_log_keys_total: counter(
    'Keys that the log brought to the follower: written, there in a newer version already, left to the queue.',
    'side',
    'outcome',
  ),
  changeover_log_lag_seconds: gauge(
    'From the newest commit of the last batch to its application, by the clocks of store and worker.',
    'side',
  ),
  changeover_log_apply_duration_seconds: histogram('Time of one batch of the log.', 'side'),
  changeover_queue_drained_total: counter('Changes taken from the queue.', 'side', 'outcome'),
  changeover_queue_drain_duration_seconds: histogram('Time of one batch of the queue.', 'side'),
  changeover_apply_failures_total: counter(
    'Changes of the store `side` that were not applied to the other one at a try; they wait or are dead letters. By error code.',
    'side',
    'code',
  ),
  changeover_rogue_writes: gauge(
    'Foreign writes to the follower that are noted (PostgreSQL: transactions; MariaDB: rows) and that nobody has acknowledged.',
    'side',
  ),
  changeover_rogue_writes_total: counter(
    'Notes of foreign writes to the follower that a worker has seen come.',
    'side',
  ),
  changeover_rollback_ready: gauge(
    'After the write switch: 1 while writes could go back to the source, as a worker sees it; without a worker nobody says so.',
  ),
  changeover_rollback_estimate_seconds: gauge(
    'After the write switch: time for which a rollback would hold writes, NaN: not before something is done.',
  ),
  changeover_dead_letters_total: counter('Changes given up and kept for a person.', 'collection'),
  changeover_breaker_state: gauge(
    '1 for the present state of the circuit breaker of a store.',
    'side',
    'state',
  ),
  changeover_breaker_changes_total: counter(
    'Changes of the circuit breaker of a store.',
    'side',
    'state',
  ),

  changeover_backfill_read_rows: gauge('Rows read by the backfill.', 'collection'),
  changeover_backfill_inserted_rows: gauge('Rows inserted by the backfill.', 'collection'),
  changeover_backfill_dead_rows: gauge(
    'Rows that the backfill could not copy; they are dead letters.',
    'collection',
  ),
  changeover_backfill_estimated_rows: gauge(
    'Rows of the source as its planner estimates them.',
    'collection',
  ),
  changeover_backfill_convergence_rows_per_second: gauge(
    'Rows copied less new work, a second; 0 or below: the backfill never ends at this rate. NaN: not known.',
    'collection',
  ),
  changeover_backfill_finished: gauge('1 when the backfill has finished.', 'collection'),
  changeover_backfill_throttled: gauge('1 while the backfill is slowed down or held.'),
  changeover_backfill_throttles_total: counter('Times that the backfill was slowed down or held.'),

  changeover_verify_compared_records: gauge(
    'Records compared by the present or last verification.',
    'collection',
  ),
  changeover_verify_suspect_records: gauge(
    'Records that differed at first sight in the present or last verification.',
    'collection',
  ),
  changeover_verify_finished: gauge('1 when the verification has finished.', 'collection'),
  changeover_mismatches_total: counter(
    'Mismatches that reached a status; open ones are confirmed.',
    'collection',
    'kind',
    'status',
  ),

  changeover_repair_stopped: gauge(
    '1 when repair of the collection has stopped by itself because too much differs, until a person lets it go on.',
    'collection',
  ),

  changeover_cutover_steps_total: counter(
    'Steps of changes of authority, by outcome.',
    'step',
    'outcome',
  ),
  changeover_cutover_step_duration_seconds: histogram(
    'Time of the steps of changes of authority.',
    'step',
  ),
} as const satisfies Record<string, MetricEntry>;

/** A stable, documented metric name. */
export type MetricName = keyof typeof metricTable;
