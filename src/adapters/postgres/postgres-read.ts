import { ChangeoverError } from '../../errors/index.ts';
import type { DataRecord, Key, Scalar, Version } from '../../record/index.ts';
import type { KeyRange, ReadAnswer, StoredRecord } from '../../store/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import type { SqlResult, Statement } from './postgres-flight.ts';
import {
  keyColumns,
  keyElements,
  keyEquals,
  keyOrder,
  keyParameters,
  keyRange,
  keySpelling,
  keyText,
  keyUnnest,
} from './postgres-key-sql.ts';
import {
  childOrder,
  groupChildren,
  groupId,
  keyOfRow,
  rowOf,
  selectList,
  withChildren,
} from './postgres-rows.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import { quoteLiteral, textArray } from './postgres-text.ts';

/** KEY_INVALID for a key with a wrong number of parts; the server would only see a malformed message. */
export function checkKeys(collection: CatalogCollection, keys: readonly Key[]): void {
  const { length } = collection.root.key;
  const wrong = keys.find((key) => key.length !== length);
  if (wrong === undefined) return;
  throw new ChangeoverError(
    'KEY_INVALID',
    `A key of "${collection.collection}" has ${length} parts, ${wrong.length} given.`,
  );
}

/** `unnest` of keys with its values; the alias is `k`, its ordinal `k.n`. */
function keyList(
  collection: CatalogCollection,
  keys: readonly Key[],
): { readonly from: string; readonly elements: readonly string[]; readonly values: string[] } {
  const { key } = collection.root;
  return {
    from: keyUnnest(key.length, 1, 'k'),
    elements: keyElements(key, 'k'),
    values: keyColumns(keys, key.length).map((column) => textArray(column)),
  };
}

/** Root and children of these keys, one statement for each table; each line begins with the ordinal of its key. */
export function readStatements(
  collection: CatalogCollection,
  keys: readonly Key[],
): readonly Statement[] {
  const { root, children } = collection;
  // One key, the common case, needs no join: half the time on the server.
  const one = keys.length === 1;
  const list = keyList(collection, keys);
  const elements = one ? keyParameters(root.key, 1) : list.elements;
  const values = one ? (keys[0] as Key) : list.values;
  const ordinal = one ? '1' : 'k.n';
  const from = (table: string, equals: string): string =>
    one ? `FROM ${table} t WHERE ${equals}` : `FROM ${list.from} JOIN ${table} t ON ${equals}`;
  const rootText = `SELECT ${ordinal}, ${selectList(root, 't')} ${from(root.quoted, keyEquals(root.key, 't', elements))}`;
  const childTexts = children.map(
    (child) =>
      `SELECT ${ordinal}, ${selectList(child, 't')} ${from(child.quoted, keyEquals(child.parent, 't', elements))} ORDER BY ${one ? '' : 'k.n, '}${childOrder(child, 't')}`,
  );
  return [rootText, ...childTexts].map((text) => ({ text, values }));
}

/** The records that `readStatements` found, in the order of the keys; null: absent. */
export function readRecords(
  collection: CatalogCollection,
  results: readonly SqlResult[],
  count: number,
): readonly (DataRecord | null)[] {
  const [roots, ...children] = results;
  const groups = collection.children.map((child, index) =>
    groupChildren(child, children[index]?.rows ?? [], 1),
  );
  const records: (DataRecord | null)[] = new Array(count).fill(null);
  for (const line of roots?.rows ?? []) {
    const root = rowOf(collection.root, line, 1);
    const ordinal = line[0] ?? '';
    records[Number(ordinal) - 1] = withChildren(collection, root, groups, ordinal);
  }
  return records;
}

/** Fences of these keys; to be run before the reads, so that a fence is never newer than what is read. */
export function fenceStatement(
  layout: PostgresLayout,
  collection: CatalogCollection,
  keys: readonly Key[],
): Statement {
  const { from, elements, values } = keyList(collection, keys);
  return {
    text: `SELECT k.n, f.epoch, f.sequence FROM ${from} JOIN ${layout.fence} f ON f.collection = ${quoteLiteral(collection.collection)} AND f.key = ${keyText(keySpelling(collection.root.key, elements))}`,
    values,
  };
}

