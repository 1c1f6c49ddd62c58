/** One statement on its way to a database. */
export interface Step {
  /** Label of the database. */
  readonly database: string;
  /** Name of the client process. */
  readonly client: string;
  /** Number of the transaction in this database. */
  readonly transaction: number;
  /** What the statement does, e.g. `door/fences`. Stable: tests stop at these. */
  readonly label: string;
}

/** What the server can still do about a COMMIT after the connection is gone. */
export interface CommitServer {
  /** Commits; throws when the transaction was ended before. A promise, when it is in the log and not yet visible. */
  commit(): void | Promise<void>;
  rollback(): void;
}

/**
 * Where a simulation takes hold: each statement waits for `request` before the server sees it and for `reply` before the client hears of
 * the result; a rejection of either is a lost connection (the transaction is rolled back). Locks are held in between.
 */
export interface StepHook {
  request(step: Step): Promise<void>;
  reply(step: Step): Promise<void>;
  /** Between two rows of a statement that takes long; the client knows nothing of it. */
  row(step: Step): Promise<void>;
  /**
   * Must call `server.commit()` or `server.rollback()` once, possibly after it has settled. A rejection means that the client does not
   * know: the write's outcome is unknown to it.
   */
  commit(step: Step, server: CommitServer): Promise<void>;
  /** Between a commit's entry in the log and its visibility to others; only where the log is kept. Absent: no time passes. */
  surface?(step: Step): Promise<void>;
}
