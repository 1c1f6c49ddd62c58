import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type QueryResult,
  SqliteAdapter,
  SqliteDriver,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import Database from 'libsql';

/**
 * libsql blocks the event loop while it waits for another process's lock; so it waits hardly at all, and `sqlite-control-engine.ts`
 * repeats with pauses in which the application goes on.
 */
const busyTimeoutMs = 5;

/**
 * Transaction statements go through `exec`, which finalizes them. A prepared BEGIN that failed with SQLITE_BUSY stays "in progress"
 * until it is garbage-collected (libsql 0.5), and a later COMMIT is then refused. The same holds for a bare INSERT or UPDATE, so
 * every write of ours is in a transaction.
 */
class ImmediateSqliteDriver extends SqliteDriver {
  readonly #database: () => Database.Database;

  constructor(open: () => Promise<Database.Database>) {
    let database: Database.Database | null = null;
    super({ database: async () => (database = await open()) });
    this.#database = () => database as Database.Database;
  }

  /** Deferred transactions that begin with a read fail at their first write when another process was faster (SQLITE_BUSY_SNAPSHOT). */
  override async beginTransaction(): Promise<void> {
    this.#database().exec('begin immediate');
  }

  override async commitTransaction(): Promise<void> {
    this.#database().exec('commit');
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection();
    return {
      executeQuery: (query) => this.#execute(connection, query),
      streamQuery: (query, chunkSize) => connection.streamQuery(query, chunkSize),
    };
  }

  /**
   * A single write gets a transaction as well: BEGIN takes the lock, and a prepared write never meets another process's. One that did
   * would stay unfinished until it is garbage-collected, and so long SQLite keeps the snapshot of the next read open: this connection
   * would never see a change again, and all its writes would be refused as busy.
   */
  async #execute<R>(connection: DatabaseConnection, query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#database().inTransaction || isRead(query)) return connection.executeQuery<R>(query);
    await this.beginTransaction();
    try {
      const result = await connection.executeQuery<R>(query);
      await this.commitTransaction();
      return result;
    } catch (error) {
      await this.rollbackTransaction();
      throw error;
    }
  }

  /** SQLite rolls back by itself on a full disk; "no transaction is active" would hide the reason. */
  override async rollbackTransaction(): Promise<void> {
    if (this.#database().inTransaction) this.#database().exec('rollback');
  }
}

function isRead({ query, sql }: CompiledQuery): boolean {
  if (query.kind === 'RawNode') return /^\s*(select|pragma)\b/i.test(sql);
  return query.kind === 'SelectQueryNode';
}

/** kysely over one libsql connection: write-ahead log, full durability, immediate transactions. */
export function libsqlDialect(file: string): Dialect {
  const open = async (): Promise<Database.Database> => {
    const database = new Database(file);
    try {
      database.exec(`pragma busy_timeout = ${busyTimeoutMs}`);
      database.exec('pragma journal_mode = wal');
      // In WAL mode NORMAL may lose the last commits with the power: an acknowledged authority change must not be lost.
      database.exec('pragma synchronous = full');
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  };
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new ImmediateSqliteDriver(open),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}
