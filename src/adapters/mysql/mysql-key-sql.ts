import { crc32 } from 'node:zlib';
import { encodeKey, type Key } from '../../record/index.ts';
import type { KeyRange } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn } from './mysql-catalog.ts';
import { comparablePart, keyLiteral, spelledPart } from './mysql-literals.ts';
import { keyId, keyIdSql } from './mysql-schema.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/*
 * Fragments of SQL about keys, shared by reads, writes, door and locks: all of them must agree on equality, order, spelling and locks.
 *
 * **Equality and order are the index's own.** Under a folding collation 'Ada' and 'ADA' are one record, whose key is spelled as the row spells it;
 * under a padding one (every collation of MySQL before 0900, most of MariaDB's) blanks at the end do not count. Keys are ordered as their
 * index orders them: bytewise only under a binary collation. An order of our own would cost a sort of the whole table for each page.
 */

/** `t.a = … AND t.b = …` for one key. */
export function keyEquals(columns: readonly CatalogColumn[], alias: string, key: Key): string {
  return columns
    .map((column, index) => `${alias}.${column.quoted} = ${keyLiteral(column, key[index] ?? '')}`)
    .join(' AND ');
}

/** Rows of any of these keys. `columns` are compared; `typed` says how the parts are written (the root's key where the columns are a child's parent columns). */
export function keyAmong(
  columns: readonly CatalogColumn[],
  alias: string,
  keys: readonly Key[],
): string {
  if (keys.length === 0) return 'FALSE';
  const [only] = columns;
  if (columns.length === 1 && only) {
    const list = keys.map((key) => keyLiteral(only, key[0] ?? ''));
    return `${alias}.${only.quoted} IN (${list.join(', ')})`;
  }
  // Not row constructors: not every server makes ranges of the index of them.
  return `(${keys.map((key) => `(${keyEquals(columns, alias, key)})`).join(' OR ')})`;
}

export function keyOrder(
  key: readonly CatalogColumn[],
  alias: string,
  direction: 'ASC' | 'DESC' = 'ASC',
): string {
  return key.map((column) => `${alias}.${column.quoted} ${direction}`).join(', ');
}

/** Condition of a half-open range; `TRUE` when there are no bounds. Written out part by part: the optimizer makes ranges of that, not of row comparisons. */
export function keyRange(key: readonly CatalogColumn[], alias: string, range: KeyRange): string {
  const conditions: string[] = [];
  if (range.after !== null) conditions.push(beyond(key, alias, range.after, '>', '>'));
  if (range.until !== null) conditions.push(beyond(key, alias, range.until, '<', '<='));
  return conditions.join(' AND ') || 'TRUE';
}

function beyond(
  key: readonly CatalogColumn[],
  alias: string,
  bound: Key,
  strict: '>' | '<',
  last: '>' | '<=',
): string {
  const alternatives = key.map((column, index) => {
    const before = key
      .slice(0, index)
      .map((one, at) => `${alias}.${one.quoted} = ${keyLiteral(one, bound[at] ?? '')}`);
    const operator = index === key.length - 1 ? last : strict;
    return [
      ...before,
      `${alias}.${column.quoted} ${operator} ${keyLiteral(column, bound[index] ?? '')}`,
    ].join(' AND ');
  });
  if (alternatives.length === 1) return alternatives[0] ?? 'TRUE';
  // The first part alone narrows the index to one range; the alternatives then do the rest.
  const [first] = key;
  const wide = first
    ? `${alias}.${first.quoted} ${strict}= ${keyLiteral(first, bound[0] ?? '')} AND `
    : '';
  return `${wide}(${alternatives.map((one) => `(${one})`).join(' OR ')})`;
}

/** The key as this store would spell it, as far as that can be known without the row. */
export function spelledKey(key: readonly CatalogColumn[], given: Key): Key {
  return key.map((column, index) => spelledPart(column, given[index] ?? ''));
}

/** For comparing two keys in this process: equal where the store takes them for one, as far as that can be known without it. Nobody's spelling. */
export function comparableKey(key: readonly CatalogColumn[], given: Key): Key {
  return key.map((column, index) => comparablePart(column, given[index] ?? ''));
}

/**
 * An SQL expression for the **identity** of a key: a text that is equal exactly when the store takes the keys for one. Fences, queue entries and key locks go by it.
 * For most keys it is a literal, the encoded `comparableKey`; parts under a folding collation are replaced by their sort weights, which only the server
 * knows. (Weights of blanks at the end are cut off where the collation pads.)
 */
export function keyIdentity(key: readonly CatalogColumn[], given: Key): string {
  const exact = exactIdentity(key, given);
  if (exact !== null) return quoteLiteral(exact);
  const parts = key.map((column, index) => {
    const part = given[index] ?? '';
    return column.type.folds === true
      ? weights(column, keyLiteral(column, part))
      : quoteLiteral(JSON.stringify(comparablePart(column, part)));
  });
  return `CONCAT('[', ${parts.join(`, ',', `)}, ']')`;
}

/** The identity where it can be known without the server; null: some part folds. */
export function exactIdentity(key: readonly CatalogColumn[], given: Key): string | null {
  if (key.some(({ type }) => type.folds === true)) return null;
  return encodeKey(comparableKey(key, given));
}

/** The identities of keys, in order, as texts. The server is asked only where a part folds. */
export async function keyIdentities(
  run: (statements: readonly string[]) => Promise<readonly SqlResult[]>,
  collection: CatalogCollection,
  keys: readonly Key[],
): Promise<readonly string[]> {
  const { key } = collection.root;
  const exact = keys.map((one) => exactIdentity(key, one));
  if (exact.every((one) => one !== null)) return exact as readonly string[];
  const results = await run(keys.map((one) => `SELECT ${keyIdentity(key, one)}`));
  return results.map(({ rows }) => rows[0]?.[0] ?? '');
}

/** What stands in `key_id` of a fence for this key, as an SQL expression. */
export function fenceId(key: readonly CatalogColumn[], given: Key): string {
  const exact = exactIdentity(key, given);
  return exact === null ? keyIdSql(keyIdentity(key, given)) : quoteLiteral(keyId(exact));
}

function weights(column: CatalogColumn, text: string): string {
  const { charset, collation } = column;
  const weigh = (expression: string): string =>
    `HEX(WEIGHT_STRING(CONVERT(${expression} USING ${charset}) COLLATE ${collation}))`;
  const all = weigh(text);
  const cut = column.noPad ? all : `TRIM(TRAILING ${weigh(`' '`)} FROM ${all})`;
  return `CONVERT(${cut} USING utf8mb4)`;
}

/** The numbers of the keys' locks, in order: rows of `layout.keyLock`. Two keys may share one. */
export async function keySlots(
  run: (statements: readonly string[]) => Promise<readonly SqlResult[]>,
  collection: CatalogCollection,
  keys: readonly Key[],
  slots: number,
): Promise<readonly number[]> {
  const identities = await keyIdentities(run, collection, keys);
  return identities.map((identity) => crc32(`${collection.collection} ${identity}`) % slots);
}

/** The same number, as an SQL expression. */
export function keySlot(collection: CatalogCollection, key: Key, slots: number): string {
  const name = `${collection.collection} `;
  const exact = exactIdentity(collection.root.key, key);
  if (exact !== null) return String(crc32(name + exact) % slots);
  return `CRC32(CONCAT(${quoteLiteral(name)}, ${keyIdentity(collection.root.key, key)})) % ${slots}`;
}
