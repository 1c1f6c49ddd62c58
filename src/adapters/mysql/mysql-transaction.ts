import type mysql from 'mysql2';
import { ChangeoverError } from '../../errors/index.ts';
import type { Clock, Runtime } from '../../runtime/index.ts';
import type { Connection } from './mysql-connections.ts';
import { breaksConnection, errnoOf, toChangeoverError } from './mysql-errors.ts';
import type { MysqlFlavour } from './mysql-flavour.ts';
import { flyUntil, type SqlResult } from './mysql-flight.ts';
import { flightsOf, settingsFor } from './mysql-sending.ts';

export interface TransactionOptions {
  /** Deadline of the whole transaction from the wait for a connection to the answer of COMMIT. */
  readonly timeoutMs: number;
  /** Session mark (`MARK_VARIABLE`), e.g. `door:7`: what triggers of ours recognise us by. `OWNER_VARIABLE` names our database with it. */
  readonly mark?: string;
  /** Always roll back in the end, also after success (phase `shadow-write`). */
  readonly discard?: boolean;
  /** `snapshot`: repeatable read, and the snapshot is taken at once. */
  readonly isolation?: 'read committed' | 'repeatable read' | 'snapshot';
  /** Longest wait for any one lock, ms, rounded up to whole seconds; default: what is left of the transaction. */
  readonly lockWaitMs?: number;
  readonly what?: string;
}

/** An open READ COMMITTED transaction. Nothing is sent before the first statement. */
export interface MysqlTransaction {
  readonly flavour: MysqlFlavour;
  /** Statements in order in one round trip, each with a snapshot of its own. The first error skips the rest and ends the transaction. */
  run(statements: readonly string[]): Promise<readonly SqlResult[]>;
  /** One statement. */
  query(text: string): Promise<SqlResult>;
  /** The connection inside the transaction, for LOAD DATA. Errors are the caller's to map; the deadline does not cut it. */
  client(): Promise<mysql.Connection>;
}

/** A transaction whose end its owner decides. Exactly one of `commit` and `rollback` ends it; `rollback` is idempotent and harmless afterwards. */
export interface OpenTransaction extends MysqlTransaction {
  /** OUTCOME_UNKNOWN when COMMIT was sent and no definite answer came; any other error means rolled back. */
  commit(): Promise<void>;
  /** Never throws. */
  rollback(): Promise<void>;
}

/** State: fresh → begun → (failed) → ended. After a deadlock the server has rolled back by itself and would commit each further statement alone: a failed transaction sends nothing more. */
export function openTransaction(
  connection: Connection,
  options: TransactionOptions,
  endsAt: number,
  { clock }: Runtime,
  owner: string,
): OpenTransaction {
  const { what = 'transaction' } = options;
  let state: 'fresh' | 'begun' | 'failed' | 'ended' = 'fresh';
  let failure: unknown = null;
  const leftMs = (): number => endsAt - clock.monotonic();
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
  const run = async (statements: readonly string[]): Promise<readonly SqlResult[]> => {
    refuse();
    const prefix = state === 'fresh' ? opening(connection, options, leftMs(), owner) : [];
    state = 'begun';
    try {
      const results: SqlResult[] = [];
      for (const flight of flightsOf([...prefix, ...statements], connection.packetMax, what)) {
        results.push(...(await send(connection, flight, leftMs(), clock, what)));
      }
      return prefix.length === 0 ? results : results.slice(prefix.length);
    } catch (error) {
      throw fail(error);
    }
  };
  return {
    flavour: connection.flavour,
    run,
    async query(text) {
      return (await run([text]))[0] as SqlResult;
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
      else await sendCommit(connection, leftMs(), clock, what);
    },
    async rollback() {
      if (state === 'ended') return;
      const begun = state !== 'fresh';
      state = 'ended';
      if (!begun) connection.release();
      else await sendRollback(connection, clock);
    },
  };
}

function send(
  connection: Connection,
  statements: readonly string[],
  leftMs: number,
  clock: Clock,
  what: string,
): Promise<readonly SqlResult[]> {
  const cut = (): void => connection.destroy(true);
  return flyUntil(connection.client, statements, leftMs, clock, what, cut);
}

/** The statements before the first one of a transaction, in the same round trip. */
function opening(
  connection: Connection,
  options: TransactionOptions,
  leftMs: number,
  owner: string,
): readonly string[] {
  const { flavour } = connection;
  const mark = options.mark === undefined ? null : { mark: options.mark, owner };
  // Should this process stop in the middle, the server gives the locks up by itself.
  const more = [...flavour.idleLimit(leftMs + 1_000)];
  if (options.lockWaitMs !== undefined) {
    more.push(`innodb_lock_wait_timeout = ${Math.max(1, Math.ceil(options.lockWaitMs / 1000))}`);
  }
  const settings = settingsFor(flavour, leftMs, mark, more);
  connection.settings = settings;
  const { isolation = 'read committed' } = options;
  if (isolation === 'read committed') return [settings, 'START TRANSACTION'];
  const start =
    isolation === 'snapshot' ? 'START TRANSACTION WITH CONSISTENT SNAPSHOT' : 'START TRANSACTION';
  return [settings, 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ', start];
}

/** A definite no of COMMIT: certification lost (Galera, group replication), read-only. Everything else may be said after the binlog was written. */
const ROLLED_BACK: ReadonlySet<number> = new Set([1205, 1213, 1290, 1836, 3101]);

async function sendCommit(
  connection: Connection,
  leftMs: number,
  clock: Clock,
  what: string,
): Promise<void> {
  const { idleReset } = connection.flavour;
  const reset = idleReset.length === 0 ? [] : [`SET SESSION ${idleReset.join(', ')}`];
  try {
    await send(connection, ['COMMIT', ...reset], leftMs, clock, what);
    connection.release();
  } catch (error) {
    if (ROLLED_BACK.has(errnoOf(error) ?? 0)) {
      await sendRollback(connection, clock);
      throw toChangeoverError(error, what);
    }
    connection.destroy();
    throw new ChangeoverError('OUTCOME_UNKNOWN', `${what}: COMMIT was sent and not answered.`, {
      cause: toChangeoverError(error, what),
      data: { what },
    });
  }
}

/** A connection that cannot even roll back within this is cut; the server then rolls back by itself. */
const ROLLBACK_MS = 2_000;

/** Rolls back and gives the connection back; never throws. */
export async function sendRollback(connection: Connection, clock: Clock): Promise<void> {
  const { idleReset } = connection.flavour;
  const reset = idleReset.length === 0 ? [] : [`SET SESSION ${idleReset.join(', ')}`];
  try {
    await send(connection, ['ROLLBACK', ...reset], ROLLBACK_MS, clock, 'rollback');
    connection.release();
  } catch {
    connection.destroy();
  }
}
