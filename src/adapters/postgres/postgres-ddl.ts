import { isChangeoverError } from '../../errors/index.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, PostgresTransaction } from './postgres-session.ts';

/** DDL waits for writers this long at a time, so that writers behind it do not wait longer. */
const DDL_LOCK_MS = 1_000;
const DDL_ATTEMPTS_MAX = 20;
const DDL_MS = 60_000;

export interface DdlOptions {
  /** Limit of one attempt. Default: a minute. */
  readonly timeoutMs?: number;
  /** `installation` (default): waits for other installations. `none`: the caller serialises by locks of its own. */
  readonly lock?: 'installation' | 'none';
}

/** One transaction of DDL; tried again while a lock is not to be had. Installations of several processes wait for each other. */
export async function ddl<Result>(
  { session, layout }: { readonly session: PostgresSession; readonly layout: PostgresLayout },
  what: string,
  body: (transaction: PostgresTransaction) => Promise<Result>,
  options: DdlOptions = {},
): Promise<Result> {
  const { clock, random } = session.runtime;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await session.transaction(
        async (transaction) => {
          if (options.lock !== 'none') {
            await transaction.query(`SELECT pg_advisory_xact_lock(${layout.roleLock} # 2)`);
          }
          await transaction.query(`SELECT set_config('lock_timeout', '${DDL_LOCK_MS}', true)`);
          // NOTICE "already exists, skipping" is of no interest.
          await transaction.query(`SET LOCAL client_min_messages = warning`);
          return body(transaction);
        },
        { timeoutMs: options.timeoutMs ?? DDL_MS, what },
      );
    } catch (error) {
      const blocked = isChangeoverError(error, 'STORE_CONFLICT');
      if (!blocked || attempt >= DDL_ATTEMPTS_MAX) throw error;
      await clock.sleep(50 + random.next() * 200 * Math.min(attempt, 5));
    }
  }
}
