import type { Position, Scalar } from '../record/index.ts';

/**
 * Reads the commit log of one store (capture `log`): PostgreSQL logical replication, MySQL and MariaDB row binlog. Delivery is at
 * least once and in commit order; what makes effects happen once is that the follower commits `LogCheckpoint` together with
 * the rows, and that a stream resumes exactly there.
 *
 * One *stream* is one period of authority of one migration: `streamName`. Its name is the name of the slot and of the publication.
 *
 * Errors: LOG_LOST (halt: slot dropped, recreated or invalidated, log purged or reset, another server, statement-format events: what is
 * missing can never be read again), LOG_UNSUPPORTED (reject: settings or privileges), SCHEMA_CHANGED, STORE_UNAVAILABLE (retry).
 */
export interface ChangeSource {
  /**
   * Makes the log keep everything from now on (PostgreSQL: publication and slot) for the tables of the collections that are captured from the log. Idempotent: an
   * existing stream of this name is returned as it is. Waits for running transactions at most `lockTimeoutMs`, leaves nothing behind when it fails.
   */
  install(stream: string, lockTimeoutMs: number): Promise<LogStart>;
  /** Removes the stream's objects from the store. Idempotent; ends its reader on the server first. */
  remove(stream: string): Promise<void>;
  /** Names of streams of this migration that exist in the store, whoever made them. */
  installed(): Promise<readonly string[]>;
  /** Reads on behind `from`. Checks first that nothing between there and now is lost (LOG_LOST). One reader per stream: an earlier one is ended. */
  open(options: OpenStream): Promise<ChangeStream>;
  /** A position behind which nothing that committed before this call can lie. */
  end(): Promise<Position>;
  /** Writes a transaction that only carries `token`; it comes back in `LogBatch.challenges`. Also while the store is sealed. */
  challenge(token: string): Promise<void>;
  /** How much log is kept for this stream, and how near it is to being lost. */
  retention(stream: string): Promise<LogRetention>;
}

/** Which log it is: changes when the server is replaced, restored or reset. Compared as text. */
export type LogIdentity = string;

export interface LogStart {
  readonly identity: LogIdentity;
  /** Everything that commits behind it is delivered. */
  readonly position: Position;
}

/** Where a follower stands in a stream. Stored in the follower, in the transaction that applied what lies before it. */
export interface LogCheckpoint {
  readonly identity: LogIdentity;
  /** Of the last transaction that is applied completely. */
  readonly position: Position;
  /** Row changes (of published tables, in order) of the transaction behind `position` that are applied already; 0 between transactions. */
  readonly skip: number;
}

export interface OpenStream {
  readonly stream: string;
  readonly from: LogCheckpoint;
  /** A batch is handed out at the latest with so many changes, or so many bytes of values; at the soonest as something is there. */
  readonly changesMax: number;
  readonly bytesMax: number;
  /** True: no transaction is divided, however large; `changesMax` and `bytesMax` then only divide between transactions. */
  readonly whole: boolean;
}

/** A reader. Reads ahead while the applier is busy, bounded by `bytesMax`; answers the server's keepalives all the while. */
export interface ChangeStream {
  /** The next changes, waiting at most `waitMs`; then a batch without changes, whose checkpoint may have moved. Rejects after `close`, or when the stream has ended. */
  next(waitMs: number): Promise<LogBatch>;
  /** Nobody will ask for a while: nothing need be read until the next `next`, which takes in what has come meanwhile first. */
  rest?(): void;
  /** The follower has committed this: the log before it may go. */
  confirm(checkpoint: LogCheckpoint): void;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface LogBatch {
  /** In commit order. Those of transactions that carry the door's mark are left out (they are counted for `skip` all the same). */
  readonly changes: readonly LogChange[];
  /** The follower stands here once it has applied `changes`. */
  readonly checkpoint: LogCheckpoint;
  readonly challenges: readonly string[];
  /** When the newest transaction committed, by the store's clock, ms since 1970; null: none in this batch. */
  readonly committedAtMs: number | null;
  /** What `RecordStore.reread` needs to see everything in this batch: opaque. */
  readonly mark: LogMark;
}

/** Proof of what the log has delivered: a read with this mark sees all of it. Understood by the adapter that made it. */
export interface LogMark {
  /** Highest sequence in the batch. */
  readonly sequence: bigint;
  readonly transactions: readonly string[];
}

/** A table as the log describes it. The same object for all changes until its form changes: compare by identity, keep what you compute in a WeakMap. */
export interface LogTable {
  readonly schema: string;
  readonly name: string;
  /** In the log's order. */
  readonly columns: readonly LogColumn[];
  /** Set for a table of the adapter's own: each row inserted there names a record that is changed in its transaction without the log telling how. */
  readonly touches?: {
    /** Place of the column that holds the collection's name. */
    readonly collection: number;
    /** Place of the column that holds the encoded key. */
    readonly key: number;
  };
}

export interface LogColumn {
  readonly name: string;
  /** As the store calls it, for messages: `numeric(10,2)`; what is not known precisely may be shorter. */
  readonly type: string;
  /** Part of the identity by which old rows are told. */
  readonly key: boolean;
}

/** Not in the log although the row has it (PostgreSQL: large value that an update did not touch). Neither null nor absent. */
export const unchanged: unique symbol = Symbol('unchanged');
export type LogValue = Scalar | typeof unchanged;

/**
 * One row change. Values are the exact text that `RecordStore.read` of this store gives for the same value, in the order of `table.columns`.
 * `before`: what the log has of the old row: null for inserts, and for updates that did not change the identity and whose log carries keys only; columns that
 * are not in it are `unchanged`. `after`: null for deletes. A truncated table comes as kind `truncate` with neither.
 */
export interface LogChange {
  readonly table: LogTable;
  readonly kind: 'insert' | 'update' | 'delete' | 'truncate';
  readonly before: readonly LogValue[] | null;
  readonly after: readonly LogValue[] | null;
  /** Of its transaction: the sequence of its version. */
  readonly sequence: bigint;
}

export interface LogRetention {
  readonly retainedBytes: number;
  /** Until the log is cut off (`max_slot_wal_keep_size`, expiry, disk as far as known); null: no limit is set. */
  readonly leftBytes: number | null;
  readonly state: 'kept' | 'at-risk' | 'lost';
}
