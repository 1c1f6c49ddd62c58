import type { Finding } from '../../store/index.ts';
import { hidesLabel } from './mysql-column-type.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { finding, type MysqlFindingId, pass } from './mysql-finding.ts';
import { grantsOf } from './mysql-inspect-privileges.ts';

/** A log that is kept for less than this may be gone after a weekend. */
const KEPT_SECONDS_MIN = 3 * 24 * 3_600;

const NAMES = [
  'log_bin',
  'binlog_format',
  'binlog_row_image',
  'binlog_row_metadata',
  'binlog_row_value_options',
  'binlog_expire_logs_seconds',
  'expire_logs_days',
  'server_id',
  'gtid_mode',
  'log_slave_updates',
  'log_replica_updates',
  'binlog_order_commits',
  'binlog_transaction_compression',
];

/** What the binary log has to be like, on both sides: the follower's is read after the switch. */
export async function logFindings(
  parts: MysqlStoreParts,
  role: 'authority' | 'follower',
): Promise<readonly Finding[]> {
  const { session, layout } = parts;
  const { rows } = await session.query(
    `SHOW GLOBAL VARIABLES WHERE Variable_name IN (${NAMES.map((name) => `'${name}'`).join(', ')})`,
    { what: 'inspection of the binary log' },
  );
  const value = new Map(rows.map(([name, one]) => [(name ?? '').toLowerCase(), one ?? '']));
  const is = (name: string, wanted: string): boolean =>
    (value.get(name) ?? wanted).toUpperCase() === wanted;
  const found: Finding[] = [];
  const need = (
    id: MysqlFindingId,
    verdict: 'fail' | 'warn',
    message: string,
    fix: string,
  ): void => {
    const when = role === 'follower' ? ' (needed from the switch on, for the way back)' : '';
    found.push(finding(id, verdict, `${message}${when}`, fix));
  };
  if (value.get('log_bin') !== 'ON') {
    need(
      'log-bin',
      'fail',
      'The binary log is off.',
      'Set log_bin and server_id in the configuration and restart the server.',
    );
    return found;
  }
  if (!is('binlog_format', 'ROW'))
    need(
      'log-format',
      'fail',
      `binlog_format is ${value.get('binlog_format')}: changes are logged as statements.`,
      'SET GLOBAL binlog_format = ROW, and let the applications connect anew: sessions keep the old value.',
    );
  if (!is('binlog_row_image', 'FULL'))
    need(
      'log-image',
      'fail',
      `binlog_row_image is ${value.get('binlog_row_image')}: rows are logged in part.`,
      'SET GLOBAL binlog_row_image = FULL, and let the applications connect anew.',
    );
  if ((value.get('binlog_row_value_options') ?? '') !== '')
    need(
      'log-partial-json',
      'fail',
      'binlog_row_value_options logs parts of JSON values only.',
      `SET GLOBAL binlog_row_value_options = ''`,
    );
  if (!is('binlog_order_commits', 'ON'))
    need(
      'log-order',
      'fail',
      'binlog_order_commits is off: transactions become visible in another order than they are logged.',
      'SET GLOBAL binlog_order_commits = ON',
    );
  if (!is('binlog_transaction_compression', 'OFF'))
    need(
      'log-compression',
      'fail',
      'binlog_transaction_compression is on: compressed transactions cannot be read.',
      'SET GLOBAL binlog_transaction_compression = OFF, and let the applications connect anew.',
    );
  if (!is('binlog_row_metadata', 'FULL'))
    need(
      'log-metadata',
      'warn',
      `binlog_row_metadata is ${value.get('binlog_row_metadata')}: names of columns are not in the log, and a change of a table is noticed later.`,
      'SET GLOBAL binlog_row_metadata = FULL',
    );
  if (!is('binlog_row_metadata', 'FULL'))
    for (const column of await hiddenLabels(parts))
      need(
        'log-labels',
        'fail',
        `The catalog shows a question mark in a label of ${column}, which stands for any character beyond U+FFFF as well, and the log holds the labels' numbers only.`,
        'SET GLOBAL binlog_row_metadata = FULL',
      );
  if (value.get('server_id') === '0')
    need(
      'server-id',
      'fail',
      'server_id is 0: nobody may read the log.',
      'SET GLOBAL server_id to a number that no other server of the group has.',
    );
  if (await hidesReplicated(session, value))
    need(
      'log-replica',
      'fail',
      'The server replicates from another one and does not log what it replicates (log_slave_updates is off).',
      'Set log_slave_updates in the configuration and restart the server, or end the replication first.',
    );
  const keptSeconds = keptFor(value);
  if (keptSeconds > 0 && keptSeconds < KEPT_SECONDS_MIN)
    need(
      'log-expiry',
      'warn',
      `Binary logs are removed after ${Math.round(keptSeconds / 3_600)} hours: what was not read by then is lost, and the migration with it.`,
      'SET GLOBAL binlog_expire_logs_seconds = 604800',
    );
  const lacking = await replicationFindings(session);
  found.push(...lacking);
  const filters = filterFindings(session, layout.database);
  // Who may not read the log is not told what it leaves out either: that is one finding, not two.
  found.push(...(lacking.length === 0 ? await filters : await filters.catch(() => [])));
  if (found.length === 0) found.push(pass('log', 'The binary log can be followed.'));
  return found;
}

