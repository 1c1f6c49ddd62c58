import pg from 'pg';
import { ChangeoverError } from '../../errors/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { toChangeoverError } from './postgres-errors.ts';
import { fly, type PreparedStatements, type Statement } from './postgres-flight.ts';

/** Where a PostgreSQL database is and how it is talked to. */
export interface PostgresOptions {
  /** `postgres://user:password@host:port/database?sslmode=…`. Single fields below win over its parts. */
  readonly url?: string;
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  /** Text, or a function that fetches a fresh one for each new connection (cloud tokens). */
  readonly password?: string | (() => string | Promise<string>);
  readonly database?: string;
  /** As in `pg`: true, or options of `tls.connect`. */
  readonly ssl?: boolean | Readonly<Record<string, unknown>>;
  /** Most connections that one store of one process opens. 1 … 1000, default 10. */
  readonly poolMax?: number;
  /** Longest wait for a connection, new or free, in ms. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** Deadline of statements that have none of their own, in ms. Default 30 000. */
  readonly statementTimeoutMs?: number;
  /** An idle connection is closed after this, in ms. Default 30 000. */
  readonly idleTimeoutMs?: number;
  /** Connections come from a pooler in transaction mode (PgBouncer): nothing is prepared, settings go with each transaction. Default false. */
  readonly pooler?: boolean;
}

/**
 * Exact text results whatever the server's configuration says. The order of day and month in ambiguous *input* stays the database's own.
 * Timestamps without zone that are given for a timestamptz are taken as UTC.
 */
export const EXACT_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'ISO',
  TimeZone: 'UTC',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  xmloption: 'content',
  lc_monetary: 'C',
  standard_conforming_strings: 'on',
  row_security: 'off',
  array_nulls: 'on',
};

/** Single statements outside BEGIN rely on READ COMMITTED as well. Cannot be set inside a transaction: not for poolers. */
const SESSION_SETTINGS = { default_transaction_isolation: 'read committed' } as const;

/** `SELECT set_config(…)` for all of these; `local`: until the end of the transaction. */
export function settingsStatement(
  settings: Readonly<Record<string, string>>,
  local: boolean,
): Statement {
  const names = Object.keys(settings);
  const calls = names.map(
    (name, index) => `pg_catalog.set_config('${name}', $${index + 1}, ${local})`,
  );
  return { text: `SELECT ${calls.join(', ')}`, values: names.map((name) => settings[name] ?? '') };
}

/** A checked-out connection. Given back exactly once, by `release` or `destroy`. */
export interface Connection {
  readonly client: pg.PoolClient;
  /** null: nothing is to be prepared. */
  readonly prepared: PreparedStatements | null;
  release(): void;
  /** Cuts the socket at once, without waiting for the server: a hung server answers nothing. */
  destroy(): void;
}

