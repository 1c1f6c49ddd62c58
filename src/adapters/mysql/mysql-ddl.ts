import type mysql from 'mysql2';
import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import { cut } from './mysql-connect.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { errnoOf, toChangeoverError } from './mysql-errors.ts';
import { flyUntil } from './mysql-flight.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** DDL waits for writers and readers this long at a time (the smallest wait that every server knows), so that those behind it do not wait longer. */
const DDL_LOCK_SECONDS = 1;
const DDL_ATTEMPTS_MAX = 20;
const DDL_MS = 60_000;

/** Runs statements one after the other, on one connection. */
export type RunDdl = (statements: readonly string[]) => Promise<readonly SqlResult[]>;

/** Steps of DDL under a lock of the whole server by name, tried again while a table is not to be had. `body` may run more than once. */
export async function ddl(
  { session, layout }: Pick<MysqlStoreParts, 'session' | 'layout'>,
  what: string,
  body: (run: RunDdl) => Promise<void>,
): Promise<void> {
  const { clock, random } = session.runtime;
  const once = (client: mysql.Connection): Promise<void> => {
    const run: RunDdl = (statements) =>
      flyUntil(client, statements, DDL_MS, clock, what, () => cut(client));
    return (async () => {
      await run([`SET SESSION lock_wait_timeout = ${DDL_LOCK_SECONDS}`]);
      const [got] = await run([`SELECT GET_LOCK(${quoteLiteral(layout.database)}, 30)`]);
      if (got?.rows[0]?.[0] !== '1')
        throw new ChangeoverError('STORE_CONFLICT', `${what}: another process is at it.`);
      await body(run);
    })();
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      await session.alone(once, { timeoutMs: DDL_MS, what });
      return;
    } catch (error) {
      const blocked = isChangeoverError(error, 'STORE_CONFLICT');
      if (!blocked || attempt >= DDL_ATTEMPTS_MAX) throw denied(error, what);
      await clock.sleep(50 + random.next() * 200 * Math.min(attempt, 5));
    }
  }
}

/** Binary logging is on, and the user may not create triggers: the server's message leaves out half of what can be done. */
const TRUST = 1419;

function denied(error: unknown, what: string): unknown {
  if (errnoOf(error) !== TRUST) return error;
  const cause = toChangeoverError(error, what);
  return new ChangeoverError(
    'STORE_REJECTED',
    `${cause.message} SET GLOBAL log_bin_trust_function_creators = 1, or grant SUPER (MariaDB: BINLOG ADMIN is not enough).`,
    { data: cause.data },
  );
}
