import { type DataRecord, encodeKey, type Key, type Row, type Scalar } from '../../record/index.ts';
import type { StoredRecord } from '../../store/index.ts';
import type { CatalogChild, CatalogCollection, CatalogTable } from './mysql-catalog.ts';
import { keyOrder } from './mysql-key-sql.ts';
import { decodedValue, selectExpression } from './mysql-literals.ts';

/** The columns that a table's rows are read with, in the order that `rowOf` expects. */
export function selectList(table: CatalogTable, alias: string): string {
  return table.columns.map((column) => selectExpression(column, alias)).join(', ');
}

/** Child rows come in the order of their keys, so that equal records read equal. */
export function childOrder(child: CatalogChild, alias: string): string {
  return keyOrder(child.key, alias);
}

/** A row object from values that begin at `from`. */
export function rowOf(table: CatalogTable, values: readonly Scalar[], from: number): Row {
  const row: Record<string, Scalar> = {};
  const { columns } = table;
  for (let index = 0; index < columns.length; index += 1) {
    const column = columns[index];
    if (column) row[column.name] = decodedValue(column, values[from + index] ?? null);
  }
  return row;
}

/** The key of a root row, as the store spells it. */
export function keyOfRow(collection: CatalogCollection, row: Row): Key {
  return collection.root.key.map(({ name }) => row[name] ?? '');
}

/** Rows of one child, by group: the first `prefix` values of each line say which record it belongs to. */
export function groupChildren(
  child: CatalogChild,
  lines: readonly (readonly Scalar[])[],
  prefix: number,
): ReadonlyMap<string, readonly Row[]> {
  const groups = new Map<string, Row[]>();
  for (const line of lines) {
    const id = prefix === 1 ? (line[0] ?? '') : encodeKey(line.slice(0, prefix) as Key);
    const row = rowOf(child, line, prefix);
    const group = groups.get(id);
    if (group) group.push(row);
    else groups.set(id, [row]);
  }
  return groups;
}

/** The id under which `groupChildren` files the rows of a key. */
export function groupId(key: Key): string {
  return key.length === 1 ? (key[0] ?? '') : encodeKey(key);
}

/** Root row and children in one record. Every child field is there, empty when it has no rows. */
export function withChildren(
  collection: CatalogCollection,
  root: Row,
  groups: readonly ReadonlyMap<string, readonly Row[]>[],
  id: string,
): DataRecord {
  if (collection.children.length === 0) return root;
  const record: Record<string, Scalar | readonly Row[]> = { ...root };
  collection.children.forEach((child, index) => {
    record[child.field] = groups[index]?.get(id) ?? [];
  });
  return record;
}

export function storedRecord(collection: CatalogCollection, record: DataRecord): StoredRecord {
  return { key: keyOfRow(collection, record as Row), record };
}