export interface Connections {
  readonly pooler: boolean;
  /** A connection with exact settings. STORE_UNAVAILABLE when there is none within `timeoutMs` (at most `connectTimeoutMs`). */
  acquire(timeoutMs: number): Promise<Connection>;
  /** Idempotent. Waits for checked-out connections at most `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** A pool of `pg` connections. Opens lazily; throws CONFIG_INVALID for options that can never work. */
export function openConnections(options: PostgresOptions, runtime: Runtime): Connections {
  const poolMax = options.poolMax ?? 10;
  if (!Number.isInteger(poolMax) || poolMax < 1 || poolMax > 1000) {
    throw new ChangeoverError('CONFIG_INVALID', `poolMax is ${poolMax}, not between 1 and 1000.`);
  }
  const connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
  const pooler = options.pooler ?? false;
  const prepared = new WeakMap<object, PreparedStatements>();
  const out = new Set<Connection>();
  const pool = createPool(options, poolMax, connectTimeoutMs, runtime);
  let closing: Promise<void> | null = null;

  const check = (client: pg.PoolClient): Connection => {
    let given = false;
    const giveBack = (broken: boolean): void => {
      if (given) return;
      given = true;
      out.delete(connection);
      if (broken) socketOf(client)?.destroy();
      client.release(broken);
    };
    let statements = prepared.get(client);
    if (statements === undefined) {
      statements = { names: new Map(), doubtful: new Set() };
      prepared.set(client, statements);
    }
    const connection: Connection = {
      client,
      prepared: pooler ? null : statements,
      release: () => giveBack(false),
      destroy: () => giveBack(true),
    };
    out.add(connection);
    return connection;
  };

  const acquire = (timeoutMs: number): Promise<Connection> => {
    if (closing) return Promise.reject(new ChangeoverError('CLOSED', 'The store is closed.'));
    const waitMs = Math.max(1, Math.min(timeoutMs, connectTimeoutMs));
    return new Promise((resolve, reject) => {
      let late = false;
      const cancel = runtime.clock.schedule(waitMs, () => {
        late = true;
        reject(
          new ChangeoverError('STORE_UNAVAILABLE', `No connection within ${waitMs} ms.`, {
            data: { waitMs, poolMax },
          }),
        );
      });
      pool.connect().then(
        (client) => {
          cancel();
          if (late) client.release();
          else resolve(check(client));
        },
        (error: unknown) => {
          cancel();
          reject(unavailable(error));
        },
      );
    });
  };

  const close = (graceMs: number): Promise<void> => {
    closing ??= (async () => {
      const ended = pool.end();
      const cancel = runtime.clock.schedule(graceMs, () => {
        for (const connection of [...out]) connection.destroy();
      });
      await ended.finally(cancel);
    })();
    return closing;
  };

  return { pooler, acquire, close };
}

function createPool(
  options: PostgresOptions,
  poolMax: number,
  connectTimeoutMs: number,
  runtime: Runtime,
): pg.Pool {
  const pool = new pg.Pool({
    ...addressOf(options),
    max: poolMax,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: options.idleTimeoutMs ?? 30_000,
    allowExitOnIdle: true,
    keepAlive: true,
    application_name: 'changeover',
    // Types are never parsed: flights hand out the server's text. COPY and LISTEN do not parse either.
    types: { getTypeParser: () => (text: string) => text },
    onConnect: async (client: pg.PoolClient) => {
      if (options.pooler) return;
      const statement_timeout = String(options.statementTimeoutMs ?? 30_000);
      // The pool's own timeout ends with the connect; a server that hangs here would keep the place in the pool for ever.
      const cancel = runtime.clock.schedule(connectTimeoutMs, () => socketOf(client)?.destroy());
      const settings = { ...EXACT_SETTINGS, ...SESSION_SETTINGS, statement_timeout };
      await fly(client, [settingsStatement(settings, false)], null).finally(cancel);
    },
  } as unknown as pg.PoolConfig);
  // An idle connection that the server closes is an event, not a crash; the pool has dropped it already.
  pool.on('error', () => {});
  // A checked-out one too: its query has been rejected with the same error.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** Where to connect, and as whom, as `pg` wants to be told. */
export function addressOf(options: PostgresOptions): pg.ClientConfig {
  const { url, host, port, user, password, database, ssl } = options;
  const given = Object.fromEntries(
    Object.entries({ host, port, user, password, database, ssl }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return { ...(url === undefined ? {} : { connectionString: url }), ...given };
}

/** The address without password, for display. */
export function displayAddress(options: PostgresOptions): string {
  const parts = options.url === undefined ? {} : partsOf(options.url);
  const host = options.host ?? parts.host ?? 'localhost';
  const port = options.port ?? parts.port ?? 5432;
  const database = options.database ?? parts.database ?? '';
  const user = options.user ?? parts.user;
  return `postgres://${user ? `${user}@` : ''}${host}:${port}/${database}`;
}

interface AddressParts {
  readonly host?: string;
  readonly port?: string;
  readonly user?: string;
  readonly database?: string;
}

/** CONFIG_INVALID when the text is no address; the message does not repeat it, it may hold a password. */
function partsOf(url: string): AddressParts {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      'The url of a PostgreSQL store is not of the form postgres://user:password@host:port/database.',
    );
  }
  if (parsed.protocol !== 'postgres:' && parsed.protocol !== 'postgresql:') {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `The url of a PostgreSQL store begins with "${parsed.protocol}", not with postgres://.`,
    );
  }
  const host = parsed.hostname || parsed.searchParams.get('host');
  return {
    ...(host ? { host } : {}),
    ...(parsed.port ? { port: parsed.port } : {}),
    ...(parsed.username ? { user: decodeURIComponent(parsed.username) } : {}),
    database: decodeURIComponent(parsed.pathname.slice(1)),
  };
}

function socketOf(client: pg.PoolClient): { destroy(): void } | undefined {
  return (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection
    ?.stream;
}

/** Whatever keeps us from connecting may pass: wrong password and missing database included, said plainly. */
function unavailable(error: unknown): ChangeoverError {
  const mapped = toChangeoverError(error, 'connecting');
  if (mapped.code === 'STORE_UNAVAILABLE') return mapped;
  return new ChangeoverError('STORE_UNAVAILABLE', mapped.message, { data: mapped.data });
}
