import { ChangeoverError } from '../../errors/index.ts';
import { type DataRecord, encodeKey, type Key, type Row, type Scalar } from '../../record/index.ts';
import type { AuthorityWrite } from '../../store/index.ts';
import type {
  CatalogChild,
  CatalogCollection,
  CatalogColumn,
  CatalogTable,
} from './mysql-catalog.ts';
import { keyAmong, keyEquals, spelledKey } from './mysql-key-sql.ts';
import { selectExpression, writeLiteral } from './mysql-literals.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import { quoteLiteral } from './mysql-text.ts';

/** A statement of a write. `rows`: it is a count, which has to answer this when the record exists afterwards. */
export interface WriteStatement {
  readonly text: string;
  readonly rows: number | null;
  /** For messages: what did not fit when the number is wrong. */
  readonly about: string;
}

const plain = (text: string): WriteStatement => ({ text, rows: null, about: '' });

/** Answers with the root's key as it is spelled, or nothing. */
export function lockRoot({ root }: CatalogCollection, key: Key): string {
  const list = root.key.map((column) => selectExpression(column, 't')).join(', ');
  return `SELECT ${list} FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', key)} FOR UPDATE`;
}

/** The rows of a write: root, then surplus children away, then children in. For `delete`: children, then root. */
export function rowStatements(
  collection: CatalogCollection,
  write: AuthorityWrite,
): readonly WriteStatement[] {
  const { root, children } = collection;
  if (write.action === 'delete') {
    const deletion = (table: CatalogTable, columns: readonly CatalogColumn[]): WriteStatement =>
      plain(`DELETE t FROM ${table.quoted} t WHERE ${keyEquals(columns, 't', write.key)}`);
    return [...children.map((child) => deletion(child, child.parent)), deletion(root, root.key)];
  }
  return [
    ...rootStatements(root, write, rootRow(collection, write.record)),
    ...children.flatMap((child) => {
      const rows = write.record[child.field];
      return Array.isArray(rows) ? childStatements(collection, child, write, rows) : [];
    }),
  ];
}

/** The given columns of the root, without the key (which the write names itself). */
function rootRow(collection: CatalogCollection, record: DataRecord): Row {
  const fields = new Set(collection.children.map(({ field }) => field));
  const key = new Set(collection.root.key.map(({ name }) => name));
  return Object.fromEntries(
    Object.entries(record).filter(([name]) => !fields.has(name) && !key.has(name)),
  ) as Row;
}

/** A column and the literal that goes there. */
interface Given {
  readonly column: CatalogColumn;
  readonly value: string;
}

function givenOf(table: CatalogTable, row: Row): readonly Given[] {
  return Object.keys(row).map((name) => {
    const column = columnOf(table, name);
    return { column, value: writeLiteral(column, row[name]) };
  });
}

export function columnOf(table: CatalogTable, name: string): CatalogColumn {
  const column = table.allColumns.find((one) => one.name === name);
  if (column) return column;
  throw new ChangeoverError(
    'STORE_REJECTED',
    `${table.quoted} has no column "${name}"; the record comes from the application or the transform.`,
    { data: { table: table.quoted, column: name } },
  );
}

function rootStatements(
  root: CatalogTable,
  write: AuthorityWrite,
  row: Row,
): readonly WriteStatement[] {
  const given = givenOf(root, row);
  const byKey = keyEquals(root.key, 't', write.key);
  const update = plain(updateText(root, given, byKey));
  if (write.action === 'update') return [update];
  const all = [...keyValues(root.key, write.key), ...given];
  if (canUpsert(root, all)) return [plain(upsertText(root, all, given, null, null))];
  const absent = `NOT EXISTS (SELECT 1 FROM ${root.quoted} t WHERE ${byKey})`;
  return [update, plain(insertText(root, all, absent))];
}

function keyValues(columns: readonly CatalogColumn[], key: Key): readonly Given[] {
  return columns.map((column, index) => ({ column, value: writeLiteral(column, key[index]) }));
}

/** Locks the row even when nothing is to be set: the version is drawn behind it. */
function updateText(table: CatalogTable, given: readonly Given[], condition: string): string {
  if (given.length === 0) return `SELECT 1 FROM ${table.quoted} t WHERE ${condition} FOR UPDATE`;
  const set = given.map(({ column, value }) => `t.${column.quoted} = ${value}`).join(', ');
  return `UPDATE ${table.quoted} t SET ${set} WHERE ${condition}`;
}

const names = (given: readonly Given[]): string =>
  given.map(({ column }) => column.quoted).join(', ');
const values = (given: readonly Given[]): string => given.map(({ value }) => value).join(', ');

function insertText(table: CatalogTable, all: readonly Given[], condition: string | null): string {
  if (condition === null)
    return `INSERT INTO ${table.quoted} (${names(all)}) VALUES (${values(all)})`;
  // A column without default that is not named is an error also where nothing is inserted; NULL is one only where it is.
  const missing = table.allColumns
    .filter((column) => needsValue(column) && !all.some((one) => one.column === column))
    .map((column) => ({ column, value: 'NULL' }));
  const whole = [...all, ...missing];
  return `INSERT INTO ${table.quoted} (${names(whole)}) SELECT ${values(whole)} FROM DUAL WHERE ${condition}`;
}

const needsValue = (column: CatalogColumn): boolean => !column.hasDefault && !column.generated;

/**
 * ON DUPLICATE KEY UPDATE takes whatever unique index is hit: with a second one it could change *another record's* row. And it wants every column that has no
 * default, also where it then updates.
 */
