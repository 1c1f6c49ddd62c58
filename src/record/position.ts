/**
 * A point in the commit order of one log. Opaque above the adapter; two positions compare only within one log (`LogIdentity`).
 * PostgreSQL: an LSN. MySQL and MariaDB: file number × 2³² + offset.
 */
export interface Position {
  /** Grows with commit order; the sequence of the versions of what committed there. Fits a signed 64-bit integer. */
  readonly sequence: bigint;
  /** As the store writes it, for display and for resuming: `0/16B3748`, `mariadb-bin.000003:4711`, and behind it what tells this log from others (stamp of the file, GTIDs). */
  readonly text: string;
}
