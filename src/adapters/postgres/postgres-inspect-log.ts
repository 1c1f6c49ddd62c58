import { messageOf } from '../../errors/index.ts';
import type { Shape } from '../../migration/index.ts';
import type { Finding } from '../../store/index.ts';
import { quoteTable } from './postgres-catalog-query.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { finding, pass } from './postgres-finding.ts';
import { parseTextArray, quoteIdentifier } from './postgres-text.ts';

/**
 * What capture from the log needs here: settings, rights, and an identity of every table by which old rows can be told. A follower needs the same from the switch
 * on, for the way back, so what is missing there is a warning for now. Empty when nothing is captured from the log.
 */
export async function logFindings(
  parts: PostgresStoreParts,
  role: 'authority' | 'follower',
): Promise<readonly Finding[]> {
  if (parts.logged.size === 0) return [];
  const tables = await tableFindings(parts);
  const found = [...(await serverFindings(parts)), ...(await connectionFindings(parts)), ...tables];
  if (tables.length === 0) {
    found.push(pass('replica-identity', 'Every table has an identity that tells old rows.'));
  }
  if (role === 'authority') return found;
  return found.map((one) =>
    one.verdict === 'fail'
      ? {
          ...one,
          verdict: 'warn',
          message: `${one.message} (Needed from the switch of writes on.)`,
        }
      : one,
  );
}

/** Why the tables must not be published as they are: each would lose changes, or break the application's own statements. */
export async function publishingProblems(parts: PostgresStoreParts): Promise<readonly string[]> {
  const findings = await tableFindings(parts);
  return findings
    .filter(({ verdict }) => verdict === 'fail')
    .map(({ message, fix }) => `${message} ${fix}.`);
}

/** What no setting tells: pg_hba.conf, a pooler in between, the rights of a provider. */
async function connectionFindings(parts: PostgresStoreParts): Promise<readonly Finding[]> {
  try {
    await parts.probeLog?.();
    return [pass('log-connection', 'A replication connection can be opened.')];
  } catch (error) {
    return [
      finding(
        'log-connection',
        'fail',
        messageOf(error),
        'Give the address of the server itself (no pooler), and let the role replicate (attribute, pg_hba.conf)',
      ),
    ];
  }
}

async function serverFindings({ session }: PostgresStoreParts): Promise<readonly Finding[]> {
  const { rows } = await session.query(
    `SELECT current_setting('wal_level'), current_setting('max_replication_slots'), current_setting('max_wal_senders'),
      (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_stat_replication),
      r.rolsuper OR r.rolreplication
        OR EXISTS (SELECT 1 FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(m.oid, 'USAGE')),
      current_user, has_database_privilege(current_database(), 'CREATE'), current_database(),
      current_setting('max_slot_wal_keep_size'), current_setting('idle_replication_slot_timeout', true),
      current_setting('synchronous_standby_names')
     FROM pg_roles r WHERE r.rolname = current_user`,
    [],
    { what: 'inspection of the log', timeoutMs: 10_000 },
  );
  const [walLevel, slotsMax, sendersMax, slots, senders, replicates, user, ...rest] = (
    rows[0] ?? []
  ).map((value) => value ?? '');
  const [mayCreate, database, keepSize, idleTimeout, standbys] = rest;
  const name = quoteIdentifier(user ?? '');
  const found: Finding[] = [];
  if (walLevel !== 'logical') {
    found.push(
      finding(
        'wal-level',
        'fail',
        `wal_level is ${walLevel}: the log does not hold row changes.`,
        `ALTER SYSTEM SET wal_level = 'logical', then restart the server (Amazon RDS: rds.logical_replication = 1)`,
      ),
    );
  }
  for (const [setting, used, max, unit] of [
    ['max_replication_slots', slots, slotsMax, 'replication slots'],
    ['max_wal_senders', senders, sendersMax, 'replication connections'],
  ] as const) {
    if (Number(used) < Number(max)) continue;
    found.push(
      finding(
        setting === 'max_wal_senders' ? 'wal-senders' : 'replication-slots',
        'fail',
        `All ${max} ${unit} are in use; one is needed, and another one during a switch.`,
        `Drop what is not used, or: ALTER SYSTEM SET ${setting} = ${Number(max) + 4}, then restart the server`,
      ),
    );
  }
  if (replicates !== 't') {
    found.push(
      finding(
        'replication-attribute',
        'fail',
        `"${user}" may not read the log.`,
        `ALTER ROLE ${name} REPLICATION (Amazon RDS: GRANT rds_replication TO ${name})`,
      ),
    );
  }
  if (mayCreate !== 't') {
    found.push(
      finding(
        'publication-privilege',
        'fail',
        `"${user}" may not create a publication in database "${database}".`,
        `GRANT CREATE ON DATABASE ${quoteIdentifier(database ?? '')} TO ${name}`,
      ),
    );
  }
  found.push(...retentionFindings(keepSize ?? '-1', idleTimeout ?? '', standbys ?? ''));
  return found;
}

