import type { Finding, InspectPlan } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn, CatalogTable } from './postgres-catalog.ts';
import { finding, pass } from './postgres-finding.ts';
import { deferralFindings, ownershipFindings } from './postgres-inspect-ownership.ts';
import { triggerFindings } from './postgres-inspect-triggers.ts';
import { quoteIdentifier } from './postgres-text.ts';
import type { WriteParts } from './postgres-write.ts';

/** May our schema be created, or is it there and ours? */
export async function schemaFindings({ session, layout }: WriteParts): Promise<readonly Finding[]> {
  const { rows } = await session.query(
    `SELECT current_user, current_database(), has_database_privilege(current_database(), 'CREATE'),
      (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1),
      (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = $1)`,
    [layout.schema],
    { what: 'inspection of privileges' },
  );
  const [user, database, mayCreate, owner, owns] = rows[0] ?? [];
  const name = quoteIdentifier(user ?? '');
  if (owner !== null && owner !== undefined) {
    if (owns === 't') return [pass('schema', `Schema ${layout.quotedSchema} is installed.`)];
    return [
      finding(
        'schema',
        'fail',
        `Schema ${layout.quotedSchema} belongs to "${owner}", not to "${user}".`,
        `ALTER SCHEMA ${layout.quotedSchema} OWNER TO ${name}`,
      ),
    ];
  }
  if (mayCreate === 't') return [pass('schema', `"${user}" may create our schema.`)];
  return [
    finding(
      'create-privilege',
      'fail',
      `"${user}" may not create a schema in database "${database}".`,
      `GRANT CREATE ON DATABASE ${quoteIdentifier(database ?? '')} TO ${name}`,
    ),
  ];
}

interface TablePrivileges {
  readonly user: string;
  /** Privileges that are missing. */
  readonly missing: readonly string[];
  readonly rowSecurity: boolean;
  readonly defaultCollationIsC: boolean;
  readonly unlogged: boolean;
}

async function privileges({ session }: WriteParts, table: CatalogTable): Promise<TablePrivileges> {
  const wanted = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRIGGER'];
  const list = wanted.map((one) => `has_table_privilege($1::oid, '${one}')`).join(', ');
  const { rows } = await session.query(
    `SELECT current_user,
      c.relrowsecurity AND NOT (pg_has_role(c.relowner, 'USAGE') AND NOT c.relforcerowsecurity)
        AND NOT (SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = current_user),
      (SELECT datcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8') FROM pg_database WHERE datname = current_database()),
      c.relpersistence = 'u',
      ${list}
     FROM pg_class c WHERE c.oid = $1::oid`,
    [table.oid],
    { what: `inspection of ${table.quoted}` },
  );
  const [user, rowSecurity, defaultCollationIsC, unlogged, ...granted] = rows[0] ?? [];
  return {
    user: user ?? '',
    rowSecurity: rowSecurity === 't',
    defaultCollationIsC: defaultCollationIsC === 't',
    unlogged: unlogged === 't',
    missing: wanted.filter((_, index) => granted[index] !== 't'),
  };
}

/** Problems of one table; empty when there are none. */
export async function tableFindings(
  parts: WriteParts,
  role: 'authority' | 'follower',
  collection: CatalogCollection,
  table: CatalogTable,
  plan: InspectPlan,
): Promise<readonly Finding[]> {
  const facts = await privileges(parts, table);
  return [
    ...privilegeFindings(facts, table),
    ...(await ownershipFindings(parts, table)),
    ...(role === 'follower' ? await deferralFindings(parts, table, plan) : []),
    ...kindFindings(table),
    ...unloggedFindings(parts, facts, collection, table),
    ...(role === 'follower' ? await triggerFindings(parts, table) : []),
    ...keyFindings(facts, table),
    ...(role === 'follower' ? unfilledColumns(collection, table) : []),
    // The log holds what cascades do; only who captures writes of the application misses it.
    ...(parts.logged.has(collection.collection)
      ? role === 'authority'
        ? []
        : await loggedReferences(parts, collection, table)
      : referenceFindings(role, collection, table)),
  ];
}

