import type { DataRecord, Row, Scalar } from '../../record/index.ts';
import { canonicalValue } from './mysql-canonical-value.ts';
import type { CatalogCollection, CatalogColumn, CatalogTable } from './mysql-catalog.ts';
import { decodedValue, selectExpression, writeLiteral } from './mysql-literals.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteIdentifier } from './mysql-text.ts';
import { columnOf } from './mysql-write-sql.ts';

/** A row as it is being spelled; `spelled` is the object that ends in the record. */
interface PendingRow {
  readonly table: CatalogTable;
  readonly given: Row;
  readonly spelled: Record<string, Scalar>;
}

/**
 * The records as the server would give them back. What is certain is spelled here (`mysql-canonical-value`); rows with anything else are put into a temporary table
 * with columns of the same types and read again: the server itself rounds, pads, folds and converts. STORE_REJECTED for what it would refuse, and for a column that
 * the table has not. Children stay in the order given, they are paired by key.
 */
export async function canonicalRecords(
  session: MysqlSession,
  collection: CatalogCollection,
  records: readonly DataRecord[],
): Promise<readonly DataRecord[]> {
  const pending: PendingRow[] = [];
  const spell = (table: CatalogTable, given: Row): Row => {
    const spelled: Record<string, Scalar> = {};
    let certain = true;
    for (const [name, value] of Object.entries(given)) {
      const known = canonicalValue(columnOf(table, name), value);
      if (known === undefined) certain = false;
      spelled[name] = known ?? null;
    }
    if (!certain) pending.push({ table, given, spelled });
    return spelled;
  };
  const result = records.map((record) => spellRecord(collection, record, spell));
  for (const group of groupsOf(pending)) await askServer(session, collection, group);
  return result;
}

function spellRecord(
  collection: CatalogCollection,
  record: DataRecord,
  spell: (table: CatalogTable, row: Row) => Row,
): DataRecord {
  const fields = new Set(collection.children.map(({ field }) => field));
  const root = Object.fromEntries(
    Object.entries(record).filter(([name]) => !fields.has(name)),
  ) as Row;
  // What the server has to spell is filled in later, in the object that `spell` gives: so that object becomes the record.
  const target = spell(collection.root, root) as Record<string, Scalar | readonly Row[]>;
  for (const child of collection.children) {
    const rows = record[child.field];
    if (Array.isArray(rows)) {
      target[child.field] = rows.map((row: Row) =>
        spell(child, withParent(collection, child, record, row)),
      );
    }
  }
  return target;
}

/** The store fills the parent columns in by itself, so they are part of what it would give back. */
function withParent(
  collection: CatalogCollection,
  child: CatalogCollection['children'][number],
  record: DataRecord,
  row: Row,
): Row {
  const filled: Record<string, Scalar> = { ...row };
  child.parent.forEach(({ name }, index) => {
    const value = record[collection.root.key[index]?.name ?? ''];
    const carried = child.columns.some((column) => column.name === name);
    if (carried && filled[name] === undefined && typeof value === 'string') filled[name] = value;
  });
  return filled;
}

/** Rows of one table with the same columns. */
function groupsOf(rows: readonly PendingRow[]): Iterable<readonly PendingRow[]> {
  const groups = new Map<string, PendingRow[]>();
  for (const row of rows) {
    const id = JSON.stringify([row.table.quoted, ...Object.keys(row.given)]);
    const group = groups.get(id);
    if (group) group.push(row);
    else groups.set(id, [row]);
  }
  return groups.values();
}

async function askServer(
  session: MysqlSession,
  collection: CatalogCollection,
  rows: readonly PendingRow[],
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const { table } = first;
  const columns = Object.keys(first.given).map((name) => columnOf(table, name));
  const place = `${quoteIdentifier(table.database)}.changeover_spelling`;
  const names = columns.map((_, index) => `c${index}`);
  const types = columns.map((column, index) => `c${index} ${declaration(column)}`);
  const lines = rows.map(
    ({ given }, index) =>
      `(${[index, ...columns.map((column) => writeLiteral(column, given[column.name]))].join(', ')})`,
  );
  const list = columns.map((column, index) =>
    selectExpression({ ...column, quoted: `c${index}` }, 't'),
  );
  const results = await session.run(
    [
      `DROP TEMPORARY TABLE IF EXISTS ${place}`,
      `CREATE TEMPORARY TABLE ${place} (n int NOT NULL PRIMARY KEY, ${types.join(', ')})`,
      `INSERT INTO ${place} (n, ${names.join(', ')}) VALUES ${lines.join(', ')}`,
      `SELECT ${list.join(', ')} FROM ${place} t ORDER BY n`,
      `DROP TEMPORARY TABLE ${place}`,
    ],
    { what: `spelling of "${collection.collection}"` },
  );
  const answers = results[3]?.rows ?? [];
  rows.forEach(({ spelled }, index) => {
    columns.forEach((column, at) => {
      spelled[column.name] = decodedValue(column, answers[index]?.[at] ?? null);
    });
  });
}

/** The type alone, nullable: constraints, defaults and references do not matter here. */
function declaration({ type, charset, collation }: CatalogColumn): string {
  const text =
    charset === null || collation === null ? '' : ` CHARACTER SET ${charset} COLLATE ${collation}`;
  return `${type.declared}${text} NULL`;
}
