/** Exact counts of one minute, one collection, one detector. */
export interface EvidenceCounts {
  readonly collection: string;
  /** `shadow-read`, `verify`, `parity`. */
  readonly detector: string;
  /** Epoch minute: floor(ms / 60 000). */
  readonly minute: number;
  readonly compared: number;
  readonly matched: number;
  /** Differed at first sight; the recheck decides. */
  readonly suspect: number;
  readonly confirmed: number;
  /** Not compared because of load. */
  readonly shed: number;
  readonly timedOut: number;
  readonly failed: number;
}

/** The exact ledger that gates compute from. Adding is commutative; callers add deltas. */
export interface EvidenceLedger {
  /** Adds the numbers to the row of (migration, collection, detector, minute). One transaction. */
  add(migration: string, counts: readonly EvidenceCounts[]): Promise<void>;
  /** Rows with minute ≥ `fromMinute`, ascending. */
  since(migration: string, fromMinute: number): Promise<readonly EvidenceCounts[]>;
  clear(migration: string): Promise<void>;
}
