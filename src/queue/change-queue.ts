import type { Key } from '../record/index.ts';

/** A change that has not been confirmed on the follower. Carries the key, never the payload. */
export interface QueuedChange {
  readonly id: bigint;
  readonly collection: string;
  readonly key: Key;
  /** Number of failed attempts so far. */
  readonly attempts: number;
  readonly enqueuedAtMs: number;
  /** `change`: the write has committed. `intent`: (fail-closed) it may not have happened. */
  readonly kind: 'change' | 'intent';
}

/** A change that could not be applied and waits for a person. */
export interface DeadLetter extends QueuedChange {
  readonly reason: string;
  readonly diedAtMs: number;
  /** A newer entry of the same key exists: redriving applies the record as it is then. */
  readonly newerWriteExists: boolean;
}

export interface QueueDepth {
  /** Entries not confirmed and not dead, intents included. */
  readonly waiting: number;
  readonly dead: number;
  /** Age of the oldest waiting entry; 0 when empty. */
  readonly oldestMs: number;
}

/**
 * The durable set of changes of one store that its follower may not have: journal, outbox, retries and dead letters in one
 * table in the authority's own database, so that an entry commits with the write that it stands for. It is a *set*, not a
 * log: order does not matter, because whoever takes an entry re-reads the key as it is now.
 *
 * `claim` takes entries that are due, whose key has no dead letter (a dead key parks its later changes) and which nobody else has claimed (lease,
 * SKIP LOCKED), oldest due first. A claimed *intent* can no longer be consumed by its owner: the owner's transaction then fails.
 */
export interface ChangeQueue {
  /** At most `limit` entries, hidden from others for `leaseMs`. */
  claim(limit: number, owner: string, leaseMs: number): Promise<readonly QueuedChange[]>;
  /** The follower has these changes or newer ones. Idempotent. */
  complete(ids: readonly bigint[]): Promise<void>;
  /** Due again after `delayMs`; `countAttempt` false: it was nobody's fault (busy key, store down). */
  retryLater(
    ids: readonly bigint[],
    delayMs: number,
    error: string,
    countAttempt: boolean,
  ): Promise<void>;
  /** To the dead letters. */
  bury(ids: readonly bigint[], reason: string): Promise<void>;
  /**
   * New entries: intents (due after `graceMs`), repair requests, or dead letters straight away (`deadReason`). Ids in order. Queued under the key as the table spells it, as
   * far as that can be known: an application may say '05' for 5.
   */
  enqueue(entries: readonly QueueEntry[]): Promise<readonly bigint[]>;
  depth(): Promise<QueueDepth>;
  deadLetters(limit: number): Promise<readonly DeadLetter[]>;
  /** `redrive`: due at once, attempts 0. `discard`: removed. Number of entries. */
  resolveDead(action: 'redrive' | 'discard', ids: readonly bigint[]): Promise<number>;
  /**
   * Every entry with an id above `after` (null: from the first), in the order of ids, at most `limit`: waiting, claimed by somebody, parked and dead ones.
   * Optional: without it the gap of a rescue is found by comparing everything.
   */
  readonly entries?: (after: bigint | null, limit: number) => Promise<readonly QueuedChange[]>;
  /**
   * Where the changes of these keys, as the table spells them, stand, in order, as committed when it is called. Optional: with it verification
   * tells lag from loss exactly, per key; without it, by the age of the oldest entry of the whole queue.
   */
  readonly standing?: (
    collection: string,
    keys: readonly Key[],
  ) => Promise<readonly QueueStanding[]>;
}

/** `dead`: has a dead letter, whatever else waits. `waiting`: has entries that are not confirmed. `none`: neither. */
export type QueueStanding = 'none' | 'waiting' | 'dead';

export interface QueueEntry {
  readonly collection: string;
  readonly key: Key;
  readonly kind: 'change' | 'intent';
  readonly graceMs: number;
  readonly deadReason?: string;
}
