import type { Finding } from '../../store/index.ts';
import type { CatalogCollection, CatalogForeignKey, CatalogTable } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { finding } from './mysql-finding.ts';
import { actionsText } from './mysql-foreign-actions.ts';
import { grantsOf, privilegeFindings } from './mysql-inspect-privileges.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

type Role = 'authority' | 'follower';

/** Problems of one table; empty when there are none. */
export async function tableFindings(
  parts: MysqlStoreParts,
  role: Role,
  collection: CatalogCollection,
  table: CatalogTable,
): Promise<readonly Finding[]> {
  const kind = kindFindings(table);
  if (kind.length > 0) return kind;
  return [
    ...privilegeFindings(await grantsOf(parts.session), table),
    ...keyFindings(role, table),
    ...(role === 'follower' ? unfilledColumns(collection, table) : []),
    ...referenceFindings(parts, role, collection, table),
    ...(await childFindings(parts, collection, table)),
    ...(role === 'follower' ? await triggerFindings(parts, table) : []),
  ];
}

function kindFindings(table: CatalogTable): readonly Finding[] {
  if (table.kind === 'VIEW')
    return [
      finding('kind', 'fail', `${table.quoted} is a view.`, 'Name the table that holds the rows.'),
    ];
  if (table.kind === 'SYSTEM VERSIONED')
    return [
      finding(
        'kind',
        'fail',
        `${table.quoted} is system-versioned: its history would be written anew by every copy.`,
        `ALTER TABLE ${table.quoted} DROP SYSTEM VERSIONING`,
      ),
    ];
  if (table.engine?.toLowerCase() === 'innodb') return [];
  return [
    finding(
      'engine',
      'fail',
      `${table.quoted} is stored by ${table.engine ?? 'an unknown engine'}, which has no transactions: rows and fence could not commit together.`,
      `ALTER TABLE ${table.quoted} ENGINE = InnoDB`,
    ),
  ];
}

function keyFindings(role: Role, table: CatalogTable): readonly Finding[] {
  const found: Finding[] = [];
  for (const { quoted, collation, type } of table.key) {
    if (type.kind !== 'text' || type.folds !== true) continue;
    found.push(
      finding(
        'key-collation',
        'warn',
        `Key column ${quoted} of ${table.quoted} has collation ${collation}, in which different texts are equal ('Ada' and 'ADA'): ${
          role === 'follower'
            ? 'two records of the other side that differ only so would be one row here, and the later change would win.'
            : 'a record that is renamed so keeps its place, and the other side may take it for another record.'
        }`,
        `Make sure that keys are spelled in one way, or: ALTER TABLE ${table.quoted} MODIFY ${quoted} … COLLATE utf8mb4_bin`,
      ),
    );
  }
  return found;
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
  { logged }: MysqlStoreParts,
  role: Role,
  collection: CatalogCollection,
  table: CatalogTable,
): readonly Finding[] {
  const isLogged = logged.has(collection.collection);
  const own = ({ references }: CatalogForeignKey): boolean =>
    references === collection.root.quoted && table !== collection.root;
  return table.foreignKeys
    .filter((key) => !own(key))
    .flatMap((key) => {
      const action = actionsText(key);
      const name = quoteIdentifier(key.name);
      const drop = `ALTER TABLE ${table.quoted} DROP FOREIGN KEY ${name}, and add it again without ${action}`;
      if (role === 'authority') {
        // Of what is captured from the log `actionFindings` tells.
        if (action === '' || isLogged) return [];
        return [
          finding(
            'cascade',
            'warn',
            `A change in ${key.references} changes rows of ${table.quoted} inside InnoDB (${name}, ${action}): neither triggers nor the binary log nor the router see that.`,
            `${drop}; delete the referring rows by statements of their own. Or make sure that it never happens during the migration.`,
          ),
        ];
      }
      const found: Finding[] = [];
      if (!isLogged && key.references !== table.quoted) {
        found.push(
          finding(
            'foreign-key',
            'warn',
            `${table.quoted} refers to ${key.references} (${name}): changes of both arrive in any order, and those that come too early are retried.`,
            `Backfill the referred table first, or: ALTER TABLE ${table.quoted} DROP FOREIGN KEY ${name}, and add it again before the switch.`,
          ),
        );
      }
      return found;
    });
}

/** Children are looked up by their parent's key with every change. */
async function childFindings(
  { session }: MysqlStoreParts,
  collection: CatalogCollection,
  table: CatalogTable,
): Promise<readonly Finding[]> {
  const child = collection.children.find((one) => one === table);
  const [first] = child?.parent ?? [];
  if (child === undefined || first === undefined) return [];
  const { rows } = await session.query(
    `SELECT COUNT(*) FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = ${quoteLiteral(table.database)} AND s.TABLE_NAME = ${quoteLiteral(table.name)}
      AND s.SEQ_IN_INDEX = 1 AND s.COLUMN_NAME = ${quoteLiteral(first.name)}`,
    { what: `inspection of ${table.quoted}` },
  );
  if (rows[0]?.[0] !== '0') return [];
  const columns = child.parent.map(({ quoted }) => quoted).join(', ');
  return [
    finding(
      'child-index',
      'warn',
      `No index of ${table.quoted} begins with ${first.quoted}: each change of a record of "${collection.collection}" reads and locks the whole table.`,
      `CREATE INDEX changeover_parent ON ${table.quoted} (${columns})`,
    ),
  ];
}

/** What the authority's triggers have done arrives as changes; the same triggers here would do it again. */
async function triggerFindings(
  { session, layout }: MysqlStoreParts,
  table: CatalogTable,
): Promise<readonly Finding[]> {
  const { rows } = await session.query(
    `SELECT t.TRIGGER_NAME, t.ACTION_TIMING, t.EVENT_MANIPULATION FROM information_schema.TRIGGERS t
      WHERE t.EVENT_OBJECT_SCHEMA = ${quoteLiteral(table.database)} AND t.EVENT_OBJECT_TABLE = ${quoteLiteral(table.name)}
        AND LOCATE(${quoteLiteral(`${layout.quotedDatabase}.`)}, t.ACTION_STATEMENT) = 0 ORDER BY 1`,
    { what: `inspection of ${table.quoted}` },
  );
  return rows.map(([name, timing, event]) =>
    finding(
      'trigger',
      'warn',
      `Trigger ${quoteIdentifier(name ?? '')} (${timing} ${event}) of ${table.quoted} runs for the door's writes as well: what the other side's triggers have done arrives as changes, and would be done again.`,
      `Let it begin with: IF @changeover_owner IS NULL THEN … END IF; or drop it until the switch.`,
    ),
  );
}
