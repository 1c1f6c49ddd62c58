import type { Kysely, RawBuilder, Transaction } from 'kysely';
import type { NewAuditEntry } from '../../control/index.ts';
import type { MigrationState } from '../../migration/index.ts';
import type { Clock, Random } from '../../runtime/index.ts';
import type { ControlTables } from './control-tables.ts';

export type ControlDatabase = Kysely<ControlTables>;
export type ControlTransaction = Transaction<ControlTables>;

/** What differs between the databases in which a control store can live. Everything else is shared SQL. */
export interface SqlControlEngine {
  /** Address without password. */
  readonly display: string;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Reads, and single writes that may be repeated, outside of a transaction, within the engine's deadline, repeated while the database is busy.
   * Errors come out as CONTROL_UNAVAILABLE or CONFIG_INVALID; `operation` may run more than once.
   */
  run<T>(what: string, operation: (db: ControlDatabase) => Promise<T>): Promise<T>;
  /**
   * Writes, single ones too, in one transaction that holds the write lock from its first statement where the database has only one.
   * When COMMIT was sent and no answer came, CONTROL_UNAVAILABLE: look before acting again.
   */
  transaction<T>(what: string, operation: (tx: ControlTransaction) => Promise<T>): Promise<T>;
  /** The time by which leases are judged, as an SQL expression, epoch ms. */
  now(): RawBuilder<number>;
  /** `primary key` of the audit: a number that the database draws. */
  readonly auditId: 'identity' | 'autoincrement';
  /** Serializes processes that create the schema at once; first statement of that transaction. Creates the container too. */
  lockSchema(tx: ControlTransaction): Promise<void>;
  /** True when the table with the format version exists. Must not need the right to create anything. */
  hasSchema(db: ControlDatabase): Promise<boolean>;
  /**
   * All of `ControlStore.commit` in one statement: the state if its version was `next.version - 1`, the audit line, the notification. True: it was
   * changed. Null: the database has no such statement, and a transaction of several does it.
   */
  readonly changeState: ((next: MigrationState, entry: NewAuditEntry) => Promise<boolean>) | null;
  /** Tells other processes at commit that the state of `migration` changed. */
  notify(tx: ControlTransaction, migration: string): Promise<void>;
  /** Calls `wake` when another process may have changed a state. Losing calls is allowed: polling is the safety net. */
  listen(wake: (migration: string | null) => void): () => void;
  /** True while `listen` is connected and tells of changes at once: then polling is only for what a network swallows. */
  isNotified(): boolean;
  /** Idempotent. */
  close(): Promise<void>;
}
