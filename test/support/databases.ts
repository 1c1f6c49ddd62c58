import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, inject } from 'vitest';
import type { SharedPostgres } from './shared-postgres.ts';

/** How long connections that were closed may take to disappear from the server's list. */
const LEAK_GRACE_MS = 2_000;
const CREATE_ATTEMPTS_MAX = 20;

export interface Databases {
  /** Connection string of the database with this index; only inside tests and hooks. */
  url(index: number): string;
  /** All connection strings, in order. */
  readonly urls: readonly string[];
  /** Runs one statement on a connection of its own and returns the rows. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    index: number,
    sql: string,
    parameters?: readonly unknown[],
  ): Promise<Row[]>;
}

/** The server that all tests of this run share. */
export function sharedPostgres(): SharedPostgres {
  return inject('postgres');
}

/**
 * Gives the surrounding file or `describe` block `count` fresh, empty databases on the shared
 * server. Call it where hooks may be registered, not inside a test. At the end a connection that
 * is still open fails the block; then the databases and their replication slots are dropped.
 *
 * @param options.scope `suite` (default): once for the block; `test`: fresh ones for every test.
 */
export function withDatabases(
  count: number,
  options: { readonly scope?: 'suite' | 'test' } = {},
): Databases {
  let urls: readonly string[] = [];
  const create = async (): Promise<void> => {
    urls = await createDatabases(count);
  };
  const drop = async (): Promise<void> => {
    const old = urls;
    urls = [];
    await dropDatabases(old);
  };
  if (options.scope === 'test') {
    beforeEach(create);
    afterEach(drop);
  } else {
    beforeAll(create);
    afterAll(drop);
  }
  const url = (index: number): string => {
    const found = urls[index];
    if (found === undefined) throw new Error(`no database ${index}: outside of a test, or beyond`);
    return found;
  };
  return {
    url,
    get urls() {
      return urls;
    },
    query: (index, sql, parameters) => query(url(index), sql, parameters),
  };
}

/** Runs one statement on a connection of its own and returns the rows. */
export async function query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
  url: string,
  sql: string,
  parameters: readonly unknown[] = [],
): Promise<Row[]> {
  return withClient(url, async (client) => (await client.query<Row>(sql, [...parameters])).rows);
}

/** Opens a connection for `body` and closes it, whatever happens. */
export async function withClient<Result>(
  url: string,
  body: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: 'changeover-test' });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

/** Creates fresh databases with unique names; the caller drops them with `dropDatabases`. */
export async function createDatabases(count: number): Promise<readonly string[]> {
  const server = sharedPostgres().url;
  const urls: string[] = [];
  await withClient(server, async (client) => {
    for (let index = 0; index < count; index += 1) {
      const name = `test_${process.pid}_${randomBytes(5).toString('hex')}`;
      await createDatabase(client, name);
      const url = new URL(server);
      url.pathname = `/${name}`;
      urls.push(url.href);
    }
  });
  return urls;
}

/** The template database admits one copier at a time; the other workers' turn passes quickly. */
async function createDatabase(client: pg.Client, name: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} TEMPLATE template0`);
      return;
    } catch (error) {
      const busy = (error as { code?: string }).code === '55006';
      if (!busy || attempt >= CREATE_ATTEMPTS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Drops the databases with their replication slots; rejects when one had open connections. */
export async function dropDatabases(urls: readonly string[]): Promise<void> {
  if (urls.length === 0) return;
  const names = urls.map((url) => decodeURIComponent(new URL(url).pathname.slice(1)));
  await withClient(sharedPostgres().url, async (client) => {
    const leaks = await openConnections(client, names);
    await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = ANY($1) AND backend_type IN ('client backend', 'walsender')`,
      [names],
    );
    await dropSlots(client, names);
    for (const name of names) {
      await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
    }
    if (leaks.length === 0) return;
    throw new Error(`connections were left open:\n${leaks.join('\n')}`);
  });
}

/** Connections to these databases that are still there after a grace for closing sockets. */
async function openConnections(
  client: pg.Client,
  names: readonly string[],
): Promise<readonly string[]> {
  const deadline = Date.now() + LEAK_GRACE_MS;
  for (;;) {
    const { rows } = await client.query<{ line: string }>(
      `SELECT format('  %s %s, %s: %s', backend_type, application_name, state, left(query, 120)) AS line
       FROM pg_stat_activity
       WHERE datname = ANY($1) AND backend_type IN ('client backend', 'walsender')`,
      [names],
    );
    if (rows.length === 0 || Date.now() > deadline) return rows.map(({ line }) => line);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** A slot that is still being let go by its ended walsender is tried again for a moment. */
async function dropSlots(client: pg.Client, names: readonly string[]): Promise<void> {
  const deadline = Date.now() + LEAK_GRACE_MS;
  for (;;) {
    const { rows } = await client.query<{ slot_name: string; active: boolean }>(
      'SELECT slot_name, active FROM pg_replication_slots WHERE database = ANY($1)',
      [names],
    );
    if (rows.length === 0) return;
    for (const { slot_name } of rows.filter(({ active }) => !active)) {
      await client.query('SELECT pg_drop_replication_slot($1)', [slot_name]);
    }
    if (Date.now() > deadline) throw new Error('a replication slot stays in use');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
