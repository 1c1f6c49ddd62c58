import type { Finding } from '../../store/index.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { finding } from './mysql-finding.ts';

/** What one process opens by default for a store: fewer than this are soon used up. */
const CONNECTIONS_MIN = 10;
/** What MariaDB comes with; a page of a copy is split to fit, a single record cannot be. */
const PACKET_MIN = 16 * 1_024 * 1_024;
/** An idle connection of ours is closed after half a minute: the server has to be more patient. */
const IDLE_SECONDS_MIN = 60;
const LOCK_SECONDS_MIN = 2;

/** What the server or the user limits, and whether somebody else writes here. */
export async function limitFindings(
  session: MysqlStoreParts['session'],
): Promise<readonly Finding[]> {
  const [variables, status, own] = await session.run(
    [
      `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'max_allowed_packet', 'wait_timeout', 'innodb_lock_wait_timeout')`,
      `SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Slaves_running')`,
      `SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_read_only', 'transaction_read_only', 'max_user_connections')`,
    ],
    { what: 'inspection of limits' },
  );
  const value = new Map(
    [variables, status, own].flatMap((result) =>
      (result?.rows ?? []).map(([name, one]) => [(name ?? '').toLowerCase(), one ?? ''] as const),
    ),
  );
  const number = (name: string): number => Number(value.get(name) ?? Number.NaN);
  const found: Finding[] = [];
  const warn = (...[id, message, fix]: readonly [Parameters<typeof finding>[0], string, string]) =>
    found.push(finding(id, 'warn', message, fix));
  if (['ON', '1'].includes(value.get('transaction_read_only') ?? value.get('tx_read_only') ?? ''))
    found.push(
      finding(
        'read-only',
        'fail',
        'Transactions are read-only by default (transaction_read_only, or tx_read_only).',
        'SET GLOBAL tx_read_only = 0 (MySQL: transaction_read_only).',
      ),
    );
  if (number('slaves_running') > 0)
    warn(
      'replica',
      'The server replicates from another one: what is written here does not reach that one, and what comes from there no guard refuses.',
      'Point the url at the primary, or end the replication first (STOP SLAVE).',
    );
  const ofServer = number('max_connections') - number('threads_connected');
  if (ofServer < CONNECTIONS_MIN)
    warn(
      'connections',
      `${ofServer} connections of the server are left (max_connections ${value.get('max_connections')}); each process opens up to ${CONNECTIONS_MIN} (poolMax).`,
      'SET GLOBAL max_connections = …; or a smaller poolMax.',
    );
  const ofUser = number('max_user_connections');
  if (ofUser > 0 && ofUser < CONNECTIONS_MIN)
    warn(
      'connections',
      `This user may have ${ofUser} connections (max_user_connections); each process opens up to ${CONNECTIONS_MIN} (poolMax).`,
      'ALTER USER … WITH MAX_USER_CONNECTIONS 0; or a smaller poolMax.',
    );
  if (number('max_allowed_packet') < PACKET_MIN)
    warn(
      'packet-size',
      `max_allowed_packet is ${value.get('max_allowed_packet')} bytes: a larger record is refused.`,
      `SET GLOBAL max_allowed_packet = 67108864, in the configuration file as well; new connections have it.`,
    );
  if (number('wait_timeout') < IDLE_SECONDS_MIN)
    warn(
      'idle-limit',
      `wait_timeout is ${value.get('wait_timeout')} s: the server ends connections of the pool that are idle, and a statement may meet one that has just gone.`,
      'SET GLOBAL wait_timeout = 28800',
    );
  if (number('innodb_lock_wait_timeout') < LOCK_SECONDS_MIN)
    warn(
      'lock-wait',
      `innodb_lock_wait_timeout is ${value.get('innodb_lock_wait_timeout')} s: writes that would only have waited fail.`,
      'SET GLOBAL innodb_lock_wait_timeout = 50',
    );
  return found;
}
