import type { Finding } from '../../store/index.ts';
import type { CatalogTable } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { finding, pass } from './mysql-finding.ts';
import { quoteIdentifier } from './mysql-text.ts';

/** What the session's user may do, by itself. */
export interface Grants {
  /** `'app'@'%'`. */
  readonly user: string;
  /** A role is active: what it grants is not in these lists. */
  readonly roles: boolean;
  readonly global: ReadonlySet<string>;
  /** Privileges on a database. */
  database(name: string): ReadonlySet<string>;
  /** How a GRANT on this database has to spell it: as the one that is there, for of several that match the server looks at the most specific only. */
  spelled(name: string): string;
  table(database: string, name: string): ReadonlySet<string>;
}

export async function grantsOf(session: MysqlStoreParts['session']): Promise<Grants> {
  const me = `CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')`;
  const [user, role, global, schemas, tables] = await session.run(
    [
      `SELECT ${me}`,
      'SELECT CURRENT_ROLE()',
      `SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = ${me}`,
      `SELECT TABLE_SCHEMA, PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = ${me}`,
      `SELECT TABLE_SCHEMA, TABLE_NAME, PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES WHERE GRANTEE = ${me}`,
    ],
    { what: 'inspection of privileges' },
  );
  const all = new Set((global?.rows ?? []).map(([one]) => one ?? ''));
  const entries = (schemas?.rows ?? []).map(
    ([pattern, one]) => [pattern ?? '', one ?? ''] as const,
  );
  const entry = (name: string): string | undefined =>
    [...new Set(entries.map(([pattern]) => pattern))]
      .filter((pattern) => matches(pattern, name))
      .sort((a, b) => literalPart(b) - literalPart(a))[0];
  const database = (name: string): ReadonlySet<string> => {
    const specific = entry(name);
    return new Set([
      ...all,
      ...entries.flatMap(([pattern, one]) => (pattern === specific ? [one] : [])),
    ]);
  };
  const active = role?.rows[0]?.[0] ?? null;
  return {
    user: user?.rows[0]?.[0] ?? '',
    roles: active !== null && active !== 'NONE',
    global: all,
    database,
    spelled: (name) => quoteIdentifier(entry(name) ?? name.replace(/[_%]/g, '\\$&')),
    table: (schema, name) =>
      new Set([
        ...database(schema),
        ...(tables?.rows ?? []).flatMap(([one, table, privilege]) =>
          one === schema && table === name ? [privilege ?? ''] : [],
        ),
      ]),
  };
}

/** How far a pattern goes without a wildcard: the server prefers the longer. */
function literalPart(pattern: string): number {
  const at = pattern.search(/(?<!\\)[%_]/);
  return at < 0 ? Number.POSITIVE_INFINITY : at;
}

/** Database names in grants are patterns of LIKE. */
function matches(pattern: string, name: string): boolean {
  const source = pattern.replace(/\\?[\s\S]/g, (part) => {
    if (part === '%') return '.*';
    if (part === '_') return '.';
    return (part.length > 1 ? part.slice(1) : part).replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 's').test(name);
}

const OWN = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'CREATE',
  'DROP',
  'EXECUTE',
  'CREATE ROUTINE',
  'LOCK TABLES',
];

/** May our database be made and used? */
export function ownDatabaseFindings(
  { layout }: MysqlStoreParts,
  grants: Grants,
): readonly Finding[] {
  const held = grants.database(layout.database);
  const missing = OWN.filter((one) => !held.has(one));
  if (missing.length === 0)
    return [pass('own-database', `${grants.user} may create and use ${layout.quotedDatabase}.`)];
  return [
    finding(
      'own-database',
      grants.roles ? 'unknown' : 'fail',
      `${grants.user} lacks ${missing.join(', ')} on our database ${layout.quotedDatabase}${grants.roles ? ', unless its role has them' : ''}.`,
      `GRANT ALL PRIVILEGES ON ${grants.spelled(layout.database)}.* TO ${grants.user}`,
    ),
  ];
}

/** What a migration does with a table, and the privilege for the drain, which is one of the database. */
export function privilegeFindings(grants: Grants, table: CatalogTable): readonly Finding[] {
  const held = grants.table(table.database, table.name);
  const missing = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRIGGER'].filter(
    (one) => !held.has(one),
  );
  const found: Finding[] = [];
  const verdict = grants.roles ? 'unknown' : 'fail';
  if (missing.length > 0) {
    found.push(
      finding(
        'privilege',
        verdict,
        `${grants.user} lacks ${missing.join(', ')} on ${table.quoted}.`,
        `GRANT ${missing.join(', ')} ON ${table.quoted} TO ${grants.user}`,
      ),
    );
  }
  if (!grants.database(table.database).has('LOCK TABLES')) {
    found.push(
      finding(
        'lock-privilege',
        verdict,
        `${grants.user} lacks LOCK TABLES on the database of ${table.quoted}: the guard could not wait for writers that do not use this library.`,
        `GRANT LOCK TABLES ON ${grants.spelled(table.database)}.* TO ${grants.user}`,
      ),
    );
  }
  if (table.allColumns.some(({ autoIncrement }) => autoIncrement) && !held.has('ALTER')) {
    found.push(
      finding(
        'alter-privilege',
        'warn',
        `${grants.user} lacks ALTER on ${table.quoted}: the switch of writes has to set its AUTO_INCREMENT past the other side's, and is given up when it may not.`,
        `GRANT ALTER ON ${table.quoted} TO ${grants.user}`,
      ),
    );
  }
  return found;
}
