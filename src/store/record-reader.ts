import type { QueueStanding } from '../queue/index.ts';
import type { DataRecord, Key, Version } from '../record/index.ts';
import type { RecordDigests } from './record-digest.ts';

/** A record with its canonical key, as the store gives it back. */
export interface StoredRecord {
  readonly key: Key;
  readonly record: DataRecord;
}

/** Answer of a keyed read. */
export interface ReadAnswer {
  /** null: no such record. */
  readonly record: DataRecord | null;
  /** Highest version the door has let in for this key; null when unfenced or this store has no fence. */
  readonly fence: Version | null;
}

/** Half-open range of keys in the store's key order: after < key ≤ until. null: no bound. */
export interface KeyRange {
  readonly after: Key | null;
  readonly until: Key | null;
}

/**
 * Reads of one store. Of a store itself each call sees a moment of its own; of a snapshot (`RecordSnapshot`) all calls see the same one.
 *
 * Errors: STORE_UNAVAILABLE, STORE_REJECTED, DEADLINE_EXCEEDED, KEY_INVALID.
 */
export interface RecordReader {
  /** Answers in the order of `keys`. With `withFence` the fence is read in the same snapshot as the record or an *earlier* one. */
  read(
    collection: string,
    keys: readonly Key[],
    options?: { readonly withFence?: boolean; readonly signal?: AbortSignal },
  ): Promise<readonly ReadAnswer[]>;
  /** Up to `limit` records of the range in key order. Fewer than `limit`: the range is exhausted. One snapshot a call. */
  scan(collection: string, range: KeyRange, limit: number): Promise<readonly StoredRecord[]>;
  /** The key that is `rows` records after `range.after`, or the last key of the range; null when the range is empty. */
  boundary(collection: string, range: KeyRange, rows: number): Promise<Key | null>;
  /** Digests of what this reader sees. Optional: without it records are compared one by one. */
  readonly digests?: RecordDigests;
}

/**
 * Where a snapshot stands in the log of its store: everything that committed at or before `from` is in it, nothing that committed behind `until`; of what lies
 * between, some. Both are sequences, as versions have them. Equal where the store knows its place exactly.
 */
export interface SnapshotPlace {
  readonly from: bigint;
  readonly until: bigint;
  /** `until` as the store writes it, for display. */
  readonly text: string;
}

/** What a snapshot shows of a key in the queue of its store. */
export interface QueuedKey {
  readonly standing: QueueStanding;
  /** The lowest and the highest number of its entries; null: it has none. */
  readonly first: bigint | null;
  readonly last: bigint | null;
}

/** One moment of a store: every call sees it, the fences and the queue included. A failure ends it; further calls then fail. */
export interface RecordSnapshot extends RecordReader {
  /** null: it was not asked for. */
  readonly place: SnapshotPlace | null;
  /** Where the changes of these keys stand in the store's own queue, in the order of the keys. */
  queued(collection: string, keys: readonly Key[]): Promise<readonly QueuedKey[]>;
  /** Idempotent, never throws. */
  close(): Promise<void>;
}

export interface SnapshotOptions {
  /** Those that will be read. Whoever rewrites one of their tables waits, or has ended when the snapshot is taken. */
  readonly collections: readonly string[];
  /** With its place in the log. LOG_UNSUPPORTED where the store cannot tell. */
  readonly placed: boolean;
  /**
   * With a place among the numbers of its queue instead: no change in it has a higher one. LOG_UNSUPPORTED where nothing is installed. Default false.
   */
  readonly numbered?: boolean;
  /** The place is waited for at most so long (STORE_CONFLICT says who was in the way). */
  readonly openMs: number;
  /** The snapshot ends by itself after this: it holds back VACUUM and purge, and DDL on what it has read. */
  readonly ageMs: number;
}

/** Opens snapshots. Nothing of the application waits for one, or because of one. */
export interface SnapshotSource {
  open(options: SnapshotOptions): Promise<RecordSnapshot>;
}
