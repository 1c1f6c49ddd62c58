import type { LogCheckpoint, LogStart } from '../log/index.ts';
import type { Change, DataRecord, Key, Version } from '../record/index.ts';
import type { KeyRange, StoredRecord } from './record-reader.ts';
import type { TextSource } from './text-source.ts';

/**
 * What the door did with a change.
 * `applied`: row and fence are committed. `stale`: the fence holds the same or a newer version, nothing to do.
 * `present`: (backfill) the record was there or fenced already.
 */
export type DoorVerdict = 'applied' | 'stale' | 'present';

export interface DoorContext {
  /** The epoch by which these changes were routed; must equal the guard's, whose role must be `follower` (else DOOR_SHUT). */
  readonly epoch: number;
  /** Server-side limit of the transaction. */
  readonly timeoutMs: number;
  /** Roll back at the end: load and schema test (phase `shadow-write`). */
  readonly discard?: boolean;
}

/** A follower transaction that is open while the authority commits (write mode `parallel`). */
export interface OpenChange {
  /** Sets the version, checks the fence and commits. */
  commit(version: Version): Promise<DoorVerdict>;
  /** Idempotent; also after a failed commit. */
  abort(): Promise<void>;
}

/** A backfill chunk in flight. */
export interface ChunkTicket {
  readonly collection: string;
  readonly chunk: number;
  readonly range: KeyRange;
  readonly owner: string;
  readonly attempt: number;
}

/**
 * The single function through which every change enters this store.
 *
 * **Rules.** `live | outbox | log | retry`: accept iff incoming > fence. `repair`: accept iff incoming ≥ fence.
 * Backfill enters by chunks: version 0, only inserts what is absent *and* unfenced. Fence and rows commit together. A batch may hold
 * several changes of one key: the highest version wins. Order of statements in one READ COMMITTED transaction, each its own statement:
 * 1. shared role lock, read role and epoch (DOOR_SHUT otherwise);
 * 2. upsert fences `WHERE fence < incoming` in key order, returning the accepted keys;
 * 3. tombstones: share-lock every in-flight chunk record of the collection that covers a key whose root is absent (the look at the root
 *    and at the records in one snapshot), *then* delete children and root: what the chunk has committed meanwhile is seen;
 * 4. roots of accepted upserts (insert … on conflict update), *then* surplus children are deleted, *then* children upserted: a later
 *    statement sees what a chunk committed while an earlier one waited. An adapter may delete after it has upserted, if it locks first.
 *
 * **Chunks.** `beginChunk` commits the in-flight record with its range and a new attempt, then waits until no door transaction older than it is open;
 * only then may the caller read the source. `writeChunk` first updates that record (exactly one row with this owner and attempt,
 * else CHUNK_LOST), then inserts what is absent and unfenced, then, in a new statement, takes out again what it inserted and whose fence now
 * says deleted (a root that came *and went* while the insert ran was present to its delete, which did not wait), then writes the children of
 * the roots that it inserted, marks the chunk done, commits. The range is compared by *this* store's key order: where keys of a chunk do not
 * lie in it (a number there, a text here) the record has to be widened, and older door transactions waited out again, before it writes.
 * A root that is absent although its fence says otherwise was removed behind the door's back: an adapter may bring it again (PostgreSQL, where it copies straight).
 *
 * Errors: DOOR_SHUT, STORE_UNAVAILABLE, STORE_CONFLICT, STORE_REJECTED (the whole batch is rolled back; the caller bisects), OUTCOME_UNKNOWN.
 */
