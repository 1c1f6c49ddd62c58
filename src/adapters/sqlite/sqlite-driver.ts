import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
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

class ImmediateSqliteDriver extends SqliteDriver {
  /** Deferred transactions that begin with a read fail at their first write when another process was faster (SQLITE_BUSY_SNAPSHOT). */
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  /** SQLite rolls back by itself on a full disk; "no transaction is active" would hide the reason. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await connection.executeQuery(CompiledQuery.raw('rollback'));
    } catch {
      // The transaction is over either way; the caller throws the first error.
    }
  }
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
    createDriver: () => new ImmediateSqliteDriver({ database: open }),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}