export function readFences(result: SqlResult | undefined, count: number): (Version | null)[] {
  const fences: (Version | null)[] = new Array(count).fill(null);
  for (const [ordinal, epoch, sequence] of result?.rows ?? []) {
    fences[Number(ordinal) - 1] = { epoch: Number(epoch), sequence: BigInt(sequence ?? 0) };
  }
  return fences;
}

export function toAnswers(
  records: readonly (DataRecord | null)[],
  fences: readonly (Version | null)[],
): readonly ReadAnswer[] {
  return records.map((record, index) => ({ record, fence: fences[index] ?? null }));
}

/** A page of the range: the roots, then the rows of each child, found by the same page under the same snapshot. */
export function scanStatements(
  collection: CatalogCollection,
  range: KeyRange,
  limit: number,
): readonly Statement[] {
  const { root, children } = collection;
  const { condition, values } = keyRange(root.key, 't', range, 1);
  const page = (list: string): string =>
    `SELECT ${list} FROM ${root.quoted} t WHERE ${condition} ORDER BY ${keyOrder(root.key, 't')} LIMIT ${limit}`;
  const keyList = root.key.map((column, index) => `t.${column.quoted} AS c${index + 1}`).join(', ');
  const elements = root.key.map((_, index) => `p.c${index + 1}`);
  const childTexts = children.map(
    (child) =>
      `SELECT ${elements.join(', ')}, ${selectList(child, 't')} FROM (${page(keyList)}) p JOIN ${child.quoted} t ON ${keyEquals(child.parent, 't', elements)} ORDER BY ${childOrder(child, 't')}`,
  );
  return [page(selectList(root, 't')), ...childTexts].map((text) => ({ text, values }));
}

export function scannedRecords(
  collection: CatalogCollection,
  results: readonly SqlResult[],
): readonly StoredRecord[] {
  const [roots, ...children] = results;
  const groups = collection.children.map((child, index) =>
    groupChildren(child, children[index]?.rows ?? [], collection.root.key.length),
  );
  return (roots?.rows ?? []).map((line) => {
    const root = rowOf(collection.root, line, 0);
    const key = keyOfRow(collection, root);
    return { key, record: withChildren(collection, root, groups, groupId(key)) };
  });
}

/** The last key of the first `rows` records of the range. */
export function boundaryStatement(
  collection: CatalogCollection,
  range: KeyRange,
  rows: number,
): Statement {
  const { root } = collection;
  const { condition, values } = keyRange(root.key, 't', range, 1);
  const names = root.key.map((column) => `t.${column.quoted}`).join(', ');
  const page = `SELECT ${names} FROM ${root.quoted} t WHERE ${condition} ORDER BY ${keyOrder(root.key, 't')} LIMIT ${rows}`;
  return {
    text: `SELECT * FROM (${page}) t ORDER BY ${keyOrder(root.key, 't', 'DESC')} LIMIT 1`,
    values,
  };
}

export function lastKeyStatement(collection: CatalogCollection): Statement {
  const { root } = collection;
  const names = root.key.map((column) => `t.${column.quoted}`).join(', ');
  return {
    text: `SELECT ${names} FROM ${root.quoted} t ORDER BY ${keyOrder(root.key, 't', 'DESC')} LIMIT 1`,
  };
}

/** The planner's estimate, also for tables that were never analysed and for partitioned ones. */
export function estimateStatement(collection: CatalogCollection): Statement {
  return { text: `EXPLAIN (FORMAT JSON) SELECT 1 FROM ${collection.root.quoted}` };
}

export function readEstimate(result: SqlResult | undefined): number {
  const plan = JSON.parse(result?.rows[0]?.[0] ?? '[]') as readonly {
    readonly Plan?: { readonly 'Plan Rows'?: number };
  }[];
  return plan[0]?.Plan?.['Plan Rows'] ?? 0;
}

/** A key from the first line of a result; null when there is none. */
export function firstKey(result: SqlResult | undefined): Key | null {
  const line: readonly Scalar[] | undefined = result?.rows[0];
  return line === undefined ? null : line.map((value) => value ?? '');
}
