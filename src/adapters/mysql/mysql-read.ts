import { ChangeoverError } from '../../errors/index.ts';
import {
  type DataRecord,
  encodeKey,
  type Key,
  type Scalar,
  type Version,
} from '../../record/index.ts';
import type { KeyRange, ReadAnswer, StoredRecord } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn, CatalogTable } from './mysql-catalog.ts';
import { comparableKey, fenceId, keyAmong, keyOrder, keyRange } from './mysql-key-sql.ts';
import { selectExpression } from './mysql-literals.ts';
import {
  childOrder,
  groupChildren,
  groupId,
  keyOfRow,
  rowOf,
  selectList,
  storedRecord,
  withChildren,
} from './mysql-rows.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** Sends statements, in whatever transaction or snapshot the caller reads. */
export type Run = (statements: readonly string[]) => Promise<readonly SqlResult[]>;

/** KEY_INVALID for a key with a wrong number of parts. */
export function checkKeys(collection: CatalogCollection, keys: readonly Key[]): void {
  const { length } = collection.root.key;
  const wrong = keys.find((key) => key.length !== length);
  if (wrong === undefined) return;
  throw new ChangeoverError(
    'KEY_INVALID',
    `A key of "${collection.collection}" has ${length} parts, ${wrong.length} given.`,
  );
}

const keyList = (key: readonly CatalogColumn[], alias: string): string =>
  key.map((column) => selectExpression(column, alias)).join(', ');

/** Root and children of these keys, one statement for each table. Child rows come with the key of their root, as the root spells it. */
export function readStatements(
  collection: CatalogCollection,
  keys: readonly Key[],
): readonly string[] {
  const { root, children } = collection;
  const among = keyAmong(root.key, 'r', keys);
  return [
    `SELECT ${selectList(root, 'r')} FROM ${root.quoted} r WHERE ${among}`,
    ...children.map(
      (child) =>
        `SELECT ${keyList(root.key, 'r')}, ${selectList(child, 't')} FROM ${root.quoted} r JOIN ${child.quoted} t ON ${joined(root.key, 'r', child.parent, 't')} WHERE ${among} ORDER BY ${childOrder(child, 't')}`,
    ),
  ];
}

function joined(
  key: readonly CatalogColumn[],
  keyAlias: string,
  parent: readonly CatalogColumn[],
  parentAlias: string,
): string {
  return key
    .map(
      ({ quoted }, index) =>
        `${parentAlias}.${parent[index]?.quoted ?? ''} = ${keyAlias}.${quoted}`,
    )
    .join(' AND ');
}

/**
 * The records of these keys, in their order; null: absent. `results` are those of `readStatements` for all keys at once. Where the
 * store may take a key for one that it spells otherwise (folding collations, unusual spellings of a time), keys without a row are asked for one by one.
 */
export async function readRecords(
  run: Run,
  collection: CatalogCollection,
  keys: readonly Key[],
  results: readonly SqlResult[],
): Promise<readonly (DataRecord | null)[]> {
  const found = recordsOf(collection, results);
  if (keys.length === 1) return [found[0]?.record ?? null];
  const { key } = collection.root;
  const comparable = (one: Key): string => encodeKey(comparableKey(key, one));
  const byKey = new Map(found.map((one) => [comparable(one.key), one.record]));
  const records = keys.map((given) => byKey.get(comparable(given)) ?? null);
  // Without a row there is nothing that another spelling could stand for.
  if (found.length === 0) return records;
  const doubtful = keys.flatMap((given, index) =>
    records[index] === null && !isCertain(key, given) ? [index] : [],
  );
  if (doubtful.length === 0) return records;
  const each = 1 + collection.children.length;
  const again = await run(
    doubtful.flatMap((index) => readStatements(collection, [keys[index] as Key])),
  );
  doubtful.forEach((index, at) => {
    const answer = again.slice(at * each, (at + 1) * each);
    records[index] = recordsOf(collection, answer)[0]?.record ?? null;
  });
  return records;
}

const DATE = /^\d{4}-\d\d-\d\d$/;
const TIME = /^-?\d{2,3}:\d\d:\d\d(\.\d+)?$/;
const DATE_TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/;

/** True when a row of this key has the same `comparableKey`. */
export function isCertain(key: readonly CatalogColumn[], given: Key): boolean {
  return key.every(({ type }, index) => {
    const part = given[index] ?? '';
    switch (type.kind) {
      case 'text':
        return type.folds !== true;
      case 'date':
        return DATE.test(part);
      case 'time':
        return TIME.test(part);
      case 'date-time':
      case 'instant':
        return DATE_TIME.test(part);
      case 'label-set':
      case 'uuid':
      case 'other':
        return false;
      default:
        return true;
    }
  });
}

