import type { Key } from '../../record/index.ts';
import type { KeyRange } from '../../store/index.ts';
import type { CatalogColumn } from './postgres-catalog.ts';

/*
 * Fragments of SQL about keys, shared by reads, writes, door and triggers: all of them must agree on equality, order,
 * spelling and locks. `expressions` are one SQL expression per key column, already of the column's type.
 */

/** `$1::bigint, $2::text` … as typed expressions, numbered from `first`. */
export function keyParameters(key: readonly CatalogColumn[], first: number): readonly string[] {
  return key.map((column, index) => `$${first + index}::${column.castType}`);
}

const MODIFIED = /^(numeric|bpchar|timestamp|time|interval|"?bit)/;

/**
 * The value as the key column would spell it: 5 in a numeric(6,2) is 5.00. Only for spelling keys of records that may be absent, never for
 * looking them up (what does not fit is rounded, as an insert would round it).
 */
export function keySpelling(
  key: readonly CatalogColumn[],
  expressions: readonly string[],
): readonly string[] {
  return key.map((column, index) => {
    const expression = expressions[index] ?? 'NULL';
    const modified = MODIFIED.test(column.castType) && column.type.includes('(');
    return modified ? `(${expression})::${column.type}` : expression;
  });
}

/** Columns of `unnest($1::text[], …) AS alias(c1, c2 …)` as typed expressions. */
export function keyElements(key: readonly CatalogColumn[], alias: string): readonly string[] {
  return key.map((column, index) => `${alias}.c${index + 1}::${column.castType}`);
}

/** `unnest($1::text[], $2::text[]) WITH ORDINALITY AS alias(c1, c2, n)`; n counts from 1. */
export function keyUnnest(parts: number, first: number, alias: string): string {
  const arrays = Array.from({ length: parts }, (_, index) => `$${first + index}::text[]`);
  const names = Array.from({ length: parts }, (_, index) => `c${index + 1}`);
  return `unnest(${arrays.join(', ')}) WITH ORDINALITY AS ${alias}(${names.join(', ')}, n)`;
}

/** The columns of keys, one text array for each part; the values for `keyUnnest`. */
export function keyColumns(keys: readonly Key[], parts: number): readonly (readonly string[])[] {
  return Array.from({ length: parts }, (_, part) => keys.map((key) => key[part] ?? ''));
}

/** `t."a" = … AND t."b" = …`. Equality of the type: index-friendly, and bytewise for deterministic collations. */
export function keyEquals(
  columns: readonly CatalogColumn[],
  alias: string,
  expressions: readonly string[],
): string {
  return columns
    .map((column, index) => `${alias}.${column.quoted} = ${expressions[index]}`)
    .join(' AND ');
}

/** Bytewise for text, the type's own order otherwise. */
export function ordered(column: CatalogColumn, alias: string): string {
  return `${alias}.${column.quoted}${column.collatable ? ' COLLATE "C"' : ''}`;
}

export function keyOrder(
  key: readonly CatalogColumn[],
  alias: string,
  direction: 'ASC' | 'DESC' = 'ASC',
): string {
  return key.map((column) => `${ordered(column, alias)} ${direction}`).join(', ');
}

/** Condition and values of a half-open range; parameters from `first`. `true` when there are no bounds. */
export function keyRange(
  key: readonly CatalogColumn[],
  alias: string,
  range: KeyRange,
  first: number,
): { readonly condition: string; readonly values: readonly string[] } {
  const row = `(${key.map((column) => ordered(column, alias)).join(', ')})`;
  const conditions: string[] = [];
  const values: string[] = [];
  for (const [bound, operator] of [
    [range.after, '>'],
    [range.until, '<='],
  ] as const) {
    if (bound === null) continue;
    conditions.push(`${row} ${operator} (${keyParameters(key, first + values.length).join(', ')})`);
    values.push(...bound);
  }
  return { condition: conditions.join(' AND ') || 'true', values };
}

/**
 * The advisory lock id of a key: the types' own hash, so that every spelling of a value ('5' and '05', upper-case
 * uuids, 1.0 and 1.00) locks the same key. Types without a hash are locked by their text.
 */
export function keyLockId(
  key: readonly CatalogColumn[],
  expressions: readonly string[],
  seed: bigint,
): string {
  const parts = key.map((column, index) => {
    const expression = expressions[index] ?? 'NULL';
    return column.hashable ? expression : `format('%s', ${expression})`;
  });
  return `pg_catalog.hash_record_extended(ROW(${parts.join(', ')}), '${seed}'::bigint)`;
}

/**
 * The key as `encodeKey` writes it. `format` calls the type's output function, as the wire does; a cast to text would not (`true` for
 * `t`, a mask behind inet, blanks cut from char).
 */
export function keyText(expressions: readonly string[]): string {
  const parts = expressions.map((expression) => `pg_catalog.format('%s', ${expression})`);
  return `pg_catalog.array_to_json(ARRAY[${parts.join(', ')}])::text`;
}
