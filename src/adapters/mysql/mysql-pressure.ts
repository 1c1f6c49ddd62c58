import { ChangeoverError } from '../../errors/index.ts';
import type { StorePressure } from '../../store/index.ts';
import type { MysqlSession } from './mysql-session.ts';

/** Everybody may read it, and it counts everybody; the list of processes hides other users' from those without PROCESS. */
const RUNNING = `SHOW GLOBAL STATUS LIKE 'Threads_running'`;
/** Readers of the binlog run all the time: replicas and log capture, ours too. Without PROCESS only those of this user are seen. */
const READERS = `SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'`;

/**
 * How busy a MySQL or MariaDB server is. A primary does not know how far its replicas are (they are asked themselves, elsewhere), so
 * there is no `replicationLagMs`: a throttle query against one can stand for it.
 */
export function createMysqlPressure(session: MysqlSession): StorePressure {
  return {
    async activeConnections(timeoutMs) {
      const [running, readers] = await session.run([RUNNING, READERS], {
        timeoutMs,
        what: 'running connections',
      });
      const count = Number(running?.rows[0]?.[1] ?? Number.NaN);
      if (!Number.isFinite(count)) {
        throw new ChangeoverError('STORE_REJECTED', 'The server does not say Threads_running.');
      }
      return Math.max(0, count - 1 - Number(readers?.rows[0]?.[0] ?? 0));
    },

    async measure(query, timeoutMs) {
      const options = { timeoutMs, what: 'throttle query', oneSnapshot: true };
      const [result] = await session.run([query], options);
      const rows = result?.rows ?? [];
      const text = rows[0]?.[0];
      if (rows.length !== 1 || rows[0]?.length !== 1 || text == null)
        throw noNumber(`${rows.length} rows of ${rows[0]?.length ?? 0} columns, or NULL`);
      const number = text.trim() === '' ? Number.NaN : Number(text);
      if (!Number.isFinite(number)) throw noNumber('a text');
      return number;
    },
  };
}

function noNumber(what: string): ChangeoverError {
  return new ChangeoverError(
    'STORE_REJECTED',
    `The throttle query has to answer one number (a comparison is 1 or 0); it answered ${what}.`,
  );
}