function privilegeFindings(facts: TablePrivileges, table: CatalogTable): readonly Finding[] {
  const found: Finding[] = [];
  const user = quoteIdentifier(facts.user);
  if (facts.missing.length > 0) {
    found.push(
      finding(
        'privilege',
        'fail',
        `"${facts.user}" lacks ${facts.missing.join(', ')} on ${table.quoted}.`,
        `GRANT ${facts.missing.join(', ')} ON ${table.quoted} TO ${user}`,
      ),
    );
  }
  if (facts.rowSecurity) {
    found.push(
      finding(
        'row-security',
        'fail',
        `Row-level security applies to "${facts.user}" on ${table.quoted}: whoever sees only some rows would copy some, and "prove" a partial copy. So the server is asked to refuse such reads.`,
        `ALTER ROLE ${user} BYPASSRLS`,
      ),
    );
  }
  return found;
}

/** Of what is captured from the log `logFindings` tells, with its own reason. */
function unloggedFindings(
  { logged }: WriteParts,
  { unlogged }: TablePrivileges,
  { collection }: CatalogCollection,
  { quoted }: CatalogTable,
): readonly Finding[] {
  if (!unlogged || logged.has(collection)) return [];
  const message = `${quoted} is UNLOGGED: a crash of the server empties it, and nobody would be told.`;
  return [finding('unlogged', 'fail', message, `ALTER TABLE ${quoted} SET LOGGED`)];
}

const kindNames: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialised view',
  f: 'a foreign table',
};

function kindFindings(table: CatalogTable): readonly Finding[] {
  const found: Finding[] = [];
  const kind = kindNames[table.kind];
  if (kind) {
    found.push(
      finding('kind', 'fail', `${table.quoted} is ${kind}.`, 'Name the table that holds the rows.'),
    );
  }
  if (table.inheritors > 0) {
    found.push(
      finding(
        'inheritance',
        'fail',
        `${table.inheritors} tables inherit from ${table.quoted} (INHERITS): their rows show in it, but its keys and triggers do not reach them.`,
        'Turn them into partitions, or migrate each table by itself.',
      ),
    );
  }
  if (table.kind === 'p') {
    found.push(
      finding(
        'partitions',
        'warn',
        `${table.quoted} is partitioned: TRUNCATE of a single partition is not captured.`,
        'Delete the rows instead, or truncate the partitioned table.',
      ),
    );
  }
  return found;
}

function keyFindings(facts: TablePrivileges, table: CatalogTable): readonly Finding[] {
  const found: Finding[] = [];
  for (const column of table.key) {
    if (column.nondeterministic) {
      found.push(
        finding(
          'key-collation',
          'fail',
          `Key column ${column.quoted} of ${table.quoted} treats different texts as equal.`,
          `Give the column a deterministic collation (for citext: type text).`,
        ),
      );
    }
  }
  for (const column of table.key.filter(hasManySpellings)) {
    found.push(
      finding(
        'key-spelling',
        'warn',
        `Key column ${column.quoted} of ${table.quoted} is ${column.type}, which has several texts for one value (1.0 and 1.00): a record that is deleted and inserted again under another of them may be lost on the other side.`,
        `Make sure that each value is written in one way only, or give the column another type (numeric: with a scale).`,
      ),
    );
  }
  const text = table.key.filter(({ collatable }) => collatable);
  if (text.length > 0 && !facts.defaultCollationIsC) {
    const list = table.key
      .map(({ quoted, collatable }) => (collatable ? `${quoted} COLLATE "C"` : quoted))
      .join(', ');
    found.push(
      finding(
        'key-order',
        'warn',
        `Keys of ${table.quoted} are text and the database does not order bytewise: each scan sorts the table unless an index helps.`,
        `CREATE INDEX CONCURRENTLY ON ${table.quoted} (${list})`,
      ),
    );
  }
  return found;
}

/** Types whose equality is coarser than their text. Fences go by the text. */
function hasManySpellings({ castType, type }: CatalogColumn): boolean {
  if (castType === 'numeric') return !type.includes('(');
  return ['double precision', 'real', 'interval', 'jsonb'].includes(castType);
}

/** Columns that every inserted row needs and that the shape does not carry. */
function unfilledColumns(collection: CatalogCollection, table: CatalogTable): readonly Finding[] {
  return table.allColumns
    .filter(
      (column) =>
        column.notNull &&
        !column.hasDefault &&
        !column.generated &&
        !table.columns.some(({ name }) => name === column.name),
    )
    .map((column) =>
      finding(
        'not-null',
        'fail',
        `${table.quoted}.${column.quoted} is NOT NULL without default, and "${collection.collection}" does not carry it.`,
        `Add "${column.name}" to the columns, or: ALTER TABLE ${table.quoted} ALTER ${column.quoted} SET DEFAULT …`,
      ),
    );
}

