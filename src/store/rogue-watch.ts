/**
 * Notes who writes to the tables of the shapes, while this store is the follower, without being the door: a program that was forgotten, a
 * script, a person with a console. Such a write makes the stores differ, and nothing of ours brings it to the other side. Where the guard is shut, it refuses them
 * instead, and there is nothing to note.
 */
export interface RogueWatch {
  look(limit: number): Promise<RogueLook>;
  /** Takes these notes away; one that somebody is adding to stays. How many went. */
  forget(writes: readonly RogueWrite[]): Promise<number>;
  /** From here on foreign writes are noted. Idempotent. Optional: where `install` does it, because it costs nothing while a copy runs. */
  readonly begin?: () => Promise<void>;
  /** This store has become the authority for good: nothing is noted any more, and what was noted goes. Idempotent. Optional: where it costs nothing to stay. */
  readonly end?: () => Promise<void>;
}

export interface RogueLook {
  /** Why foreign writes are not noted here, or not on all tables; null: they are. */
  readonly blind: string | null;
  /** Notes in all, or the rows that they stand for: grows with every foreign write that commits after the look. */
  readonly total: number;
  /** The newest, at most `limit`. */
  readonly writes: readonly RogueWrite[];
}

/** One note: a transaction or a session, a table, a kind of statement, a minute. Never a value or a statement. */
export interface RogueWrite {
  readonly id: string;
  readonly table: string;
  readonly operation: 'INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE';
  readonly user: string;
  /** As the session calls itself; empty where the store does not know. */
  readonly application: string;
  /** Process or connection id. */
  readonly process: string;
  /** By the store's clock. */
  readonly atMs: number;
  /** How long ago, by the same clock. */
  readonly agoMs: number;
}
