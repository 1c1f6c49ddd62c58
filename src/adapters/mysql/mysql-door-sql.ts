import { encodeKey, type Key } from '../../record/index.ts';
import type {
  CatalogChild,
  CatalogCollection,
  CatalogColumn,
  CatalogTable,
} from './mysql-catalog.ts';
import type { ChildRows, RowGroup } from './mysql-door-rows.ts';
import { comparableKey, keyAmong, keyEquals } from './mysql-key-sql.ts';
import { decodedValue, selectExpression, writeLiteral } from './mysql-literals.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteIdentifier } from './mysql-text.ts';

/** Keys in one statement. */
const KEYS_MAX = 500;
/** Rows, and characters of values, in one statement. */
const ROWS_MAX = 1_000;
const STATEMENT_CHARACTERS_MAX = 1_000_000;

function keyBatches(keys: readonly Key[]): readonly (readonly Key[])[] {
  const found: (readonly Key[])[] = [];
  for (let at = 0; at < keys.length; at += KEYS_MAX) found.push(keys.slice(at, at + KEYS_MAX));
  return found;
}

/** Looks names up by one index and no other: a scan would wait for rows that others have locked. */
const byKey = (table: CatalogTable): string =>
  `FORCE INDEX (${quoteIdentifier(table.keyIndex.name)})`;

/** Looks which of these records exist, for `presentIn`. Locks nothing. */
export function lookForKeys({ root }: CatalogCollection, keys: readonly Key[]): readonly string[] {
  if (folds(root)) {
    return keyBatches(keys).map((some) =>
      some
        .map(
          (key, at) => `SELECT ${at} FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', key)}`,
        )
        .join(' UNION ALL '),
    );
  }
  const list = root.key.map((column) => selectExpression(column, 't')).join(', ');
  return keyBatches(keys).map(
    (some) => `SELECT ${list} FROM ${root.quoted} t WHERE ${keyAmong(root.key, 't', some)}`,
  );
}

/** Those of the keys whose records exist, encoded. A folding key is present when any spelling of it is. */
export function presentIn(
  { root }: CatalogCollection,
  keys: readonly Key[],
  results: readonly SqlResult[],
): ReadonlySet<string> {
  if (folds(root)) {
    const batches = keyBatches(keys);
    return new Set(
      results.flatMap(({ rows }, batch) =>
        rows.map(([at]) => encodeKey(batches[batch]?.[Number(at)] ?? [])),
      ),
    );
  }
  const comparable = (key: Key): string => encodeKey(comparableKey(root.key, key));
  const found = new Set(
    results
      .flatMap(({ rows }) => rows)
      .map((row) =>
        comparable(root.key.map((column, at) => decodedValue(column, row[at] ?? null) ?? '')),
      ),
  );
  return new Set(keys.filter((key) => found.has(comparable(key))).map((key) => encodeKey(key)));
}

const folds = ({ key }: CatalogTable): boolean => key.some(({ type }) => type.folds === true);

/** Deletes children, then roots of these keys. */
export function deleteRecords(
  { root, children }: CatalogCollection,
  keys: readonly Key[],
): readonly string[] {
  return keyBatches(keys).flatMap((some) => [
    ...children.map(
      (child) => `DELETE t FROM ${child.quoted} t WHERE ${keyAmong(child.parent, 't', some)}`,
    ),
    `DELETE t FROM ${root.quoted} t ${byKey(root)} WHERE ${keyAmong(root.key, 't', some)}`,
  ]);
}

/**
 * Inserts or updates rows. MySQL's upsert takes a conflict on *any* unique index for the record's own row: a row that is not the record's
 * own raises error 1690 here (`asDoorError`), instead of being overwritten.
 */
export function upsertRows(table: CatalogTable, group: RowGroup): readonly string[] {
  const given = new Set(group.columns.map(({ name }) => name));
  const sets = group.columns
    .filter((column) => !isKey(table, column))
    .map(({ quoted }) => `${quoted} = VALUES(${quoted})`);
  for (const { name, quoted, onUpdateNow } of table.allColumns)
    if (onUpdateNow && !given.has(name)) sets.push(`${quoted} = ${quoted}`);
  return insertRows(table, group, [...keySets(table, group), ...sets]);
}

