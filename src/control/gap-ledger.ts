import type { DataRecord } from '../record/index.ts';

/** What named the record: an entry in the target's queue, its log, or a comparison of everything. */
export type GapFinder = 'queue' | 'log' | 'sweep';

/**
 * `open`: not decided. `conflict`: the source has been written, too, since the rescue; a person decides. `refused`: the source would not take it, see `note`.
 * The others are decided: `applied` by rule, `equal`: both stores say the same, `taken-target` and `taken-source` by a person, who may also
 * have `closed` it without anything being written.
 */
export type GapStatus =
  | 'open'
  | 'conflict'
  | 'refused'
  | 'applied'
  | 'equal'
  | 'taken-target'
  | 'taken-source'
  | 'closed';

export const undecidedGapStatuses = ['open', 'conflict', 'refused'] as const;

/** One record that the target may hold in a newer state than the source took over. */
export interface GapRecord {
  readonly collection: string;
  /** Encoded key, as the target spells it. */
  readonly key: string;
  /** By what tokens name it. */
  readonly subject: string;
  /** In the target's shape; null: it does not exist there. */
  readonly target: DataRecord | null;
  /** In the source's shape, as it was when the gap was collected; of a conflict as it was when somebody last looked. */
  readonly source: DataRecord | null;
  readonly foundBy: GapFinder;
  /** The source had been written by then. */
  readonly touched: boolean;
  readonly status: GapStatus;
  readonly note: string;
  /** null: not decided. */
  readonly decidedAtMs: number | null;
}

export interface GapFilter {
  readonly collection?: string;
  readonly statuses?: readonly GapStatus[];
  /** Behind this record, in the order of the list. */
  readonly after?: Pick<GapRecord, 'collection' | 'key'>;
  readonly limit: number;
}

/** A decision. Absent `source`: stays. */
export interface GapDecision {
  readonly collection: string;
  readonly key: string;
  readonly status: GapStatus;
  readonly note: string;
  readonly source?: DataRecord | null;
}

/**
 * The records of the gaps that rescues have left: the only safe copy of acknowledged writes from the moment at which the target is overwritten. Holds whole
 * records. One row per (migration, rescue, collection, key); its tables are made with the first call.
 */
export interface GapLedger {
  /** Durable when it resolves. A record that is there stays as it is: collecting may be repeated. */
  record(migration: string, rescue: string, records: readonly GapRecord[]): Promise<void>;
  /** In the order of collection and encoded key. */
  list(migration: string, rescue: string, filter: GapFilter): Promise<readonly GapRecord[]>;
  find(
    migration: string,
    rescue: string,
    collection: string,
    key: string,
  ): Promise<GapRecord | null>;
  /** Compare-and-set on the status; the number of records that had one of `from`. */
  decide(
    migration: string,
    rescue: string,
    from: readonly GapStatus[],
    decisions: readonly GapDecision[],
  ): Promise<number>;
  counts(migration: string, rescue: string): Promise<Readonly<Record<GapStatus, number>>>;
  /** Those of the subjects that name a record which is not decided. */
  undecided(
    migration: string,
    rescue: string,
    subjects: readonly string[],
  ): Promise<ReadonlySet<string>>;
  /** Forgets every record of the migration: with a new generation. */
  clear(migration: string): Promise<void>;
}

/** Every status with 0. */
export const noGapCounts: Readonly<Record<GapStatus, number>> = {
  open: 0,
  conflict: 0,
  refused: 0,
  applied: 0,
  equal: 0,
  'taken-target': 0,
  'taken-source': 0,
  closed: 0,
};
