import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  type PrivateMariadb,
  type PrivateMariadbOptions,
  startPrivateMariadb,
} from './mariadb-server.ts';

export type { PrivateMariadb, PrivateMariadbOptions } from './mariadb-server.ts';

/** How long connections that were closed may take to disappear from the server's list. */
const LEAK_GRACE_MS = 2_000;

/**
 * A server for the surrounding file or block, stopped at its end: call it at the top of a file,
 * in `describe` or in a `beforeAll`. For a file that is skipped without MariaDB, start it in a
 * `beforeAll` of the skipped block (see `missingMariadb`).
 */
export function useMariadb(options: PrivateMariadbOptions = {}): Promise<PrivateMariadb> {
  const starting = startPrivateMariadb(options);
  // A failed start is reported where it is awaited.
  starting.catch(() => {});
  afterAll(async () => {
    const server = await starting.catch(() => undefined);
    await server?.stop();
  });
  return starting;
}

export interface MariadbDatabases {
  /** Only inside tests and hooks. */
  readonly server: PrivateMariadb;
  /** Connection string (as root) of the database with this index; only inside tests and hooks. */
  url(index: number): string;
  /** The name of the database with this index. */
  name(index: number): string;
  /** Runs one statement on a connection of its own and returns the rows. */
  query<Row extends object = Record<string, string | null>>(
    index: number,
    sql: string,
    parameters?: readonly (string | number | null)[],
  ): Promise<Row[]>;
}

/**
 * Gives the surrounding file or `describe` block a MariaDB server of its own with `count` fresh,
 * empty databases. Call it where hooks may be registered, not inside a test. At the end a
 * connection to one of them, or a binlog reader, that is still there fails the block.
 *
 * @param options.scope `suite` (default): databases once for the block; `test`: fresh ones for
 * every test. The server is the same either way.
 */
export function withMariadb(
  count: number,
  options: PrivateMariadbOptions & { readonly scope?: 'suite' | 'test' } = {},
): MariadbDatabases {
  let running: PrivateMariadb | undefined;
  let names: readonly string[] = [];
  const server = (): PrivateMariadb => {
    if (running === undefined) throw new Error('no MariaDB server: outside of a test');
    return running;
  };
  const name = (index: number): string => {
    const found = names[index];
    if (found === undefined) throw new Error(`no database ${index}: outside of a test, or beyond`);
    return found;
  };
  const create = async (): Promise<void> => {
    names = Array.from({ length: count }, () => `test_${randomBytes(5).toString('hex')}`);
    for (const one of names) await server().createDatabase(one);
  };
  const drop = async (): Promise<void> => {
    const old = names;
    names = [];
    if (running?.pid !== undefined) await dropDatabases(running, old);
  };
  beforeAll(async () => {
    running = await startPrivateMariadb(options);
  });
  // Hooks at the end run in reverse order: the databases go before their server.
  afterAll(() => running?.stop());
  if (options.scope === 'test') {
    beforeEach(create);
    afterEach(drop);
  } else {
    beforeAll(create);
    afterAll(drop);
  }
  return {
    get server() {
      return server();
    },
    url: (index) => server().url(name(index)),
    name,
    query: (index, sql, parameters) => server().query(sql, parameters, name(index)),
  };
}

/** Drops the databases; rejects when one had open connections. */
async function dropDatabases(server: PrivateMariadb, names: readonly string[]): Promise<void> {
  const leaks = await openConnections(server, names);
  for (const { id } of leaks) await server.query(`KILL ${id}`).catch(() => {});
  for (const name of names) await server.query(`DROP DATABASE IF EXISTS \`${name}\``);
  if (leaks.length === 0) return;
  throw new Error(`connections were left open:\n${leaks.map(({ line }) => line).join('\n')}`);
}

/** Connections that are still there after a grace for closing sockets. */
async function openConnections(
  server: PrivateMariadb,
  names: readonly string[],
): Promise<readonly { readonly id: string; readonly line: string }[]> {
  const deadline = Date.now() + LEAK_GRACE_MS;
  for (;;) {
    const rows = await server.query<{ id: string; line: string }>(
      `SELECT id, concat_ws(' ', ' ', user, db, command, state, left(info, 120)) AS line
       FROM information_schema.processlist
       WHERE id <> connection_id() AND (db IN (?) OR command LIKE 'Binlog Dump%')`,
      [names as unknown as string],
    );
    if (rows.length === 0 || Date.now() > deadline) return rows;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