/** Inserts rows that are absent, and locks those that are there. */
export function insertOrLockRows(table: CatalogTable, group: RowGroup): readonly string[] {
  return insertRows(table, group, keySets(table, group));
}

/** Inserts rows; error 1062 when one of them is there. */
export function insertNewRows(table: CatalogTable, group: RowGroup): readonly string[] {
  return insertRows(table, group, []);
}

function insertRows(
  table: CatalogTable,
  { columns, rows }: RowGroup,
  sets: readonly string[],
): readonly string[] {
  const names = columns.map(({ quoted }) => quoted).join(', ');
  const update = sets.length === 0 ? '' : ` ON DUPLICATE KEY UPDATE ${sets.join(', ')}`;
  const statements: string[] = [];
  let values: string[] = [];
  let characters = 0;
  const flush = (): void => {
    if (values.length === 0) return;
    statements.push(`INSERT INTO ${table.quoted} (${names}) VALUES ${values.join(', ')}${update}`);
    values = [];
    characters = 0;
  };
  for (const row of rows) {
    const text = `(${columns.map((column, at) => writeLiteral(column, row[at])).join(', ')})`;
    if (values.length >= ROWS_MAX || characters + text.length > STATEMENT_CHARACTERS_MAX) flush();
    values.push(text);
    characters += text.length;
  }
  flush();
  return statements;
}

/** What an upsert does to the key: takes over the spelling where several are equal, and refuses rows of others. Comes first: later sets see what earlier ones have done. */
function keySets(table: CatalogTable, group: RowGroup): readonly string[] {
  const key = table.key.filter((one) => group.columns.some(({ name }) => name === one.name));
  const [first] = key;
  if (first === undefined || key.length < table.key.length) {
    const any = first?.quoted ?? group.columns[0]?.quoted;
    return [`${any} = ${any}`];
  }
  const value = (column: CatalogColumn): string =>
    hasSpellings(column) ? `VALUES(${column.quoted})` : column.quoted;
  const own = key.map(({ quoted }) => `${quoted} = VALUES(${quoted})`).join(' AND ');
  // Always, not only where other unique indexes are known: those on prefixes and expressions count as well. The error is an overflow that is only computed
  // where it is wanted; a subquery of two rows would do, and slow each row down. Its type does not show: a UUID goes with no number.
  const kept = value(first);
  const overflow = `IF(~0 + (VALUES(${first.quoted}) IS NOT NULL), ${kept}, ${kept})`;
  const sets = [`${first.quoted} = IF(${own}, ${kept}, ${overflow})`];
  for (const column of key.slice(1))
    if (hasSpellings(column)) sets.push(`${column.quoted} = VALUES(${column.quoted})`);
  return sets;
}

/** Texts of a column that are equal to its index and differ all the same. */
const hasSpellings = ({ type, noPad }: CatalogColumn): boolean =>
  type.kind === 'text' && (type.folds === true || !noPad);

const isKey = (table: CatalogTable, column: CatalogColumn): boolean =>
  table.key.some(({ name }) => name === column.name);

/** Deletes the child rows of these roots that are not among the rows to be written. */
export function deleteSurplus({ child, roots, groups }: ChildRows): readonly string[] {
  const kept = keptKeys(child, groups);
  const parentAt = child.parent.map(({ name }) =>
    child.key.findIndex((column) => column.name === name),
  );
  // Of a child whose key holds its parent's, a root keeps only rows of its own: the list stays short.
  const own = parentAt.every((at) => at >= 0);
  return keyBatches(roots).map((some) => {
    const wanted = new Set(some.map((key) => encodeKey(key)));
    const keep = own
      ? kept.filter((key) => wanted.has(encodeKey(parentAt.map((at) => key[at] ?? ''))))
      : kept;
    const but = keep.length === 0 ? '' : ` AND NOT ${keyAmong(child.key, 't', keep)}`;
    return `DELETE t FROM ${child.quoted} t WHERE ${keyAmong(child.parent, 't', some)}${but}`;
  });
}

function keptKeys(child: CatalogChild, groups: readonly RowGroup[]): readonly Key[] {
  return groups.flatMap(({ columns, rows }) => {
    const at = child.key.map(({ name }) => columns.findIndex((column) => column.name === name));
    if (at.includes(-1)) return [];
    return rows.map((row) => at.map((index) => row[index] ?? ''));
  });
}
