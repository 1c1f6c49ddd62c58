/**
 * The role of a store. `authority`: application writes are let in. `follower`: only door changes are. `sealed`: neither
 * writes nor door changes, during a change of authority. `idle`: not started, or retired: the one role in which unjournalled writes
 * are let in. Order: at the start the guard becomes `authority` *before* the state leaves `off`; back to `off` it becomes `idle` *before* the state does;
 * at the end the target becomes `idle` after the state is `retired`.
 */
export type GuardRole = 'idle' | 'authority' | 'follower' | 'sealed';

/** One row in the store itself. */
export interface GuardState {
  readonly role: GuardRole;
  readonly epoch: number;
  /** The cutover attempt that may change this row; null: none. */
  readonly attempt: string | null;
}

/**
 * The cell in the store that decides who may write, checked by every own write and every door transaction under a shared lock,
 * changed under the exclusive one: so a change of role waits for everything that was let in by the old one (the lock is the drain).
 * Where the store can (`supportsGuard`), leaving `authority` also enables triggers on every table of the shapes which refuse all
 * sessions but door sessions of this epoch or later: writers that do not use the library, and stale processes.
 * A new `authority` that still carries an attempt's mark can be undone: until the mark is cleared, triggers that are on stay on for all but
 * own writes of its epoch, because what a foreign writer committed there would be lost with the undo.
 */
export interface Guard {
  read(): Promise<GuardState>;
  /**
   * Compare-and-set from exactly `from`. False: the row was something else, nothing changed. Idempotent when the row is `to` already.
   * Waits at most `lockTimeoutMs` for writers, in jittered retries; then STORE_CONFLICT and nothing changed, but for an attempt's mark: an
   * authority that takes one may prepare its triggers behind that, and the same change again goes on with them. A mark that goes on (`X` → `X:held`) is one
   * of an attempt that is over, and prepares nothing.
   */
  change(from: GuardState, to: GuardState, lockTimeoutMs: number): Promise<boolean>;
  /** Sequences and identities of this store's tables are set past `other`'s values. Names → new value. */
  raiseSequences(atLeast: ReadonlyMap<string, bigint>): Promise<void>;
  /** Highest value in use per `collection.column` that draws from a sequence or identity. */
  sequenceValues(): Promise<ReadonlyMap<string, bigint>>;
}
