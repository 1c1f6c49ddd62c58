import type mysql from 'mysql2';
import { ChangeoverError } from '../../errors/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { type Connection, type Connections, openConnections } from './mysql-connections.ts';
import { breaksConnection, toChangeoverError } from './mysql-errors.ts';
import type { MysqlFlavour } from './mysql-flavour.ts';
import { flyUntil, type SqlResult } from './mysql-flight.ts';
import type { MysqlOptions } from './mysql-options.ts';
import { flightsOf, settingsFor } from './mysql-sending.ts';
import {
  type MysqlTransaction,
  type OpenTransaction,
  openTransaction,
  sendRollback,
  type TransactionOptions,
} from './mysql-transaction.ts';

export type { MysqlFlavour } from './mysql-flavour.ts';
export type { SqlResult } from './mysql-flight.ts';
export type { MysqlTransaction, OpenTransaction, TransactionOptions } from './mysql-transaction.ts';

export interface QueryOptions {
  /** Deadline, on the server and on our side. Default: the session's. */
  readonly timeoutMs?: number;
  /** The caller stops waiting at once; the statement ends by itself at its deadline. Only for statements that change nothing. */
  readonly signal?: AbortSignal;
  /** Begins messages of errors, e.g. `read of "orders"`. */
  readonly what?: string;
  /** All statements of the flight see one snapshot, and write nothing. */
  readonly oneSnapshot?: boolean;
}

/**
 * Connections to one server with exact text results (see `mysql-wire-values`) and deadlines that hold even when the server hangs (SIGSTOP,
 * dropped packets): the deadline on our side cuts the socket, and a cut connection never returns to the pool.
 *
 * Statements are whole texts with their values as literals (`mysql-text`, `mysql-literals`): only so can many go in one round trip.
 *
 * Errors: STORE_UNAVAILABLE, STORE_CONFLICT, STORE_REJECTED, AUTHORITY_FENCED, DEADLINE_EXCEEDED, OUTCOME_UNKNOWN, CLOSED.
 */
export interface MysqlSession {
  readonly runtime: Runtime;
  /** What kind of server it is; connects when that is not known yet. */
  flavour(): Promise<MysqlFlavour>;
  /** One statement, committed by itself. */
  query(text: string, options?: QueryOptions): Promise<SqlResult>;
  /** Several statements in one round trip; each commits by itself, the first error skips the rest. One result each, in order. */
  run(statements: readonly string[], options?: QueryOptions): Promise<readonly SqlResult[]>;
  /** Commits when `body` returns, rolls back when it throws. */
  transaction<Result>(
    body: (transaction: MysqlTransaction) => Promise<Result>,
    options: TransactionOptions,
  ): Promise<Result>;
  /** A transaction for those who have to keep it open across calls. */
  begin(options: TransactionOptions): Promise<OpenTransaction>;
  /** A connection with all settings of a single statement, for those who read a stream. Given back by its `release`, or cut by its `destroy`. Raw errors. */
  checkOut(timeoutMs: number): Promise<Connection>;
  /** One connection for as long as `body` runs, without a transaction: for LOCK TABLES and GET_LOCK. It is closed afterwards, and with it every lock. */
  alone<Result>(
    body: (client: mysql.Connection, flavour: MysqlFlavour) => Promise<Result>,
    options: { readonly timeoutMs: number; readonly what?: string },
  ): Promise<Result>;
  /** Idempotent. Running work is waited for, at most `graceMs` (default 5 000). */
  close(graceMs?: number): Promise<void>;
}

/**
 * Opens lazily: the first statement connects. CONFIG_INVALID for options that can never work.
 *
 * @param owner our database's name, set beside each mark: what one migration writes must stay visible to the triggers of another
 */
