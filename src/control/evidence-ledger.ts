import type { Side } from '../migration/index.ts';

/** Exact counts of one minute, one collection, one detector and one comparator. */
export interface EvidenceCounts {
  readonly collection: string;
  /** `shadow-read`, `verify`, `parity`. */
  readonly detector: string;
  /** Epoch minute: floor(ms / 60 000). */
  readonly minute: number;
  /** How was compared: `comparatorFingerprint`. '': not known; such counts prove nothing. */
  readonly fingerprint: string;
  readonly compared: number;
  /** Agreed, repeats included; `subjects` are what counts as proof. */
  readonly matched: number;
  /** Differed at first sight; the recheck decides. */
  readonly suspect: number;
  readonly confirmed: number;
  /** Not compared because of load. */
  readonly shed: number;
  readonly timedOut: number;
  readonly failed: number;
}

/** What is added to the row of (migration, collection, detector, minute, fingerprint). */
export interface EvidenceDelta extends Omit<EvidenceCounts, 'fingerprint'> {
  /** Default ''. */
  readonly fingerprint?: string;
  /** Of what matched: which record in which version it was, see `subjectOf`. Repeats do no harm. */
  readonly subjects?: readonly string[];
}

/** The subjects of one row, strung together: `subjectLength` characters each. */
export interface EvidenceSubjects {
  readonly minute: number;
  readonly packed: string;
}

/** Which rows: those of one detector and one comparator. */
export interface SubjectFilter {
  readonly collection: string;
  readonly detector: string;
  readonly fingerprint: string;
  readonly fromMinute: number;
}

/** How long one store took for the reads of a minute that were made on both stores: bucket of `latencyBucket` → reads. */
export interface EvidenceLatency {
  readonly collection: string;
  readonly side: Side;
  readonly minute: number;
  readonly buckets: ReadonlyMap<number, number>;
}

/** What pruning leaves. */
export interface EvidenceKept {
  /** Newest subjects of each collection and detector; the oldest beyond that are forgotten, so that fewer comparisons count, never more. */
  readonly subjectsMax: number;
  /** Latencies before this minute go. */
  readonly latencyFromMinute: number;
}

/**
 * The exact ledger that gates compute from. Adding is commutative; callers add deltas. Counts are never pruned: one row a minute, collection
 * and detector.
 */
export interface EvidenceLedger {
  /** Adds the numbers, and the subjects behind those that are there. One transaction. */
  add(migration: string, deltas: readonly EvidenceDelta[]): Promise<void>;
  /** Rows with minute ≥ `fromMinute`, by minute, collection, detector, fingerprint. */
  since(migration: string, fromMinute: number): Promise<readonly EvidenceCounts[]>;
  /** Rows that hold subjects, by minute. May be some tens of megabytes. */
  subjects(migration: string, filter: SubjectFilter): Promise<readonly EvidenceSubjects[]>;
  /** Adds up per (collection, side, minute, bucket). One transaction. */
  addLatencies(migration: string, latencies: readonly EvidenceLatency[]): Promise<void>;
  /** All minutes ≥ `fromMinute` added up: `minute` of the answer is the newest of them. */
  latencies(migration: string, fromMinute: number): Promise<readonly EvidenceLatency[]>;
  prune(migration: string, kept: EvidenceKept): Promise<void>;
  clear(migration: string): Promise<void>;
}
