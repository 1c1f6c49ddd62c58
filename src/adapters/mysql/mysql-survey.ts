import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import { leastOf } from '../../runtime/index.ts';
import type {
  GuardState,
  OpenTransactionSeen,
  SwitchFacts,
  SwitchSurvey,
} from '../../store/index.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { shapeTables } from './mysql-guard-triggers.ts';
import { grantsOf } from './mysql-inspect-privileges.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** A look at the triggers, settings, two rows, COMMIT; one more change in the flip. The triggers themselves are made before writes are held. */
const ROUND_TRIPS = 10;
const ROUND_TRIP_SAMPLES = 3;

/** Making a trigger waits for everybody who has touched its table, readers included: that is a transaction until its end. */
const TRANSACTIONS = `SELECT t.trx_mysql_thread_id, COALESCE(p.USER, ''), COALESCE(p.INFO, ''), TIMESTAMPDIFF(MICROSECOND, t.trx_started, NOW(6)) / 1000, LOWER(COALESCE(p.COMMAND, '')), p.DB
  FROM information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
  WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND t.trx_mysql_thread_id <> 0 ORDER BY 4 DESC`;

/** MariaDB with the plugin of that name: who holds which table. */
const HELD = `SELECT THREAD_ID, TABLE_SCHEMA, TABLE_NAME FROM information_schema.METADATA_LOCK_INFO WHERE LOCK_TYPE LIKE 'Table metadata lock'`;

/**
 * See `SwitchSurvey`. Which tables a transaction has touched is told by a plugin alone (`metadata_lock_info`); without it every transaction counts
 * that is connected to one of their databases, or to none.
 */
export function createMysqlSurvey(parts: MysqlStoreParts): SwitchSurvey {
  const { session, catalog } = parts;
  const { clock } = session.runtime;
  return {
    tryLock: (lockTimeoutMs) => tryLock(parts, lockTimeoutMs),
    async look(timeoutMs): Promise<SwitchFacts> {
      const tables = await shapeTables(catalog);
      const ask = (text: string): Promise<SqlResult> =>
        session.query(text, { timeoutMs, what: 'survey before a switch' });
      const roundTripMs = await leastOf(ROUND_TRIP_SAMPLES, clock, () => ask('SELECT 1'));
      const problems: string[] = [];
      const unseen: string[] = [];
      const grants = await grantsOf(session);
      for (const table of tables) {
        const held = grants.table(table.database, table.name);
        const missing = ['TRIGGER', 'LOCK TABLES'].filter(
          (one) => !held.has(one) && !grants.database(table.database).has(one),
        );
        if (missing.length > 0 && !grants.roles)
          problems.push(
            `${grants.user} lacks ${missing.join(', ')} on ${table.quoted}: the guard's triggers could not be created. GRANT ${missing.join(', ')} ON ${grants.spelled(table.database)}.* TO ${grants.user}.`,
          );
      }
      const open = await ask(TRANSACTIONS).catch((error: unknown) => {
        if (!isChangeoverError(error, 'STORE_REJECTED')) throw error;
        unseen.push(
          `${grants.user} is not shown others' transactions. GRANT PROCESS ON *.* TO ${grants.user}.`,
        );
        return null;
      });
      const held = await ask(HELD).catch(() => null);
      const prepared = await ask('XA RECOVER').catch(() => null);
      const wanted = new Set(tables.map(({ database, name }) => `${database}.${name}`));
      const databases = new Set(tables.map(({ database }) => database));
      return {
        tables: tables.length,
        guardMs: Math.round(ROUND_TRIPS * roundTripMs),
        transactions: [
          ...seen(open, held, wanted, databases),
          ...(prepared?.rows ?? []).map((row) => toPrepared(row)),
        ],
        problems,
        unseen,
      };
    },
  };
}

/** What the statements take beyond the waiting. */
const WORK_MS = 2_000;

async function tryLock(
  { session, layout }: MysqlStoreParts,
  lockTimeoutMs: number,
): Promise<GuardState> {
  const what = 'a try at the lock of the guard';
  const timeoutMs = lockTimeoutMs + WORK_MS;
  try {
    return await session.transaction(
      async (transaction) => {
        const limit = transaction.flavour.statementLimit(lockTimeoutMs);
        if (limit.length > 0) await transaction.query(`SET SESSION ${limit.join(', ')}`);
        const { rows } = await transaction.query(
          `SELECT role, epoch, attempt FROM ${layout.guard} WHERE one = 1 FOR UPDATE`,
        );
        const [role, epoch, attempt] = rows[0] ?? [];
        return { role: role as GuardState['role'], epoch: Number(epoch), attempt: attempt ?? null };
      },
      { timeoutMs, lockWaitMs: lockTimeoutMs, what, discard: true },
    );
  } catch (error) {
    // The limit of the statement is finer than that of a lock, and ends the wait in its stead.
    if (!isChangeoverError(error, 'DEADLINE_EXCEEDED')) throw error;
    throw new ChangeoverError(
      'STORE_CONFLICT',
      `The guard was not to be locked within ${lockTimeoutMs} ms: a transaction that writes is still open.`,
      { cause: error, data: { lockTimeoutMs } },
    );
  }
}

function seen(
  open: SqlResult | null,
  held: SqlResult | null,
  wanted: ReadonlySet<string>,
  databases: ReadonlySet<string>,
): readonly OpenTransactionSeen[] {
  return (open?.rows ?? []).flatMap(([id, user, , ageMs, doing, database]) => {
    const touched = (held?.rows ?? [])
      .filter(([thread]) => thread === id)
      .map(([, schema, table]) => `${schema}.${table}`)
      .filter((name) => wanted.has(name));
    const concerned =
      held === null ? database == null || databases.has(database) : touched.length > 0;
    if (!concerned) return [];
    return [
      {
        id: id ?? '',
        kind: 'session' as const,
        user: user ?? '',
        application: '',
        ageMs: Math.max(0, Math.round(Number(ageMs ?? 0))),
        doing: doing === 'sleep' ? 'idle in transaction' : (doing ?? ''),
        tables: touched,
      },
    ];
  });
}

/** What `XA RECOVER` shows does not say which tables: it stands in the way of some DDL until it is decided. */
function toPrepared([, , , data]: SqlResult['rows'][number]): OpenTransactionSeen {
  return {
    id: quoteLiteral(data ?? ''),
    kind: 'prepared',
    user: '',
    application: '',
    ageMs: null,
    doing: 'prepared',
    tables: [],
  };
}
