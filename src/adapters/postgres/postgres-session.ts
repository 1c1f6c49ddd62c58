import type pg from 'pg';
import { ChangeoverError } from '../../errors/index.ts';
import type { Scalar } from '../../record/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import {
  type Connection,
  type Connections,
  EXACT_SETTINGS,
  openConnections,
  type PostgresOptions,
  settingsStatement,
} from './postgres-connections.ts';
import { breaksConnection, toChangeoverError } from './postgres-errors.ts';
import { fly, type SqlResult, type Statement } from './postgres-flight.ts';

export type { SqlResult, Statement } from './postgres-flight.ts';

export interface QueryOptions {
  /** Deadline, on the server and on our side. Default: the session's. */
  readonly timeoutMs?: number;
  /** The caller stops waiting at once; the statement ends by itself at its deadline. Only for statements that change nothing. */
  readonly signal?: AbortSignal;
  /** Begins messages of errors, e.g. `read of "orders"`. */
  readonly what?: string;
  /** All statements of the flight see one snapshot, and write nothing. These tables are locked before it is taken: `TransactionOptions.lockFirst`. */
  readonly oneSnapshot?: { readonly lockFirst: readonly string[] };
}

export interface TransactionOptions {
  /** Deadline of the whole transaction from the wait for a connection to the answer of COMMIT. */
  readonly timeoutMs: number;
  /** Session mark (`changeover.mark`), e.g. `door:7`: what triggers of ours recognise us by. `changeover.owner` names the schema with it. */
  readonly mark?: string;
  /** Always roll back in the end, also after success (phase `shadow-write`). */
  readonly discard?: boolean;
  readonly isolation?: 'read committed' | 'repeatable read';
  /**
   * Quoted tables that are locked (ACCESS SHARE) before the snapshot is taken. Who looks at a table only later, behind an ALTER TABLE that rewrites it or a TRUNCATE,
   * sees it empty: these are the two commands that a snapshot does not protect from.
   */
  readonly lockFirst?: readonly string[];
  /** The answer of COMMIT does not wait for the disk: `synchronous_commit = off`, for this transaction. */
  readonly lazy?: boolean;
  readonly what?: string;
}

/** An open READ COMMITTED transaction. Nothing is sent before the first statement. */
export interface PostgresTransaction {
  /** Statements in order in one round trip, each with a snapshot of its own. The first error skips the rest and aborts the transaction. */
  run(statements: readonly Statement[]): Promise<readonly SqlResult[]>;
  /** One statement. */
  query(text: string, values?: readonly Scalar[]): Promise<SqlResult>;
  /** The connection inside the transaction, for COPY. Errors are the caller's to map; the deadline still cuts it. */
  client(): Promise<pg.PoolClient>;
}

/** A transaction whose end its owner decides. Exactly one of `commit` and `rollback` ends it; `rollback` is idempotent and harmless afterwards. */
export interface OpenTransaction extends PostgresTransaction {
  /** OUTCOME_UNKNOWN when COMMIT was sent and no answer came; any other error means rolled back. */
  commit(): Promise<void>;
  /** Never throws. */
  rollback(): Promise<void>;
}

/**
 * Connections to one database with exact text results and deadlines that hold even when the server hangs (SIGSTOP, dropped packets): the
 * deadline on our side cuts the socket, and a cut connection never returns to the pool.
 *
 * Errors: STORE_UNAVAILABLE, STORE_CONFLICT, STORE_REJECTED, AUTHORITY_FENCED, DEADLINE_EXCEEDED, OUTCOME_UNKNOWN, CLOSED.
 */
export interface PostgresSession {
  readonly runtime: Runtime;
  /** One statement, committed by itself. */
  query(text: string, values?: readonly Scalar[], options?: QueryOptions): Promise<SqlResult>;
  /** Several statements in one round trip and one implicit transaction (one commit at the end). */
  run(statements: readonly Statement[], options?: QueryOptions): Promise<readonly SqlResult[]>;
  /** Commits when `body` returns, rolls back when it throws. */
  transaction<Result>(
    body: (transaction: PostgresTransaction) => Promise<Result>,
    options: TransactionOptions,
  ): Promise<Result>;
  /**
   * A whole transaction, COMMIT included, in one round trip: for statements that fail by themselves where the transaction must not be committed. `discard` is
   * not for here. OUTCOME_UNKNOWN when no answer came.
   */
  runCommitted(
    statements: readonly Statement[],
    options: TransactionOptions,
  ): Promise<readonly SqlResult[]>;
  /** A transaction for those who have to keep it open across calls. */
  begin(options: TransactionOptions): Promise<OpenTransaction>;
  /** Idempotent. Running work is waited for, at most `graceMs` (default 5 000). */
  close(graceMs?: number): Promise<void>;
}

/**
 * Opens lazily: the first statement connects. CONFIG_INVALID for options that can never work.
 *
 * @param owner our schema's name, set beside each mark: what one migration writes must stay visible to the triggers of another
 */
