import { leastOf } from '../../runtime/index.ts';
import type {
  GuardState,
  OpenTransactionSeen,
  StoreSign,
  SwitchFacts,
  SwitchSurvey,
} from '../../store/index.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { tableOids } from './postgres-guard-triggers.ts';

/** Lock, trigger and catalogue changes of one table in one transaction: 0.4 ms on an idle machine, with room. */
const TABLE_MS = 1;
/** BEGIN, role lock, look, DDL, UPDATE, COMMIT. */
const ROUND_TRIPS = 7;
const ROUND_TRIP_SAMPLES = 3;

/** Tables of the shapes with their partitions and inheritors: what the guard's triggers stand on. */
const TABLES = `WITH RECURSIVE tables(oid) AS (
    SELECT pg_catalog.unnest($1::oid[])
    UNION SELECT i.inhrelid FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)`;

/**
 * What conflicts with SHARE ROW EXCLUSIVE: every writer, and DDL, vacuum and index builds. Locks and activity are two looks: a transaction that is over at the
 * second has no age, and is not one that may not be seen.
 */
const TRANSACTIONS = `${TABLES}
  SELECT coalesce(l.pid::text, p.gid), CASE WHEN l.pid IS NULL THEN 'prepared' ELSE 'session' END,
    coalesce(a.usename, p.owner, ''), coalesce(nullif(a.application_name, ''), a.backend_type, ''),
    extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000, coalesce(a.state, ''),
    array_to_string(array_agg(DISTINCT l.relation::regclass::text), E'\\n')
  FROM pg_catalog.pg_locks l
  JOIN tables t ON t.oid = l.relation
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_catalog.pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction
  LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid
  WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
    AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
    AND (l.pid IS NULL OR a.xact_start IS NOT NULL OR a.query = '<insufficient privilege>' OR a.state = 'disabled')
  GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 5 DESC NULLS LAST`;

const OWNED = `${TABLES}
  SELECT c.oid::regclass::text, pg_catalog.pg_has_role(c.relowner, 'USAGE'), current_user
  FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p', 'f') ORDER BY 1`;

/** See `SwitchSurvey`. */
export function createPostgresSurvey(parts: PostgresStoreParts): SwitchSurvey {
  const { session, catalog } = parts;
  return {
    showSign: (timeoutMs, work) => showSign(parts, timeoutMs, work),
    tryLock: (lockTimeoutMs) => tryLock(parts, lockTimeoutMs),
    async look(timeoutMs): Promise<SwitchFacts> {
      const collections = await Promise.all(
        catalog.collections.map((name) => catalog.collection(name)),
      );
      const values = [tableOids(collections)];
      const { clock } = session.runtime;
      const options = { timeoutMs, what: 'survey before a switch' };
      const { rows: owned } = await session.query(OWNED, values, options);
      const { rows: open } = await session.query(TRANSACTIONS, values, options);
      const roundTripMs = await leastOf(ROUND_TRIP_SAMPLES, clock, () =>
        session.query('SELECT 1', [], options),
      );
      const foreign = owned.flatMap(([table, may]) => (may === 't' ? [] : [table ?? '']));
      const role = owned[0]?.[2] ?? '';
      const transactions = open.map(toTransaction);
      return {
        tables: owned.length,
        guardMs: Math.round(ROUND_TRIPS * roundTripMs + TABLE_MS * owned.length),
        transactions,
        problems: [
          ...(foreign.length > 0
            ? [
                `"${role}" does not own ${foreign.join(', ')}: the guard's triggers could not be turned on. ALTER TABLE … OWNER TO, or GRANT the owner's role to "${role}".`,
              ]
            : []),
        ],
        unseen: [
          ...(transactions.some(({ ageMs }) => ageMs === null)
            ? [
                `"${role}" is not told how old others' transactions are. GRANT pg_read_all_stats TO "${role}".`,
              ]
            : []),
        ],
      };
    },
  };
}

/** What the statements take beyond the waiting. */
const WORK_MS = 2_000;

function tryLock(
  { session, layout }: PostgresStoreParts,
  lockTimeoutMs: number,
): Promise<GuardState> {
  return session.transaction(
    async (transaction) => {
      const results = await transaction.run([
        {
          text: `SELECT pg_catalog.set_config('lock_timeout', $1, true)`,
          values: [String(Math.ceil(lockTimeoutMs))],
        },
        { text: `SELECT pg_catalog.pg_advisory_xact_lock(${layout.roleLock})` },
        { text: `SELECT role, epoch, attempt FROM ${layout.guard} FOR UPDATE` },
      ]);
      const [role, epoch, attempt] = results[2]?.rows[0] ?? [];
      return { role: role as GuardState['role'], epoch: Number(epoch), attempt: attempt ?? null };
    },
    { timeoutMs: lockTimeoutMs + WORK_MS, what: 'a try at the lock of the guard', discard: true },
  );
}

function toTransaction(row: readonly (string | null)[]): OpenTransactionSeen {
  const [id, kind, user, application, ageMs, doing, tables] = row;
  return {
    id: id ?? '',
    kind: kind === 'prepared' ? 'prepared' : 'session',
    user: user ?? '',
    application: application ?? '',
    ageMs: ageMs == null ? null : Math.max(0, Math.round(Number(ageMs))),
    doing: kind === 'prepared' ? 'prepared' : (doing ?? ''),
    tables: (tables ?? '').split('\n').filter((name) => name !== ''),
  };
}

/**
 * A lock that nobody else knows, held by an open transaction: every session of this database sees it in pg_locks, whatever its rights, and no standby, copy
 * or other database has it.
 */
async function showSign<T>(
  { session }: PostgresStoreParts,
  timeoutMs: number,
  work: (sign: StoreSign) => Promise<T>,
): Promise<T> {
  const { random } = session.runtime;
  const half = (): number => Math.trunc(random.next() * 2 ** 31);
  const [first, second] = [half(), half()];
  const question = `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND classid = ${first} AND objid = ${second} AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))`;
  return session.transaction(
    async (transaction) => {
      await transaction.query(`SELECT pg_catalog.pg_advisory_xact_lock(${first}, ${second})`);
      return work({ question });
    },
    { timeoutMs, what: 'sign of the store', discard: true },
  );
}