function canUpsert(table: CatalogTable, all: readonly Given[]): boolean {
  return (
    table.uniqueIndexes.length === 1 &&
    table.allColumns.every(
      (column) => !needsValue(column) || all.some((one) => one.column === column),
    )
  );
}

/** @param mine where the row that is there has to lie for being changed; null: anywhere */
function upsertText(
  table: CatalogTable,
  all: readonly Given[],
  settable: readonly Given[],
  mine: string | null,
  condition: string | null,
): string {
  const set = settable.map(({ column: { quoted } }) =>
    mine === null
      ? `${quoted} = VALUES(${quoted})`
      : `${quoted} = IF(${mine}, VALUES(${quoted}), ${table.quoted}.${quoted})`,
  );
  // Set to itself: the row has to be locked before the version is drawn.
  const any = table.key[0]?.quoted ?? '';
  if (set.length === 0) set.push(`${any} = ${table.quoted}.${any}`);
  return `${insertText(table, all, condition)} ON DUPLICATE KEY UPDATE ${set.join(', ')}`;
}

/** Replaces the whole set of a child: surplus rows away first (they may hold unique values), then the given ones in, row by row. */
function childStatements(
  collection: CatalogCollection,
  child: CatalogChild,
  write: AuthorityWrite,
  given: readonly Row[],
): readonly WriteStatement[] {
  const { root } = collection;
  const rows = given.map((row) => {
    const filled: Record<string, Scalar> = { ...row };
    // The key of the write decides whose rows these are, whatever the rows say.
    child.parent.forEach(({ name }, index) => {
      filled[name] = write.key[index] ?? null;
    });
    return filled;
  });
  const isKeyed = (row: Row): boolean =>
    child.key.every(({ name }) => row[name] !== undefined && row[name] !== null);
  const keyed = rows.filter(isKeyed);
  const keyIn = (row: Row): Key => child.key.map(({ name }) => row[name] ?? '');
  const mine = keyEquals(child.parent, 't', write.key);
  const exists =
    write.action === 'update'
      ? `EXISTS (SELECT 1 FROM ${root.quoted} r WHERE ${keyEquals(root.key, 'r', write.key)})`
      : null;
  const among = keyAmong(child.key, 't', keyed.map(keyIn));
  const also = exists === null ? '' : ` AND ${exists}`;
  const surplus = `DELETE t FROM ${child.quoted} t WHERE ${mine}${also} AND NOT ${among}`;
  const statements = [plain(surplus)];
  for (const row of rows) {
    const one = isKeyed(row) ? keyEquals(child.key, 't', keyIn(row)) : null;
    statements.push(...childRow(child, givenOf(child, row), one, mine, exists).map(plain));
  }
  const hasParent = child.parent.every((column) => child.key.includes(column));
  if (hasParent || keyed.length === 0) return statements;
  const count = `SELECT COUNT(*) FROM ${child.quoted} t WHERE ${mine} AND ${among}`;
  const about = `a row of "${child.field}" has the key of a row of another record`;
  return [...statements, { text: count, rows: keyed.length, about }];
}

/** One row in. Another record's row with the same key is not taken away from it. */
function childRow(
  child: CatalogChild,
  all: readonly Given[],
  byKey: string | null,
  mine: string,
  exists: string | null,
): readonly string[] {
  if (byKey === null) return [insertText(child, all, exists)];
  const settable = all.filter(
    ({ column }) => !child.key.includes(column) && !child.parent.includes(column),
  );
  if (canUpsert(child, all)) {
    const sameParent = child.parent
      .map(({ quoted }) => `${child.quoted}.${quoted} = VALUES(${quoted})`)
      .join(' AND ');
    return [upsertText(child, all, settable, sameParent, exists)];
  }
  const absent = `NOT EXISTS (SELECT 1 FROM ${child.quoted} t WHERE ${byKey} AND ${mine})`;
  return [
    updateText(child, settable, `${byKey} AND ${mine}`),
    insertText(child, all, exists === null ? absent : `${exists} AND ${absent}`),
  ];
}

/** What a row of the queue is called that only draws a number, and is gone before the transaction commits. */
const NUMBER = 'number';

/**
 * Draws the version of a write when the root row is locked: the number of the queue entry. A consumed intent has no entry: its row goes again (`forgetNumber`); with
 * the commit the counter is durable all the same, so no number is given out twice after a crash. Inserts nothing when there is no root.
 */
export function journalStatement(
  layout: MysqlLayout,
  { collection, root }: CatalogCollection,
  write: AuthorityWrite,
): string {
  const key = encodeKey(spelledKey(root.key, write.key));
  const kind = write.journal === 'change' ? 'change' : NUMBER;
  const due = `UTC_TIMESTAMP(6) + INTERVAL ${Math.round(write.graceMs * 1000)} MICROSECOND`;
  return `INSERT INTO ${layout.queue} (collection, key_text, kind, due_at) SELECT ${quoteLiteral(collection)}, ${quoteLiteral(key)}, '${kind}', ${due} FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', write.key)}`;
}

/** Draws one number for whatever the transaction has locked. */
export function drawNumber(layout: MysqlLayout, collection: string): string {
  return `INSERT INTO ${layout.queue} (collection, key_text, kind, due_at) VALUES (${quoteLiteral(collection)}, '[""]', '${NUMBER}', UTC_TIMESTAMP(6))`;
}

/** Takes the row away that `journalStatement` or `drawNumber` has just inserted for a number; nothing when it has not. */
export function forgetNumber(layout: MysqlLayout): string {
  return `DELETE FROM ${layout.queue} WHERE id = LAST_INSERT_ID() AND kind = '${NUMBER}'`;
}
