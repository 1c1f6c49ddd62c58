import { cut } from './mysql-connect.ts';
import { flyUntil } from './mysql-flight.ts';
import type { MysqlSession, SqlResult } from './mysql-session.ts';

/** InnoDB makes its list anew only when nobody has read it for 100 ms. */
const LIST_IDLE_MS = 110;
/** Upper end of what is added at random: two who look at the same time would keep the list old for each other. */
const LIST_JITTER_MS = 90;
/** After it somebody else keeps the list old. */
const LIST_WAIT_MS = 1_500;

/** What our looks are known by in the list. */
const MARK = 'changeover-look-';

export interface OpenTransactions {
  /** Connection id, user, what it does, database, age in ms; the oldest first. */
  readonly rows: SqlResult['rows'];
  /** False: the list is of some time ago, and may show what has ended since. */
  readonly fresh: boolean;
}

/**
 * The open transactions of all sessions but this one. InnoDB keeps the list for the whole server, and everybody who reads it within 100 ms of somebody else gets the
 * old one: whoever asks again and again sees a transaction that has ended for as long as he asks. So this transaction looks for itself in the list, and
 * waits until it stands there.
 *
 * Those without a session are not among them: prepared ones are told by `XA RECOVER`, and what recovery rolls back holds no table and no shared row.
 * STORE_REJECTED without the privilege PROCESS.
 */
export async function openTransactions(
  session: MysqlSession,
  timeoutMs: number,
): Promise<OpenTransactions> {
  const { clock, random } = session.runtime;
  const what = 'survey before a switch';
  const mark = `${MARK}${Math.trunc(random.next() * 2 ** 48).toString(36)}`;
  const query = `/* ${mark} */ SELECT t.trx_mysql_thread_id = CONNECTION_ID() AND t.trx_query LIKE '%${mark}%', t.trx_mysql_thread_id, p.USER, LOWER(p.COMMAND), p.DB, TIMESTAMPDIFF(MICROSECOND, t.trx_started, NOW(6)) / 1000
  FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
  WHERE t.trx_mysql_thread_id = CONNECTION_ID() OR t.trx_query IS NULL OR t.trx_query NOT LIKE '%${MARK}%' ORDER BY 6 DESC`;
  return session.alone(
    async (client) => {
      const run = (statements: readonly string[]): Promise<readonly SqlResult[]> =>
        flyUntil(client, statements, timeoutMs, clock, what, () => cut(client));
      const endsAt = clock.monotonic() + Math.min(LIST_WAIT_MS, timeoutMs);
      for (;;) {
        // Only as long as the look itself: others who look must not find this one in their way.
        const [own, , list] = await run([
          'SELECT CONNECTION_ID()',
          'START TRANSACTION WITH CONSISTENT SNAPSHOT',
          query,
          'COMMIT',
        ]);
        const all = list?.rows ?? [];
        const fresh = all.some(([itself]) => itself === '1');
        if (fresh || clock.monotonic() >= endsAt) {
          const others = all.filter(([, id]) => id !== own?.rows[0]?.[0]);
          return { rows: others.map(([, ...row]) => row), fresh };
        }
        await clock.sleep(LIST_IDLE_MS + random.next() * LIST_JITTER_MS);
      }
    },
    { timeoutMs: timeoutMs + LIST_WAIT_MS, what },
  );
}