function retentionFindings(
  keepSize: string,
  idleTimeout: string,
  standbys: string,
): readonly Finding[] {
  const found: Finding[] = [];
  if (keepSize === '-1') {
    found.push(
      pass(
        'wal-retention',
        'The log is kept for as long as the worker has not read it (max_slot_wal_keep_size = -1): watch the free space of the disk while a worker stands still.',
      ),
    );
  } else {
    found.push(
      finding(
        'wal-retention',
        'warn',
        `max_slot_wal_keep_size is ${keepSize}: a worker that is further behind than that has lost its log, and the migration starts anew.`,
        'Make sure that it is more than the server writes in the longest time that the worker may stand still.',
      ),
    );
  }
  if (idleTimeout !== '' && idleTimeout !== '0') {
    found.push(
      finding(
        'idle-slot-timeout',
        'warn',
        `idle_replication_slot_timeout is ${idleTimeout}: a worker that stands still for longer has lost its log.`,
        'ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()',
      ),
    );
  }
  if (standbys.includes('*')) {
    found.push(
      finding(
        'synchronous-standbys',
        'warn',
        `synchronous_standby_names is "${standbys}": with "*" our reader may be chosen as the synchronous standby, and commits would wait for the follower.`,
        'Name the standbys instead of using "*".',
      ),
    );
  }
  return found;
}

/** A table and the columns that an old row has to tell. */
interface Wanted {
  readonly table: string;
  readonly columns: readonly string[];
  /** What the columns are for. */
  readonly why: string;
  /** Key and named columns: each has to be in the log. */
  readonly carried: readonly string[];
}

function wantedOf(collection: string, shape: Shape): readonly Wanted[] {
  const { table, key, columns = [] } = shape;
  const root = {
    table,
    columns: key,
    why: `the key of "${collection}"`,
    carried: [...key, ...columns],
  };
  const children = Object.entries(shape.children ?? {}).map(([field, child]) => ({
    table: child.table,
    columns: child.parent,
    why: `the record of "${collection}" that a row of "${field}" belongs to`,
    carried: [...child.parent, ...child.key, ...(child.columns ?? [])],
  }));
  return [root, ...children];
}

// Partitions with their root first; the identity that each has, as the server decides it (`RelationGetIndexList`).
const IDENTITIES = `
WITH tables AS (
  SELECT to_regclass($1)::oid AS oid, 0 AS level
  UNION SELECT relid::oid, level FROM pg_catalog.pg_partition_tree(to_regclass($1)))
SELECT format('%I.%I', n.nspname, c.relname), c.relreplident, c.relpersistence, c.relkind, pg_has_role(c.relowner, 'USAGE'),
  CASE c.relreplident WHEN 'f' THEN (
    SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  ELSE (
    SELECT array_agg(a.attname::text ORDER BY a.attname)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND i.indisunique AND i.indpred IS NULL
      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) END,
  (SELECT array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped)
FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY t.level, 1`;

interface Identity {
  readonly quoted: string;
  readonly kind: string;
  readonly unlogged: boolean;
  readonly relationKind: string;
  readonly owned: boolean;
  readonly columns: readonly string[];
  readonly generated: readonly string[];
}

