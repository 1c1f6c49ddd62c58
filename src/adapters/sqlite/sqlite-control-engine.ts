import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Kysely, sql } from 'kysely';
import { ChangeoverError } from '../../errors/index.ts';
import { backoffMs, type Runtime } from '../../runtime/index.ts';
import type { ControlDatabase, ControlTables, SqlControlEngine } from '../sql-control/index.ts';
import { libsqlDialect } from './sqlite-driver.ts';
import { isBusy, toControlError } from './sqlite-errors.ts';

/** How long a call waits for other processes before it gives up. */
const deadlineMs = 5_000;
const busyBackoff = { firstMs: 4, maxMs: 50 };

/** One file, several processes of one host. Time is the host's. */
export function createSqliteControlEngine(file: string, runtime: Runtime): SqlControlEngine {
  const { clock, random } = runtime;
  const connection = createConnection(file);

  /** Repeats `attempt` while others hold the lock. Nothing of a busy attempt has happened. */
  const patiently = async <T>(what: string, attempt: () => Promise<T>): Promise<T> => {
    const until = clock.monotonic() + deadlineMs;
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (!isBusy(error) || clock.monotonic() >= until) throw toControlError(error, file, what);
        await clock.sleep(1 + backoffMs(busyBackoff, tries, random));
      }
    }
  };

  return {
    display: `sqlite:${file}`,
    clock,
    random,
    run: (what, operation) => patiently(what, async () => operation(connection.open())),
    transaction: (what, operation) =>
      patiently(what, async () => connection.open().transaction().execute(operation)),
    now: () => sql<number>`${clock.now()}`,
    auditId: 'autoincrement',
    // BEGIN IMMEDIATE holds the one write lock already.
    lockSchema: async () => {},
    async hasSchema(db) {
      const { rows } =
        await sql`select 1 from sqlite_master where type = 'table' and name = 'format'`.execute(db);
      return rows.length > 0;
    },
    changeState: null,
    notify: async () => {},
    listen: () => () => {},
    isNotified: () => false,
    close: () => connection.close(),
  };
}

interface Connection {
  open(): ControlDatabase;
  close(): Promise<void>;
}

/**
 * Opens the file with the first call, and again when the file at that path is no longer the one that was opened: writing on into a
 * file that was deleted or replaced would be lost without an error.
 */
function createConnection(file: string): Connection {
  let db: ControlDatabase | null = null;
  let inode: number | null = null;
  let closed = false;
  return {
    open() {
      if (closed) throw new ChangeoverError('CLOSED', `The control file ${file} was closed.`);
      if (db !== null && inode !== null && !isSameFile(file, inode)) {
        throw new ChangeoverError(
          'CONTROL_UNAVAILABLE',
          `The control file ${file} was deleted or replaced while this process had it open. Put it back, or restart the process.`,
          { data: { file } },
        );
      }
      if (db === null) {
        if (!existsSync(dirname(file))) mkdirSync(dirname(file), { recursive: true });
        db = new Kysely<ControlTables>({ dialect: libsqlDialect(file) });
      } else {
        inode ??= existsSync(file) ? statSync(file).ino : null;
      }
      return db;
    },
    async close() {
      closed = true;
      const open = db;
      db = null;
      await open?.destroy();
    },
  };
}

function isSameFile(file: string, inode: number): boolean {
  return statSync(file, { throwIfNoEntry: false })?.ino === inode;
}
