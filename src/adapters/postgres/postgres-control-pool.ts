import type { PostgresPool, PostgresPoolClient } from 'kysely';
import pg from 'pg';
import { type Clock, withDeadline } from '../../runtime/index.ts';
import { breaksConnection } from './postgres-errors.ts';

/** Every call has this deadline on our side too: a stopped or unreachable server answers nothing at all. */
export const controlDeadlineMs = 5_000;
const connectDeadlineMs = 3_000;
const closeDeadlineMs = 1_000;
const connectionsMax = 4;
const INT8 = 20;

/** `pg` keeps the socket private; it is the only way to end a connection whose server does not answer. */
interface WithSocket {
  readonly connection: { readonly stream: { destroy(): void } };
}

export function destroySocket(client: pg.ClientBase): void {
  (client as unknown as WithSocket).connection.stream.destroy();
}

/** Connection settings that the pool and the listener share. Server-side limits end what our deadline has given up. */
export function controlClientConfig(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: 'changeover-control',
    connectionTimeoutMillis: connectDeadlineMs,
    keepAlive: true,
    statement_timeout: controlDeadlineMs,
    // A process that was stopped inside a transaction must not keep the state locked.
    idle_in_transaction_session_timeout: 2 * controlDeadlineMs,
    types: {
      // Versions, counts and times stay below 2^53; this pool never sees user data.
      getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
        oid === INT8
          ? Number
          : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  };
}

/** A small pool for kysely in which every statement has a deadline, and a connection that missed it is thrown away. */
export function createControlPool(url: string, clock: Clock): PostgresPool {
  const pool = new pg.Pool({
    ...controlClientConfig(url),
    max: connectionsMax,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
  });
  const open = new Set<pg.PoolClient>();
  pool.on('connect', (client) => open.add(client));
  pool.on('remove', (client) => open.delete(client));
  // The pool replaces idle connections that break; without a listener the process would end.
  pool.on('error', () => {});
  return {
    async connect() {
      return guarded(await pool.connect(), clock);
    },
    async end() {
      try {
        await withDeadline(clock, closeDeadlineMs, 'closing the control store', pool.end());
      } catch {
        for (const client of open) destroySocket(client);
      }
    },
  };
}

function guarded(client: pg.PoolClient, clock: Clock): PostgresPoolClient {
  let broken = false;
  const onError = (): void => {
    broken = true;
  };
  client.on('error', onError);
  const query = async (text: string, parameters: readonly unknown[]): Promise<pg.QueryResult> => {
    try {
      return await withDeadline(
        clock,
        controlDeadlineMs + 500,
        'a statement',
        client.query(text, [...parameters]),
      );
    } catch (error) {
      if (breaksConnection(error)) {
        broken = true;
        destroySocket(client);
      }
      throw error;
    }
  };
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release() {
      client.off('error', onError);
      client.release(broken);
    },
  };
}
