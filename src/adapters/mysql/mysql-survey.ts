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
import { type OpenTransactions, openTransactions } from './mysql-open-transactions.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** A look at the triggers, settings, two rows, COMMIT; one more change in the flip. The triggers themselves are made before writes are held. */
const ROUND_TRIPS = 10;
const ROUND_TRIP_SAMPLES = 3;

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
      // Making a trigger waits for everybody who has touched its table, readers included: that is a transaction until its end.
      const open = await openTransactions(session, timeoutMs).catch((error: unknown) => {
        if (!isChangeoverError(error, 'STORE_REJECTED')) throw error;
        unseen.push(
          `${grants.user} is not shown others' transactions. GRANT PROCESS ON *.* TO ${grants.user}.`,
        );
        return null;
      });
      if (open?.fresh === false)
        unseen.push(
          'InnoDB’s list of transactions is of some time ago, because somebody reads information_schema.INNODB_TRX all the time: transactions that have ended since may stand in it.',
        );
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
  open: OpenTransactions | null,
  held: SqlResult | null,
  wanted: ReadonlySet<string>,
  databases: ReadonlySet<string>,
): readonly OpenTransactionSeen[] {
  return (open?.rows ?? []).flatMap(([id, user, doing, database, ageMs]) => {
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
function toPrepared([format, length, , data]: SqlResult['rows'][number]): OpenTransactionSeen {
  return {
    id: xaName(Number(format), Number(length), data ?? ''),
    kind: 'prepared',
    user: '',
    application: '',
    ageMs: null,
    doing: 'prepared',
    tables: [],
  };
}

/** As `XA COMMIT` takes it. Both parts of the name are bytes, and come together. */
function xaName(format: number, length: number, data: string): string {
  const bytes = data.startsWith('\\x') ? Buffer.from(data.slice(2), 'hex') : Buffer.from(data);
  const literalOf = (part: Buffer): string => {
    const text = part.toString('latin1');
    return /^[ -~]*$/.test(text) ? quoteLiteral(text) : `X'${part.toString('hex')}'`;
  };
  const parts = [literalOf(bytes.subarray(0, length))];
  if (bytes.length > length || format !== 1) parts.push(literalOf(bytes.subarray(length)));
  if (format !== 1) parts.push(String(format));
  return parts.join(',');
}