/** References to what travels in the same record are no matter: its rows are written together, the root first. */
function referenceFindings(
  role: 'authority' | 'follower',
  collection: CatalogCollection,
  table: CatalogTable,
): readonly Finding[] {
  if (role === 'authority') return cascadeFindings(collection, table);
  return table.foreignKeys
    .filter(({ references }) => references !== table.quoted)
    .filter(({ references }) => references !== collection.root.quoted)
    .map((key) =>
      finding(
        'foreign-key',
        'warn',
        `${table.quoted} refers to ${key.references} (${quoteIdentifier(key.name)}): changes of both arrive in any order, and those that come too early are retried.`,
        key.deferrable
          ? 'Nothing; backfill the referred table first.'
          : `Backfill the referred table first, or: ALTER TABLE ${table.quoted} DROP CONSTRAINT ${quoteIdentifier(key.name)}, and add it again NOT VALID + VALIDATE before the switch.`,
      ),
    );
}

/** What the log brings is written in the order of the configuration: a reference to what stands before it is no matter. */
async function loggedReferences(
  { catalog, logged }: WriteParts,
  collection: CatalogCollection,
  table: CatalogTable,
): Promise<readonly Finding[]> {
  const earlier = new Set([table.quoted]);
  const unique = new Set<string>();
  for (const name of catalog.collections) {
    // One that cannot be looked up is a finding of its own.
    const one = await catalog.collection(name).catch(() => null);
    if (one !== null && one.root.uniqueIndexes.length > 1) unique.add(one.root.quoted);
  }
  for (const name of catalog.collections) {
    if (!logged.has(name)) continue;
    const { root, children } = await catalog.collection(name);
    for (const { quoted } of [root, ...children]) earlier.add(quoted);
    if (name === collection.collection) break;
  }
  // A changed key comes as a delete and an insert; see `postgres-log-door.ts`.
  const takes = table.foreignKeys
    .filter(({ references, onDelete }) => onDelete === 'cascade' && unique.has(references))
    .filter(({ references }) => table === collection.root || references !== collection.root.quoted)
    .map(({ name, references }) =>
      finding(
        'cascade',
        'warn',
        `${table.quoted} refers to ${references} with ON DELETE CASCADE (${quoteIdentifier(name)}). What the other side deletes so arrives by itself; but a record of ${references} that gets another key there, and keeps a unique value, has to be deleted here first, and this action would take rows with it that are not all sent again.`,
        `If keys of ${references} are ever changed: ALTER TABLE ${table.quoted} DROP CONSTRAINT ${quoteIdentifier(name)}, and add it without ON DELETE CASCADE, DEFERRABLE, until the switch.`,
      ),
    );
  const late = table.foreignKeys
    .filter(({ references, deferrable }) => !deferrable && !earlier.has(references))
    .map(({ name, references }) =>
      finding(
        'foreign-key',
        'warn',
        `${table.quoted} refers to ${references} (${quoteIdentifier(name)}), whose changes are written after those of "${collection.collection}", or by somebody else: those that come too early wait in the queue and are tried again.`,
        `Put its collection before "${collection.collection}" in the configuration, with the same capture. In a cycle: ALTER TABLE ${table.quoted} ALTER CONSTRAINT ${quoteIdentifier(name)} DEFERRABLE INITIALLY DEFERRED.`,
      ),
    );
  return [...takes, ...late];
}

/** What a foreign key changes by itself is no write of the record that was named. Children go with their own root. */
function cascadeFindings(collection: CatalogCollection, table: CatalogTable): readonly Finding[] {
  const ownParent = (references: string): boolean =>
    table !== collection.root && references === collection.root.quoted;
  return table.foreignKeys
    .filter(({ onDelete }) => onDelete !== 'no action' && onDelete !== 'restrict')
    .filter(({ references }) => !ownParent(references))
    .map((key) =>
      finding(
        'cascade',
        'warn',
        `A delete in ${key.references} changes rows of ${table.quoted} by itself (${quoteIdentifier(key.name)}, ON DELETE ${key.onDelete.toUpperCase()}): of these the router knows nothing, only a trigger does.`,
        `Declare capture "outbox" for "${collection.collection}", or delete its records by their keys first.`,
      ),
    );
}
