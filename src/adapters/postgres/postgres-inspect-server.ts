import type { Finding } from '../../store/index.ts';
import { finding } from './postgres-finding.ts';
import type { WriteParts } from './postgres-write.ts';

/** Newest major release that the tests have run on. */
const VERSION_TRIED = 18;
/** What one process opens by default for a store: fewer than this are soon used up. */
const CONNECTIONS_MIN = 10;
const LOCK_MS_MIN = 1_000;
const TRANSACTION_MS_MIN = 60_000;

// Rows of other users' sessions are shown to everybody, only what they do is not.
const LIMITS = `
SELECT current_setting('server_version_num')::int / 10000, current_user,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0)
    - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
  (SELECT CASE WHEN rolconnlimit >= 0 THEN rolconnlimit - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = current_user) END
    FROM pg_catalog.pg_roles WHERE rolname = current_user),
  (SELECT CASE WHEN datconnlimit >= 0 THEN datconnlimit - (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()) END
    FROM pg_catalog.pg_database WHERE datname = current_database()),
  (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'),
  (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'),
  pg_backend_pid()`;

/** What the server, the database or the role limits. */
export async function limitFindings(parts: WriteParts): Promise<readonly Finding[]> {
  const { rows, processId } = await parts.session.transaction(
    async (transaction) => ({
      rows: (await transaction.query(LIMITS)).rows,
      processId: processOf(await transaction.client()),
    }),
    { timeoutMs: 10_000, what: 'inspection of limits', discard: true },
  );
  const [major, user, ofServer, ofRole, ofDatabase, lockMs, transactionMs, pid] = rows[0] ?? [];
  const found: Finding[] = [];
  if (Number(major) > VERSION_TRIED)
    found.push(
      finding(
        'version',
        'warn',
        `PostgreSQL ${major} is newer than ${VERSION_TRIED}, the newest that was tried.`,
        'Rehearse the whole migration on a copy first.',
      ),
    );
  if (parts.pooler !== true && processId !== null && processId !== Number(pid))
    found.push(
      finding(
        'pooler',
        'warn',
        'The url leads to a pooler, not to the server itself. In transaction pooling, statements would be prepared on one server connection and run on another.',
        'Give the address of the server itself; or set `pooler: true` in the options of the store.',
      ),
    );
  const left = [
    ['the server (max_connections)', ofServer, 'ALTER SYSTEM SET max_connections = …, and restart'],
    [`role "${user}" (CONNECTION LIMIT)`, ofRole, `ALTER ROLE "${user}" CONNECTION LIMIT -1`],
    ['the database (CONNECTION LIMIT)', ofDatabase, 'ALTER DATABASE … CONNECTION LIMIT -1'],
  ] as const;
  for (const [whose, free, fix] of left) {
    if (free == null || Number(free) >= CONNECTIONS_MIN) continue;
    found.push(
      finding(
        'connections',
        'warn',
        `${free} connections of ${whose} are left; each process opens up to ${CONNECTIONS_MIN} (poolMax).`,
        `${fix}; or a smaller poolMax.`,
      ),
    );
  }
  for (const [name, value, least] of [
    ['lock_timeout', lockMs, LOCK_MS_MIN],
    ['transaction_timeout', transactionMs, TRANSACTION_MS_MIN],
  ] as const) {
    if (value == null || Number(value) === 0 || Number(value) >= least) continue;
    found.push(
      finding(
        'session-limits',
        'warn',
        `${name} is ${value} ms for "${user}": what the library waits for, or leaves open on purpose, is ended by the server.`,
        `ALTER ROLE "${user}" SET ${name} = 0`,
      ),
    );
  }
  return found;
}

/** The number that the other end gave when the connection was made: the server's own process, or what a pooler made up. */
function processOf(client: object): number | null {
  const given: unknown = 'processID' in client ? client.processID : null;
  return typeof given === 'number' ? given : null;
}
