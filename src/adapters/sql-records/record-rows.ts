import { type DataRecord, encodeKey, type Key, type Row, type Scalar } from '../../record/index.ts';
import type { StoredRecord } from '../../store/index.ts';
import type { SqlCollection } from './sql-tables.ts';

/** The key of a root row, as the store spells it. */
export function keyOfRow(collection: SqlCollection, row: Row): Key {
  return collection.root.key.map(({ name }) => row[name] ?? '');
}

/** Rows of one child, by group: the first `prefix` values of each line say which record it belongs to, `rowOf` makes the row of the others. */
export function groupChildren<Child>(
  child: Child,
  lines: readonly (readonly Scalar[])[],
  prefix: number,
  rowOf: (child: Child, line: readonly Scalar[], from: number) => Row,
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
  collection: SqlCollection,
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

export function storedRecord(collection: SqlCollection, record: DataRecord): StoredRecord {
  return { key: keyOfRow(collection, record as Row), record };
}