export function openMysqlSession(
  options: MysqlOptions,
  runtime: Runtime,
  owner = '',
): MysqlSession {
  const connections = openConnections(options, runtime);
  const defaultMs = options.statementTimeoutMs ?? 30_000;
  let flavour: MysqlFlavour | null = null;
  const acquire = async (timeoutMs: number): Promise<Connection> => {
    const connection = await connections.acquire(timeoutMs);
    flavour = connection.flavour;
    return connection;
  };
  const begin = async (wanted: TransactionOptions): Promise<OpenTransaction> => {
    const endsAt = runtime.clock.monotonic() + wanted.timeoutMs;
    const connection = await acquire(wanted.timeoutMs);
    return openTransaction(connection, wanted, endsAt, runtime, owner);
  };
  const run = (statements: readonly string[], wanted: QueryOptions = {}) => {
    const { signal } = wanted;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const work = runOnce(acquire, runtime, statements, wanted, defaultMs);
    return signal ? untilAborted(work, signal) : work;
  };
  return {
    runtime,
    run,
    async flavour() {
      if (flavour === null) (await acquire(defaultMs)).release();
      return flavour as unknown as MysqlFlavour;
    },
    async query(text, wanted) {
      return (await run([text], wanted))[0] as SqlResult;
    },
    begin,
    async transaction(body, wanted) {
      const transaction = await begin(wanted);
      try {
        const result = await body(transaction);
        if (wanted.discard) await transaction.rollback();
        else await transaction.commit();
        return result;
      } catch (error) {
        await transaction.rollback();
        throw error;
      }
    },
    async checkOut(timeoutMs) {
      const connection = await acquire(timeoutMs);
      connection.settings = settingsFor(connection.flavour, timeoutMs);
      const cut = (): void => connection.destroy(true);
      const { clock } = runtime;
      try {
        const statements = [connection.settings];
        await flyUntil(connection.client, statements, timeoutMs, clock, 'settings', cut);
        return connection;
      } catch (error) {
        connection.destroy();
        throw error;
      }
    },
    async alone(body, { timeoutMs, what = 'query' }) {
      const connection = await acquire(timeoutMs);
      let late = false;
      const cancel = runtime.clock.schedule(timeoutMs, () => {
        late = true;
        connection.destroy(true);
      });
      try {
        return await body(connection.client, connection.flavour);
      } catch (error) {
        if (late)
          throw new ChangeoverError('DEADLINE_EXCEEDED', `${what}: out of time.`, {
            data: { what },
          });
        throw toChangeoverError(error, what);
      } finally {
        cancel();
        connection.destroy();
      }
    },
    close: (graceMs = 5_000) => connections.close(graceMs),
  };
}

async function runOnce(
  acquire: Connections['acquire'],
  runtime: Runtime,
  statements: readonly string[],
  options: QueryOptions,
  defaultMs: number,
): Promise<readonly SqlResult[]> {
  const { what = 'query', oneSnapshot = false } = options;
  const { clock } = runtime;
  const timeoutMs = options.timeoutMs ?? defaultMs;
  const endsAt = clock.monotonic() + timeoutMs;
  const connection = await acquire(timeoutMs);
  const settings = settingsFor(connection.flavour, timeoutMs);
  const prefix = [...(connection.settings === settings ? [] : [settings])];
  connection.settings = settings;
  if (oneSnapshot) prefix.push(...SNAPSHOT);
  try {
    const all = [...prefix, ...statements, ...(oneSnapshot ? ['COMMIT'] : [])];
    const results: SqlResult[] = [];
    for (const flight of flightsOf(all, connection.packetMax, what)) {
      const leftMs = endsAt - clock.monotonic();
      const cut = (): void => connection.destroy(true);
      results.push(...(await flyUntil(connection.client, flight, leftMs, clock, what, cut)));
    }
    connection.release();
    return results.slice(prefix.length, prefix.length + statements.length);
  } catch (error) {
    connection.settings = '';
    if (breaksConnection(error)) connection.destroy();
    else if (oneSnapshot) await sendRollback(connection, clock);
    else connection.release();
    throw toChangeoverError(error, what);
  }
}

const SNAPSHOT: readonly string[] = [
  'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ',
  'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY',
];

/** The caller leaves; the work goes on and its outcome is dropped. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
