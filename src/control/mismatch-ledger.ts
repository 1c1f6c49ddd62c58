import type { FieldDifference } from '../record/index.ts';

export type MismatchKind = 'missing' | 'extra' | 'different';
/** `suspect`: seen once, waits for its recheck. `open`: confirmed by recheck. */
export type MismatchStatus = 'suspect' | 'open' | 'explained' | 'repaired';

export interface Mismatch {
  readonly collection: string;
  /** Encoded key. */
  readonly key: string;
  readonly kind: MismatchKind;
  readonly status: MismatchStatus;
  /** What saw it first. */
  readonly detector: string;
  readonly differences: readonly FieldDifference[];
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  readonly rechecks: number;
  readonly note: string;
}

/** One row per (migration, collection, key). */
export interface MismatchLedger {
  /** Inserts, or updates kind, status, differences, last seen and rechecks. */
  record(migration: string, mismatches: readonly Mismatch[]): Promise<void>;
  /** Gone by itself (transient) or no longer of interest. */
  drop(
    migration: string,
    keys: readonly { readonly collection: string; readonly key: string }[],
  ): Promise<void>;
  list(
    migration: string,
    filter: { readonly status?: MismatchStatus; readonly limit: number },
  ): Promise<readonly Mismatch[]>;
  count(migration: string, status: MismatchStatus): Promise<number>;
}
