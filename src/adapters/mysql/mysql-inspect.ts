import { isChangeoverError, messageOf } from '../../errors/index.ts';
import type { Finding, InspectPlan } from '../../store/index.ts';
import type { CatalogCollection, CatalogTable } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { finding, type MysqlFindingId, pass } from './mysql-finding.ts';
import { actionFindings } from './mysql-inspect-actions.ts';
import { limitFindings } from './mysql-inspect-limits.ts';
import { logFindings } from './mysql-inspect-log.ts';
import { grantsOf, ownDatabaseFindings } from './mysql-inspect-privileges.ts';
import { tableFindings } from './mysql-inspect-tables.ts';
import type { MysqlFlavour } from './mysql-session.ts';

type Role = 'authority' | 'follower';

/** SKIP LOCKED, and what MySQL calls 8.0. */
const VERSION_MIN = { mariadb: 100_600, mysql: 80_000 } as const;

/** Looks at everything that a migration needs here, and changes nothing. What could not be looked at is `unknown`, never pass. */
export async function inspectMysql(
  parts: MysqlStoreParts,
  role: Role,
  { deferIndexes = 'none' }: InspectPlan = {},
): Promise<readonly Finding[]> {
  const { session } = parts;
  let flavour: MysqlFlavour;
  try {
    flavour = await session.flavour();
  } catch (error) {
    return [
      finding(
        'connection',
        'fail',
        messageOf(error),
        'Correct the url (host, port, database, user, password) or start the server.',
      ),
    ];
  }
  const findings = [...(await attempt('server', () => serverFindings(parts, flavour)))];
  findings.push(
    ...(await attempt('privileges', async () =>
      ownDatabaseFindings(parts, await grantsOf(session)),
    )),
  );
  if (role === 'follower' && deferIndexes !== 'none')
    findings.push(
      finding(
        'defer-indexes',
        'warn',
        `backfill.deferIndexes is '${deferIndexes}', which has no effect here: InnoDB keeps its indexes up during the copy.`,
        `Leave it at 'none'.`,
      ),
    );
  if (parts.logged.size > 0)
    findings.push(...(await attempt('log', () => logFindings(parts, role))));
  parts.catalog.forget();
  if (parts.logged.size > 0)
    findings.push(...(await attempt('cascade', () => actionFindings(parts, role))));
  for (const name of parts.catalog.collections)
    findings.push(...(await collectionFindings(parts, role, name)));
  if (role === 'authority') findings.push(...(await truncateFindings(parts)));
  return findings;
}

/** No trigger fires for TRUNCATE, so only the log tells it. One finding for all tables: it holds for every one. */
async function truncateFindings({ catalog, logged }: MysqlStoreParts): Promise<readonly Finding[]> {
  const unlogged = catalog.collections.filter((name) => !logged.has(name));
  const looks = await Promise.allSettled(unlogged.map((name) => catalog.collection(name)));
  // What cannot be looked up is a finding of its own.
  const tables = looks.flatMap((look) =>
    look.status === 'fulfilled' ? [look.value.root, ...look.value.children] : [],
  );
  if (tables.length === 0) return [];
  const list = [...new Set(tables.map(({ quoted }) => quoted))].join(', ');
  return [
    finding(
      'truncate',
      'warn',
      `TRUNCATE of ${list} fires no trigger: neither is it captured, nor does the guard refuse it after the switch.`,
      `DELETE the rows instead, or capture from the log. Users without DROP on the tables cannot TRUNCATE them.`,
    ),
  ];
}

async function attempt(
  id: MysqlFindingId,
  look: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [
      finding(id, 'unknown', messageOf(error), 'Remove the cause of the error and check again.'),
    ];
  }
}

async function serverFindings(
  { session }: MysqlStoreParts,
  flavour: MysqlFlavour,
): Promise<readonly Finding[]> {
  const { rows } = await session.query(
    `SELECT CURRENT_USER(), DATABASE(), @@global.read_only, @@global.innodb_flush_log_at_trx_commit, @@global.log_bin, @@global.sync_binlog,
      @@global.log_bin_trust_function_creators`,
    { what: 'inspection', timeoutMs: 10_000 },
  );
  const [user, database, readOnly, flush, logBin, syncBinlog, trust] = rows[0] ?? [];
  const name = flavour.name === 'mariadb' ? 'MariaDB' : 'MySQL';
  const findings: Finding[] = [
    pass(
      'connection',
      `Connected to database "${database}" as "${user}", ${name} ${flavour.version}.`,
    ),
  ];
  if (flavour.number < VERSION_MIN[flavour.name]) {
    findings.push(
      finding(
        'version',
        'fail',
        `${name} ${flavour.version} is older than MariaDB 10.6 or MySQL 8.0.`,
        'Upgrade the server.',
      ),
    );
  }
  if (flavour.name === 'mysql') {
    findings.push(
      finding(
        'flavour',
        'warn',
        'MySQL itself is supported by its documentation: this release was tested on MariaDB only.',
        'Rehearse the whole migration on a copy first.',
      ),
    );
  }
  if (readOnly !== '0' && readOnly !== 'OFF') {
    findings.push(
      finding(
        'read-only',
        'fail',
        'The server is read-only (a replica, or set so).',
        'Point the url at the primary, or SET GLOBAL read_only = 0.',
      ),
    );
  }
  findings.push(...durabilityFindings(flush ?? '', logBin === '1', syncBinlog ?? ''));
  if (logBin === '1' && trust === '0') findings.push(...(await creatorFindings(session)));
  findings.push(...(await galeraFindings(session, flavour)));
  findings.push(...(await limitFindings(session)));
  return findings;
}

