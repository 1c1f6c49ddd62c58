import type { Generated } from 'kysely';

/** Our tables as kysely sees them. All times are epoch milliseconds; numbers stay far below 2^53. */
export interface ControlTables {
  /** One row: the format version of this schema. */
  readonly format: { readonly id: number; readonly version: number };
  readonly migration_state: {
    readonly migration: string;
    readonly version: number;
    /** `MigrationState` as JSON. */
    readonly state: string;
  };
  readonly audit: {
    readonly id: Generated<number>;
    readonly migration: string;
    readonly state_version: number | null;
    readonly at_ms: number;
    readonly actor: string;
    readonly action: string;
    readonly reason: string;
    readonly detail: string;
  };
  readonly checkpoint: {
    readonly migration: string;
    readonly collection: string;
    /** `BackfillCheckpoint` as JSON. */
    readonly body: string;
  };
  readonly instance: {
    readonly migration: string;
    readonly id: string;
    readonly kind: string;
    readonly label: string;
    readonly acknowledged_version: number;
    readonly last_seen_ms: number;
    readonly lease_until_ms: number;
    /** `WorkerReport` as JSON. */
    readonly report: string | null;
  };
  readonly evidence_count: {
    readonly migration: string;
    readonly collection: string;
    readonly detector: string;
    readonly minute: number;
    readonly fingerprint: string;
    readonly compared: number;
    readonly matched: number;
    readonly suspect: number;
    readonly confirmed: number;
    readonly shed: number;
    readonly timed_out: number;
    readonly failed: number;
    /** Strung together, see `EvidenceSubjects`. */
    readonly subjects: string;
  };
  readonly evidence_latency: {
    readonly migration: string;
    readonly minute: number;
    readonly collection: string;
    readonly side: string;
    readonly bucket: number;
    readonly reads: number;
  };
  readonly mismatch: {
    readonly migration: string;
    readonly collection: string;
    readonly key: string;
    readonly kind: string;
    readonly status: string;
    readonly detector: string;
    /** `FieldDifference[]` as JSON. */
    readonly differences: string;
    readonly first_seen_ms: number;
    readonly last_seen_ms: number;
    readonly rechecks: number;
    readonly note: string;
    /** This and what follows: null in lines of format 3 and older. */
    readonly class: string | null;
    /** `[[field, class], …]` as JSON, each pair once, sorted: what lines are counted and sought by. */
    readonly fields: string | null;
    readonly owner: string | null;
    readonly ticket: string | null;
    readonly expires_ms: number | null;
    /** Everything else, as JSON. */
    readonly detail: string | null;
  };
  readonly sample: {
    readonly migration: string;
    readonly series: string;
    readonly side: string;
    readonly minute: number;
    readonly count: number;
    readonly sum: number;
    readonly high: number;
  } & Readonly<Record<SampleBucket, number>>;
}

/** One column for each bucket of a sample. */
export type SampleBucket = `b${number}`;