function recordsOf(
  collection: CatalogCollection,
  [roots, ...children]: readonly SqlResult[],
): readonly StoredRecord[] {
  const groups = collection.children.map((child, index) =>
    groupChildren(child, children[index]?.rows ?? [], collection.root.key.length),
  );
  return (roots?.rows ?? []).map((line) => {
    const root = rowOf(collection.root, line, 0);
    const key = keyOfRow(collection, root);
    return storedRecord(collection, withChildren(collection, root, groups, groupId(key)));
  });
}

/** Fences of these keys; to be run before the reads, so that a fence is never newer than what is read. */
export function fenceStatement(
  layout: MysqlLayout,
  collection: CatalogCollection,
  keys: readonly Key[],
): string {
  const name = quoteLiteral(collection.collection);
  const one = (key: Key, index: number): string =>
    `SELECT ${index}, epoch, sequence FROM ${layout.fence} WHERE collection = ${name} AND key_id = ${fenceId(collection.root.key, key)}`;
  return keys.map(one).join(' UNION ALL ');
}

export function readFences(result: SqlResult | undefined, count: number): (Version | null)[] {
  const fences: (Version | null)[] = new Array(count).fill(null);
  for (const [ordinal, epoch, sequence] of result?.rows ?? []) {
    fences[Number(ordinal)] = { epoch: Number(epoch), sequence: BigInt(sequence ?? 0) };
  }
  return fences;
}

export function toAnswers(
  records: readonly (DataRecord | null)[],
  fences: readonly (Version | null)[],
): readonly ReadAnswer[] {
  return records.map((record, index) => ({ record, fence: fences[index] ?? null }));
}

/** The table by the index of its key: left to itself the optimizer may sort the whole table for one page. */
export function byKey(table: CatalogTable, alias: string): string {
  const inOrder = table.keyIndex.columns.every((name, index) => name === table.key[index]?.name);
  if (!inOrder || table.engine === null) return `${table.quoted} ${alias}`;
  return `${table.quoted} ${alias} FORCE INDEX (\`${table.keyIndex.name.replaceAll('`', '``')}\`)`;
}

/** A page of the range: the roots, then the rows of each child, found by the same page under the same snapshot. */
export function scanStatements(
  collection: CatalogCollection,
  range: KeyRange,
  limit: number,
): readonly string[] {
  const { root, children } = collection;
  const page = (list: string): string =>
    `SELECT ${list} FROM ${byKey(root, 'r')} WHERE ${keyRange(root.key, 'r', range)} ORDER BY ${keyOrder(root.key, 'r')} LIMIT ${limit}`;
  const keys = root.key.map(({ quoted }) => `r.${quoted}`).join(', ');
  return [
    page(selectList(root, 'r')),
    ...children.map(
      (child) =>
        `SELECT ${keyList(root.key, 'p')}, ${selectList(child, 't')} FROM (${page(keys)}) p JOIN ${child.quoted} t ON ${joined(root.key, 'p', child.parent, 't')} ORDER BY ${childOrder(child, 't')}`,
    ),
  ];
}

export const scannedRecords = recordsOf;

/** The key `rows` records on, then (for when there are not so many) the last key of the range. */
export function boundaryStatements(
  collection: CatalogCollection,
  range: KeyRange,
  rows: number,
): readonly string[] {
  const { root } = collection;
  const from = `SELECT ${keyList(root.key, 'r')} FROM ${byKey(root, 'r')} WHERE ${keyRange(root.key, 'r', range)}`;
  return [
    `${from} ORDER BY ${keyOrder(root.key, 'r')} LIMIT ${Math.max(0, rows - 1)}, 1`,
    `${from} ORDER BY ${keyOrder(root.key, 'r', 'DESC')} LIMIT 1`,
  ];
}

export function lastKeyStatement(collection: CatalogCollection): string {
  const { root } = collection;
  return `SELECT ${keyList(root.key, 'r')} FROM ${byKey(root, 'r')} ORDER BY ${keyOrder(root.key, 'r', 'DESC')} LIMIT 1`;
}

/** InnoDB's estimate from a few pages; may be off by half. */
export function estimateStatement({ root }: CatalogCollection): string {
  return `SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${quoteLiteral(root.database)} AND TABLE_NAME = ${quoteLiteral(root.name)}`;
}

/** A key from the first line of a result; null when there is none. */
export function firstKey(result: SqlResult | undefined): Key | null {
  const line: readonly Scalar[] | undefined = result?.rows[0];
  return line === undefined ? null : line.map((value) => value ?? '');
}