async function identitiesOf(
  { session }: PostgresStoreParts,
  table: string,
): Promise<readonly Identity[]> {
  const { rows } = await session.query(IDENTITIES, [quoteTable(table)], {
    what: `inspection of the identity of "${table}"`,
  });
  const names = (array: string | null | undefined): readonly string[] =>
    parseTextArray(array ?? '{}').map((one) => one ?? '');
  return rows.map(([quoted, kind, persistence, relationKind, owned, columns, generated]) => ({
    quoted: quoted ?? '',
    kind: kind ?? 'd',
    unlogged: persistence !== 'p',
    relationKind: relationKind ?? 'r',
    owned: owned === 't',
    columns: names(columns),
    generated: names(generated),
  }));
}

/** Problems of the tables that are captured from the log; empty when there are none. A table that is not there is reported elsewhere. */
async function tableFindings(parts: PostgresStoreParts): Promise<readonly Finding[]> {
  const { catalog, logged } = parts;
  const found: Finding[] = [];
  for (const name of catalog.collections) {
    if (!logged.has(name)) continue;
    for (const wanted of wantedOf(name, catalog.shape(name))) {
      const [root, ...partitions] = await identitiesOf(parts, wanted.table);
      if (root === undefined) continue;
      found.push(...kindFindings(root), ...columnFindings(root, wanted));
      for (const one of [root, ...partitions]) found.push(...identityFindings(one, wanted));
      found.push(...partitionFindings(root, partitions));
    }
  }
  return found;
}

function kindFindings(table: Identity): readonly Finding[] {
  const found: Finding[] = [];
  if (table.unlogged) {
    found.push(
      finding(
        'unlogged',
        'fail',
        `${table.quoted} is not written to the log (UNLOGGED).`,
        `ALTER TABLE ${table.quoted} SET LOGGED`,
      ),
    );
  }
  if (!table.owned) {
    found.push(
      finding(
        'publication-owner',
        'fail',
        `${table.quoted} can be published only by its owner.`,
        `ALTER TABLE ${table.quoted} OWNER TO …, or GRANT the owning role to the role of the migration`,
      ),
    );
  }
  return found;
}

function columnFindings(table: Identity, wanted: Wanted): readonly Finding[] {
  const generated = wanted.carried.filter((column) => table.generated.includes(column));
  if (generated.length === 0) return [];
  return [
    finding(
      'generated-column',
      'fail',
      `${table.quoted} computes ${generated.join(', ')} (GENERATED), which the log does not hold.`,
      'Leave the column out of the configuration, or declare capture "outbox"',
    ),
  ];
}

function identityFindings(table: Identity, { columns, why }: Wanted): readonly Finding[] {
  const missing = columns.filter((column) => !table.columns.includes(column));
  if (missing.length === 0) return [];
  const has = table.columns.length > 0 ? table.columns.join(', ') : 'nothing';
  return [
    finding(
      'replica-identity',
      'fail',
      `The log tells old rows of ${table.quoted} by ${has}, without ${missing.join(', ')}: ${why} would be unknown after a delete${table.columns.length > 0 ? '' : ', and the server refuses updates and deletes of a published table without an identity'}.`,
      `ALTER TABLE ${table.quoted} REPLICA IDENTITY FULL`,
    ),
  ];
}

/** The log describes the root and fills in what the partition tells: both have to mean the same. */
function partitionFindings(root: Identity, partitions: readonly Identity[]): readonly Finding[] {
  if (partitions.length === 0) return [];
  const found: Finding[] = partitions
    .filter((one) => (one.kind === 'f') !== (root.kind === 'f') || !same(one.columns, root.columns))
    .map((one) =>
      finding(
        'partition-identity',
        'fail',
        `Partition ${one.quoted} tells old rows otherwise than ${root.quoted} does.`,
        `Give both the same: ALTER TABLE … REPLICA IDENTITY DEFAULT, or FULL`,
      ),
    );
  if (root.relationKind === 'p') {
    found.push(
      finding(
        'partition-detach',
        'warn',
        `${root.quoted} is partitioned: rows that come or go with ATTACH, DETACH, DROP or TRUNCATE of a single partition are not in the log.`,
        'Do none of these during the migration; delete or insert the rows instead.',
      ),
    );
  }
  return found;
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
