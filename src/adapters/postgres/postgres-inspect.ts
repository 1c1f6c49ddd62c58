import { isChangeoverError, messageOf } from '../../errors/index.ts';
import type { Finding, InspectPlan } from '../../store/index.ts';
import type { CatalogCollection, CatalogTable } from './postgres-catalog.ts';
import { finding, type PostgresFindingId, pass } from './postgres-finding.ts';
import { logFindings } from './postgres-inspect-log.ts';
import { limitFindings } from './postgres-inspect-server.ts';
import { schemaFindings, tableFindings } from './postgres-inspect-tables.ts';
import type { WriteParts } from './postgres-write.ts';

type Role = 'authority' | 'follower';

/** Oldest server with `hash_record_extended`, `CREATE OR REPLACE TRIGGER` and multirow SKIP LOCKED as we use them. */
const VERSION_MIN = 140_000;

/** Looks at everything that a migration needs here, and changes nothing. What could not be looked at is `unknown`, never pass. */
export async function inspectPostgres(
  parts: WriteParts,
  role: Role,
  plan: InspectPlan = {},
): Promise<readonly Finding[]> {
  const server = await serverFindings(parts);
  if (server.some(({ id, verdict }) => id === 'postgres/connection' && verdict === 'fail')) {
    return server;
  }
  const findings = [
    ...server,
    ...(await attempt('connections', () => limitFindings(parts))),
    ...(await attempt('schema', () => schemaFindings(parts))),
  ];
  parts.catalog.forget();
  for (const name of parts.catalog.collections) {
    findings.push(...(await collectionFindings(parts, role, name, plan)));
  }
  findings.push(...(await attempt('log', () => logFindings(parts, role))));
  return findings;
}

async function attempt(
  id: PostgresFindingId,
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

async function serverFindings({ session }: WriteParts): Promise<readonly Finding[]> {
  let row: readonly (string | null)[];
  try {
    const { rows } = await session.query(
      `SELECT current_setting('server_version_num'), current_setting('server_version'), pg_is_in_recovery(),
        current_setting('default_transaction_read_only'),
        current_setting('server_encoding'), current_user, current_database(), current_setting('synchronous_commit'),
        current_setting('max_prepared_transactions')`,
      [],
      { what: 'inspection', timeoutMs: 10_000 },
    );
    row = rows[0] ?? [];
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
  const [versionNumber, version, recovery, readOnly, encoding, user, database] = row;
  const [synchronous, prepared] = row.slice(7);
  const findings: Finding[] = [
    pass('connection', `Connected to database "${database}" as "${user}", PostgreSQL ${version}.`),
  ];
  if (Number(versionNumber) < VERSION_MIN) {
    findings.push(
      finding('version', 'fail', `PostgreSQL ${version} is older than 14.`, 'Upgrade the server.'),
    );
  }
  if (recovery === 't' || readOnly === 'on') {
    findings.push(
      finding(
        'read-only',
        'fail',
        recovery === 't' ? 'The server is a standby.' : 'Transactions are read-only by default.',
        'Point the url at the primary, as a role whose transactions may write.',
      ),
    );
  }
  if (encoding !== 'UTF8') {
    findings.push(
      finding(
        'encoding',
        'warn',
        `The database is in ${encoding}: characters that it lacks are refused.`,
        'Move to a database in UTF8.',
      ),
    );
  }
  if (synchronous === 'off') {
    findings.push(
      finding(
        'synchronous-commit',
        'warn',
        'synchronous_commit is off: a crash of the server loses acknowledged writes, here and in the journal alike.',
        'ALTER DATABASE … SET synchronous_commit = on',
      ),
    );
  }
  if (Number(prepared) > 0) {
    findings.push(
      finding(
        'prepared-transactions',
        'warn',
        `max_prepared_transactions is ${prepared}: a prepared transaction holds its locks across the switch.`,
        'Make sure that pg_prepared_xacts is empty before the switch.',
      ),
    );
  }
  return findings;
}

async function collectionFindings(
  parts: WriteParts,
  role: Role,
  name: string,
  plan: InspectPlan,
): Promise<readonly Finding[]> {
  let collection: CatalogCollection;
  try {
    collection = await parts.catalog.collection(name);
  } catch (error) {
    const rejected = isChangeoverError(error, 'STORE_REJECTED', 'KEY_INVALID');
    return [
      finding(
        isChangeoverError(error, 'KEY_INVALID') ? 'no-key' : 'table',
        rejected ? 'fail' : 'unknown',
        messageOf(error),
        isChangeoverError(error, 'KEY_INVALID')
          ? `Declare a primary key, or a unique index on the key columns, which are NOT NULL.`
          : 'Create the table, or correct the name in the configuration.',
      ),
    ];
  }
  const findings: Finding[] = [];
  const tables: readonly CatalogTable[] = [collection.root, ...collection.children];
  for (const table of tables) {
    findings.push(
      ...(await attempt('table', () => tableFindings(parts, role, collection, table, plan))),
    );
  }
  if (findings.length === 0) {
    findings.push(
      pass('table', `"${name}": ${tables.map(({ quoted }) => quoted).join(', ')} can be migrated.`),
    );
  }
  return findings;
}