/** Columns that are captured from the log and have labels of which the catalog may say less than they are. */
async function hiddenLabels({ catalog, logged }: MysqlStoreParts): Promise<readonly string[]> {
  const looks = await Promise.allSettled([...logged].map((name) => catalog.collection(name)));
  // What cannot be looked up is a finding of its own.
  const tables = looks.flatMap((look) =>
    look.status === 'fulfilled' ? [look.value.root, ...look.value.children] : [],
  );
  return tables.flatMap(({ quoted, columns }) =>
    columns
      .filter(({ type: { labels = [], charset = null } }) =>
        labels.some((label) => hidesLabel(label, charset)),
      )
      .map((column) => `${quoted}.${column.quoted}`),
  );
}

/** Changes that a replica applies are in its own log only on demand. MySQL logs them unless told otherwise, and does not count its appliers here. */
async function hidesReplicated(
  session: MysqlStoreParts['session'],
  value: ReadonlyMap<string, string>,
): Promise<boolean> {
  const logs = value.get('log_replica_updates') ?? value.get('log_slave_updates') ?? 'ON';
  if (logs === 'ON') return false;
  const { rows } = await session.query(`SHOW GLOBAL STATUS LIKE 'Slaves_running'`, {
    what: 'inspection of the binary log',
  });
  return Number(rows[0]?.[1] ?? 0) > 0;
}

/** 0: for ever. */
function keptFor(value: ReadonlyMap<string, string>): number {
  const seconds = Number(value.get('binlog_expire_logs_seconds') ?? 0);
  return seconds > 0 ? seconds : Number(value.get('expire_logs_days') ?? 0) * 24 * 3_600;
}

/** Databases that are left out of the log: ours must not be one, by its rows the door's own transactions are told. */
async function filterFindings(
  session: MysqlStoreParts['session'],
  own: string,
): Promise<readonly Finding[]> {
  const { binlogStatus } = await session.flavour();
  const { rows } = await session.query(binlogStatus, { what: 'inspection of the binary log' });
  const [, , only = '', not = ''] = (rows[0] ?? []).map((one) => one ?? '');
  if (only === '' && not === '') return [];
  return [
    finding(
      'log-filter',
      'fail',
      `The binary log is filtered (binlog_do_db "${only}", binlog_ignore_db "${not}").`,
      `Take the filters away, or let them pass the databases of all tables and "${own}".`,
    ),
  ];
}

async function replicationFindings(
  session: MysqlStoreParts['session'],
): Promise<readonly Finding[]> {
  const grants = await grantsOf(session);
  // MariaDB shows REPLICATION CLIENT as BINLOG MONITOR.
  const wanted = [
    ['REPLICATION SLAVE', 'REPLICATION SLAVE'],
    ['REPLICATION CLIENT', 'BINLOG MONITOR'],
  ];
  const missing = wanted.flatMap(([name = '', other = '']) =>
    grants.global.has(name) || grants.global.has(other) || grants.global.has('SUPER') ? [] : [name],
  );
  if (missing.length === 0) return [];
  return [
    finding(
      'log-privilege',
      grants.roles ? 'unknown' : 'fail',
      `${grants.user} lacks ${missing.join(', ')}.`,
      `GRANT ${missing.join(', ')} ON *.* TO ${grants.user}`,
    ),
  ];
}