export function openPostgresSession(
  options: PostgresOptions,
  runtime: Runtime,
  owner = '',
): PostgresSession {
  const connections = openConnections(options, runtime);
  const defaultMs = options.statementTimeoutMs ?? 30_000;
  const begin = async (wanted: TransactionOptions): Promise<OpenTransaction> => {
    const endsAt = runtime.clock.monotonic() + wanted.timeoutMs;
    const connection = await connections.acquire(wanted.timeoutMs);
    return openTransaction(connection, wanted, endsAt, runtime, connections.pooler, owner);
  };
  const run = (statements: readonly Statement[], wanted: QueryOptions = {}) => {
    const { signal } = wanted;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const work = runOnce(connections, runtime, statements, wanted, defaultMs);
    return signal ? untilAborted(work, signal) : work;
  };
  return {
    runtime,
    run,
    async query(text, values, wanted) {
      const results = await run([{ text, ...(values ? { values } : {}) }], wanted);
      return results[0] as SqlResult;
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
    async runCommitted(statements, wanted) {
      const endsAt = runtime.clock.monotonic() + wanted.timeoutMs;
      const connection = await connections.acquire(wanted.timeoutMs);
      const leftMs = endsAt - runtime.clock.monotonic();
      const prefix = opening(wanted, leftMs, connections.pooler, owner);
      const all = [...prefix, ...statements, { text: 'COMMIT' }];
      const { what = 'transaction' } = wanted;
      try {
        const results = await flyUntil(connection, all, leftMs, runtime, what);
        connection.release();
        return results.slice(prefix.length, -1);
      } catch (error) {
        if (isUnanswered(error)) throw unknownOutcome(connection, error, what);
        await sendRollback(connection, runtime);
        throw toChangeoverError(error, what);
      }
    },
    close: (graceMs = 5_000) => connections.close(graceMs),
  };
}

async function runOnce(
  connections: Connections,
  runtime: Runtime,
  statements: readonly Statement[],
  options: QueryOptions,
  defaultMs: number,
): Promise<readonly SqlResult[]> {
  const { what = 'query' } = options;
  const timeoutMs = options.timeoutMs ?? defaultMs;
  const endsAt = runtime.clock.monotonic() + timeoutMs;
  const connection = await connections.acquire(timeoutMs);
  // An implicit transaction lasts until Sync, so local settings hold for the whole flight and no longer.
  const settings = {
    ...(connections.pooler ? EXACT_SETTINGS : {}),
    ...(connections.pooler || options.timeoutMs !== undefined
      ? { statement_timeout: wholeMs(timeoutMs) }
      : {}),
  };
  const { oneSnapshot } = options;
  const first = oneSnapshot ? [SNAPSHOT, ...lockStatements(oneSnapshot.lockFirst)] : [];
  const last = oneSnapshot ? [{ text: 'COMMIT' }] : [];
  const local = Object.keys(settings).length > 0 ? [settingsStatement(settings, true)] : [];
  const prefix = [...first, ...local];
  const leftMs = endsAt - runtime.clock.monotonic();
  const flight = flyUntil(connection, [...prefix, ...statements, ...last], leftMs, runtime, what);
  return flight.then(
    (results) => {
      connection.release();
      return results.slice(prefix.length, prefix.length + statements.length);
    },
    async (error: unknown) => {
      if (breaksConnection(error)) connection.destroy();
      else if (oneSnapshot) await sendRollback(connection, runtime);
      else connection.release();
      throw toChangeoverError(error, what);
    },
  );
}

const SNAPSHOT: Statement = { text: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY' };

/** LOCK takes no snapshot: it may stand before the statement that does. */
const lockStatements = (tables: readonly string[]): readonly Statement[] =>
  tables.length === 0 ? [] : [{ text: `LOCK TABLE ${tables.join(', ')} IN ACCESS SHARE MODE` }];

/** The caller leaves; the work goes on and its outcome is dropped. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}

const wholeMs = (ms: number): string => String(Math.max(1, Math.ceil(ms)));

/** How much longer than the server our side waits, so that the server's own (definite) answer wins where it lives. */
const ANSWER_GRACE_MS = 50;

/** A flight that is cut with the connection at the deadline. Rejections are raw errors, or DEADLINE_EXCEEDED. */
function flyUntil(
  connection: Connection,
  statements: readonly Statement[],
  leftMs: number,
  runtime: Runtime,
  what: string,
): Promise<readonly SqlResult[]> {
  return new Promise((resolve, reject) => {
    const cancel = runtime.clock.schedule(Math.max(1, leftMs) + ANSWER_GRACE_MS, () => {
      connection.destroy();
      reject(
        new ChangeoverError('DEADLINE_EXCEEDED', `${what}: no answer from the server in time.`, {
          data: { what },
        }),
      );
    });
    fly(connection.client, statements, connection.prepared).then(resolve, reject).finally(cancel);
  });
}

/** State: fresh → begun → (failed) → ended. */
function openTransaction(
  connection: Connection,
  options: TransactionOptions,
  endsAt: number,
  runtime: Runtime,
  pooler: boolean,
  owner: string,
): OpenTransaction {
  const { what = 'transaction' } = options;
  let state: 'fresh' | 'begun' | 'failed' | 'ended' = 'fresh';
  let failure: unknown = null;
  const leftMs = (): number => endsAt - runtime.clock.monotonic();

  const fail = (error: unknown): ChangeoverError => {
    failure = toChangeoverError(error, what);
    if (breaksConnection(error)) {
      state = 'ended';
      connection.destroy();
    } else state = 'failed';
    return failure as ChangeoverError;
  };
  const refuse = (): void => {
    if (state === 'failed') throw failure;
    if (state === 'ended') throw failure ?? new ChangeoverError('CLOSED', `${what} has ended.`);
    if (leftMs() > 0) return;
    failure = new ChangeoverError('DEADLINE_EXCEEDED', `${what}: out of time.`, { data: { what } });
    if (state === 'begun') state = 'failed';
    throw failure;
  };
  const run = async (statements: readonly Statement[]): Promise<readonly SqlResult[]> => {
    refuse();
    const prefix = state === 'fresh' ? opening(options, leftMs(), pooler, owner) : [];
    state = 'begun';
    try {
      const all = [...prefix, ...statements];
      const results = await flyUntil(connection, all, leftMs(), runtime, what);
      return prefix.length === 0 ? results : results.slice(prefix.length);
    } catch (error) {
      throw fail(error);
    }
  };

  return {
    run,
    async query(text, values) {
      const results = await run([{ text, ...(values ? { values } : {}) }]);
      return results[0] as SqlResult;
    },
    async client() {
      if (state === 'fresh') await run([]);
      refuse();
      return connection.client;
    },
    async commit() {
      refuse();
      const begun = state === 'begun';
      state = 'ended';
      if (!begun) connection.release();
      else await sendCommit(connection, leftMs(), runtime, what);
    },
    async rollback() {
      if (state === 'ended') return;
      const begun = state !== 'fresh';
      state = 'ended';
      if (!begun) connection.release();
      else await sendRollback(connection, runtime);
    },
  };
}

/** The statements before the first one of a transaction, in the same round trip. */
function opening(
  options: TransactionOptions,
  leftMs: number,
  pooler: boolean,
  owner: string,
): readonly Statement[] {
  const settings = {
    ...(pooler ? EXACT_SETTINGS : {}),
    statement_timeout: wholeMs(leftMs),
    // Should this process stop in the middle, the server gives the locks up by itself.
    idle_in_transaction_session_timeout: wholeMs(leftMs + 1_000),
    ...(options.lazy ? { synchronous_commit: 'off' } : {}),
    ...(options.mark === undefined
      ? {}
      : { 'changeover.mark': options.mark, 'changeover.owner': owner }),
  };
  const isolation = options.isolation ?? 'read committed';
  return [
    { text: `BEGIN ISOLATION LEVEL ${isolation}` },
    ...lockStatements(options.lockFirst ?? []),
    settingsStatement(settings, true),
  ];
}

async function sendCommit(
  connection: Connection,
  leftMs: number,
  runtime: Runtime,
  what: string,
): Promise<void> {
  try {
    const [result] = await flyUntil(connection, [{ text: 'COMMIT' }], leftMs, runtime, what);
    if (result?.command !== 'COMMIT') {
      throw new ChangeoverError('STORE_CONFLICT', `${what}: the server rolled back at COMMIT.`);
    }
    connection.release();
  } catch (error) {
    if (isUnanswered(error)) throw unknownOutcome(connection, error, what);
    connection.release();
    throw toChangeoverError(error, what);
  }
}

/**
 * The server's ERROR (deferred constraint, serialization) is a definite no. Everything else came too late to know: even "terminating
 * connection" may be said after the local commit, while a standby was being waited for.
 */
function isUnanswered(error: unknown): boolean {
  if (error instanceof ChangeoverError) return error.code === 'DEADLINE_EXCEEDED';
  return breaksConnection(error);
}

function unknownOutcome(connection: Connection, cause: unknown, what: string): ChangeoverError {
  connection.destroy();
  return new ChangeoverError('OUTCOME_UNKNOWN', `${what}: COMMIT was sent and not answered.`, {
    cause,
    data: { what },
  });
}

/** A connection that cannot even roll back within this is cut; the server then rolls back by itself. */
const ROLLBACK_MS = 2_000;

async function sendRollback(connection: Connection, runtime: Runtime): Promise<void> {
  try {
    await flyUntil(connection, [{ text: 'ROLLBACK' }], ROLLBACK_MS, runtime, 'rollback');
    connection.release();
  } catch {
    connection.destroy();
  }
}