export interface Door {
  /** Verdicts in the order of `changes`. All or nothing. At most `capabilities.batchMax` changes. */
  apply(changes: readonly Change[], context: DoorContext): Promise<readonly DoorVerdict[]>;
  /** Rows are written, fence row locked, nothing committed. `change.version` is ignored. */
  open(change: Omit<Change, 'version'>, context: DoorContext): Promise<OpenChange>;
  /** Fences of these keys, in order; null: unfenced. */
  fences(collection: string, keys: readonly Key[]): Promise<readonly (Version | null)[]>;
  beginChunk(
    collection: string,
    chunk: number,
    range: KeyRange,
    owner: string,
  ): Promise<ChunkTicket>;
  /** `records` in this store's shape. Number of records that were inserted; the others were present or fenced. */
  writeChunk(
    ticket: ChunkTicket,
    records: readonly StoredRecord[],
    context: DoorContext,
  ): Promise<{ readonly inserted: number }>;
  /** Gives a chunk up without writing; idempotent. */
  abandonChunk(ticket: ChunkTicket): Promise<void>;
  /**
   * Deletes fences older than `before`. Number deleted; fences that are being raised meanwhile stay. Chunks in flight are given up first (their
   * write is CHUNK_LOST): what they have read may be older than a tombstone that goes. Chunks that begin later read later.
   * **The caller answers for everything else**: no process may hold a change older than `before` any more, for without its fence the door
   * lets it in (docs/design/pruning-fences.md). STORE_CONFLICT while chunks keep beginning.
   */
  pruneFences(before: Version): Promise<number>;
  /** Entry of what a log delivers. Optional: without it, nothing that is captured from a log can follow here. */
  readonly log?: LogDoor;
  /** Bytes passed through from a store of the same engine, where both declare `supportsCopyStream` and shapes are identical. */
  readonly copyChunk?: (
    ticket: ChunkTicket,
    from: CopySource,
    context: DoorContext,
  ) => Promise<{ readonly inserted: number; readonly rows: number }>;
  /** The same with text from a store of any engine. STORE_REJECTED: a value, or the collection, is not for this path; records may be. Optional. */
  readonly copyText?: (
    ticket: ChunkTicket,
    from: TextSource,
    context: DoorContext,
    /** At most so many rows, from the beginning of the range on; null: all of them. */
    rowsMax: number | null,
  ) => Promise<CopiedText>;
}

export interface CopiedText {
  readonly inserted: number;
  readonly rows: number;
  /** Where the copy ended; null: at the end of the range. */
  readonly last: Key | null;
}

/** Changes out of a log, and where the follower stands once they are applied. */
export interface LogApply {
  readonly stream: string;
  /** What the store has to hold now (compare-and-set), and what it holds afterwards. */
  readonly from: LogCheckpoint;
  readonly to: LogCheckpoint;
  /** Each key at most once, with its newest state. Collections in the order in which their records are to be written; deletes go the other way round. */
  readonly changes: readonly Change[];
  /**
   * It need not be on disk when it is answered: a store that can leaves that to a later commit, and a crash of it may take the last of these away,
   * checkpoint and rows together. Default: false.
   */
  readonly lazy?: boolean;
}

/**
 * Applies a log in its order. Checkpoint and rows commit together, so nothing of a stream enters twice: therefore a change is accepted
 * iff incoming ≥ fence (a large transaction comes in parts with one version). Everything else is as in `apply`: role, fences, tombstones and chunks.
 * Transactions of this door (and of `apply` and chunks) carry the mark by which this store's own log leaves them out: no loop.
 */
export interface LogDoor {
  /**
   * null: this stream was never begun here. `durable`: what is told has come to the disk, together with everything before it, and no crash of the store takes it back;
   * without it what is seen now, which costs the store nothing.
   */
  checkpoint(
    stream: string,
    options?: { readonly durable?: boolean },
  ): Promise<LogCheckpoint | null>;
  /** A stream begins here; one that has begun stays where it is. What the store holds afterwards. LOG_LOST when that is of another log. */
  begin(stream: string, start: LogStart): Promise<LogCheckpoint>;
  /** Errors as `Door.apply`, and CHECKPOINT_MOVED when the store holds something else than `from`: nothing was applied. Any number of changes. */
  apply(batch: LogApply, context: DoorContext): Promise<LogApplied>;
  /**
   * The same compare-and-set over a part of the log without changes, whatever the role of this store: for a stream that is prepared and not followed yet.
   * CHECKPOINT_MOVED when the store holds something else.
   */
  move(stream: string, from: LogCheckpoint, to: LogCheckpoint): Promise<void>;
  /** Idempotent. */
  forget(stream: string): Promise<void>;
}

export interface LogApplied {
  readonly applied: number;
  readonly stale: number;
  /** This and everything that was applied before it is on disk. */
  readonly durable: boolean;
}

/** The reading end of a bulk stream; opaque to engines: `MigrationStore`s of one engine understand each other. */
export interface CopySource {
  readonly engine: string;
  readonly collection: string;
  readonly store: unknown;
}

export type { DataRecord };