function durabilityFindings(flush: string, logged: boolean, sync: string): readonly Finding[] {
  const found: Finding[] = [];
  if (flush !== '1') {
    found.push(
      finding(
        'flush-at-commit',
        'warn',
        `innodb_flush_log_at_trx_commit is ${flush}: a crash of the server loses acknowledged writes, here and in the journal alike.`,
        'SET GLOBAL innodb_flush_log_at_trx_commit = 1',
      ),
    );
  }
  if (logged && sync !== '1') {
    found.push(
      finding(
        'sync-binlog',
        'warn',
        `sync_binlog is ${sync}: a crash of the host may lose transactions from the binary log that InnoDB has, or the other way round.`,
        'SET GLOBAL sync_binlog = 1',
      ),
    );
  }
  return found;
}

/** With a binary log, only such users may create triggers. */
async function creatorFindings(session: MysqlStoreParts['session']): Promise<readonly Finding[]> {
  const grants = await grantsOf(session);
  if (grants.global.has('SUPER') || grants.global.has('SET USER')) return [];
  return [
    finding(
      'create-triggers',
      grants.roles ? 'unknown' : 'fail',
      'The binary log is on, and this user may not create triggers then: the guard and the outbox need them.',
      'SET GLOBAL log_bin_trust_function_creators = 1, or GRANT SUPER ON *.* to this user.',
    ),
  ];
}

async function galeraFindings(
  session: MysqlStoreParts['session'],
  flavour: MysqlFlavour,
): Promise<readonly Finding[]> {
  const { rows } = await session.query(`SHOW GLOBAL VARIABLES LIKE 'wsrep_on'`);
  const prepared = await session.query('XA RECOVER').catch(() => null);
  const found: Finding[] = [];
  if (rows[0]?.[1] === 'ON') {
    found.push(
      finding(
        'galera',
        'fail',
        'The server is a node of a Galera cluster: locks of rows and tables hold on this node only, so the guard could not keep writers on other nodes out.',
        'Let every writer use this one node during the migration, and take it out of the cluster for the switch; there is no other way.',
      ),
    );
  }
  if (prepared === null && flavour.name === 'mariadb') return found;
  if ((prepared?.rows.length ?? 0) > 0) {
    found.push(
      finding(
        'prepared-transactions',
        'warn',
        `${prepared?.rows.length} prepared XA transactions hold their locks, across the switch as well.`,
        'Commit or roll them back before the switch (XA RECOVER lists them).',
      ),
    );
  }
  return found;
}

async function collectionFindings(
  parts: MysqlStoreParts,
  role: Role,
  name: string,
): Promise<readonly Finding[]> {
  let collection: CatalogCollection;
  try {
    collection = await parts.catalog.collection(name);
  } catch (error) {
    const rejected = isChangeoverError(error, 'STORE_REJECTED', 'KEY_INVALID');
    const noKey = isChangeoverError(error, 'KEY_INVALID');
    return [
      finding(
        noKey ? 'no-key' : 'table',
        rejected ? 'fail' : 'unknown',
        messageOf(error),
        noKey
          ? 'Declare a primary key, or a unique index on the key columns, which are NOT NULL.'
          : 'Create the table, or correct the name in the configuration.',
      ),
    ];
  }
  const findings: Finding[] = [];
  const tables: readonly CatalogTable[] = [collection.root, ...collection.children];
  for (const table of tables)
    findings.push(...(await attempt('table', () => tableFindings(parts, role, collection, table))));
  if (findings.every(({ verdict }) => verdict === 'pass')) {
    findings.push(
      pass('table', `"${name}": ${tables.map(({ quoted }) => quoted).join(', ')} can be migrated.`),
    );
  }
  return findings;
}
