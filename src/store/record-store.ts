import type { LogMark } from '../log/index.ts';
import type { DataRecord, Key, Version } from '../record/index.ts';
import type { RecordReader } from './record-reader.ts';

/** A write by the application to the authority. */
export interface AuthorityWrite {
  readonly collection: string;
  readonly key: Key;
  /**
   * `put`: insert or update; columns and children that are not given stay as they are (on insert: the store's default).
   * `update`: like put, but nothing happens when the record does not exist.
   * `delete`: with all children.
   * Children that are given replace the whole set of that child.
   */
  readonly action: 'put' | 'update' | 'delete';
  /** In this store's shape. Ignored by `delete` and when `revise` is given. */
  readonly record: DataRecord;
  /**
   * Makes the record from the present one (null: none), inside the transaction and under the key's lock: for applications that
   * write in the other side's shape. Its result counts as a `put` of all that it holds. May run more than once.
   */
  readonly revise?: (current: DataRecord | null) => DataRecord;
  /** Looks at the present record (null: none) inside the transaction and under the key's lock, before anything is written or deleted. A throw rolls back. */
  readonly check?: (current: DataRecord | null) => void;
  /** The epoch by which this write was routed. The write is refused (AUTHORITY_FENCED) when the guard has another. */
  readonly epoch: number;
  /**
   * `none`: no follower in this phase, nothing is journalled, version is null. Let in only while the guard's role is `idle` (or
   * nothing of ours is installed): so a process that still believes in `off` cannot lose a write after the start; AUTHORITY_FENCED otherwise.
   * The other two are let in with role `authority` or `idle`. The epoch must always be equal.
   * `change`: a journal row (queue entry) is written in the same transaction; its id is the version's sequence.
   * `log`: the collection is captured from the log: no entry, version is null.
   * `{ intent }`: fail-closed; consumes this committed intent first (exactly one row, else STORE_CONFLICT and no write).
   */
  readonly journal: 'none' | 'change' | 'log' | { readonly intent: bigint };
  /** How long queue workers leave the journal row to the writing process. 0: at once (deferred). */
  readonly graceMs: number;
  /** Fail-closed: runs inside the open transaction, after the write and before COMMIT. A throw rolls back. */
  readonly beforeCommit?: (written: Written) => Promise<void>;
  /** Server-side limit of the whole transaction. */
  readonly timeoutMs: number;
}

/** What a write did. */
export interface Written {
  /** As the store spells it. */
  readonly key: Key;
  /** The whole record after the write, children included; null: it does not exist (delete, or update of nothing). */
  readonly record: DataRecord | null;
  /** null with journal `none`, and for an update or delete that found nothing. */
  readonly version: Version | null;
  /** Queue entry to complete once the follower has the change. */
  readonly journalId: bigint | null;
}

/** A re-read for retry, outbox, repair. */
export interface Reread {
  /** As the store spells it. */
  readonly key: Key;
  /** `busy`: a writer holds the key; try again later. */
  readonly state: 'read' | 'busy';
  readonly record: DataRecord | null;
  /** Provably not newer than `record`: fresh from the sequence while the key was locked. */
  readonly version: Version;
}

/** How long a key's writers are waited for, and wait for us; ms. */
export interface HoldLimits {
  readonly waitMs: number;
  readonly holdMs: number;
}

/**
 * Reads (each call sees a moment of its own), and writes as the authority.
 *
 * **Versions.** Per key, all of {own write, re-read, caller's transaction with `recordChange`} are serialized by a
 * per-key lock (PostgreSQL: transaction-level advisory lock) that is held until commit, and draw
 * the version from the non-transactional sequence while holding it. So version order = commit order per key, reads
 * included. Writers that do not take the lock (trigger outbox) draw while they hold the row lock; a re-read therefore also
 * share-locks the root row first, then draws, then reads (children in a later statement). Locks are never waited for in a re-read of
 * several keys (try-lock, SKIP LOCKED → `busy`): an application transaction must never be a deadlock victim of ours.
 * For aggregates the root row is locked before the version is drawn.
 *
 * Errors: STORE_UNAVAILABLE and STORE_CONFLICT (nothing was written), STORE_REJECTED, AUTHORITY_FENCED, OUTCOME_UNKNOWN (only
 * when COMMIT was sent and no answer came), DEADLINE_EXCEEDED (rolled back).
 */
export interface RecordStore extends RecordReader {
  /** Largest key now, and the planner's estimate of the number of records. */
  extent(
    collection: string,
  ): Promise<{ readonly last: Key | null; readonly estimatedRows: number }>;
  write(write: AuthorityWrite): Promise<Written>;
  /**
   * Collections that are captured from the log: the version's sequence is a log position V, and the record holds every change of the key that
   * committed at or before V (it may hold later ones, which the log brings again). With `seen`, V is the mark's sequence, and only the
   * transactions of the mark are waited for; else V is the position of now. `busy`: this cannot be shown at the moment.
   *
   * At most 500 keys. `epoch` becomes the versions' epoch; must equal the guard's (else AUTHORITY_FENCED). */
  reread(
    collection: string,
    keys: readonly Key[],
    epoch: number,
    seen?: LogMark,
  ): Promise<readonly Reread[]>;
  /**
   * Reads one key as `reread` does and keeps it locked while `work` runs, which has to end within `holdMs`: no write of it commits meanwhile. Waits for the lock at most
   * `waitMs`, and for nothing else. `busy`: it was not to be had, or cannot be held. Optional: without it a key that never stands still stays undecided.
   */
  holdKey?<T>(
    collection: string,
    key: Key,
    epoch: number,
    limits: HoldLimits,
    work: (held: Reread) => Promise<T>,
  ): Promise<T | 'busy'>;
  /** The records as this store would give them back if they were stored (numeric scale, time zone, padding …). */
  canonicalise(collection: string, records: readonly DataRecord[]): Promise<readonly DataRecord[]>;
}
