import type { MismatchClass } from './mismatch-class.ts';
import type { DataRecord, Row, Scalar } from './value.ts';

/** One field that differs. For child rows the field is `child[key].column`; a missing row has null on one side for `child[key]`. */
export interface FieldDifference {
  readonly field: string;
  readonly expected: Scalar;
  readonly actual: Scalar;
  /** What the authority itself holds under that name, where it spells it otherwise. */
  readonly raw?: Scalar;
  /** Why it differs; absent: nobody has looked. */
  readonly class?: MismatchClass;
  /** The values are keyed hashes: alike exactly when the values are. */
  readonly hidden?: true;
}

/** How child rows are paired: child name → key columns. */
export type ChildKeys = Readonly<Record<string, readonly string[]>>;

/**
 * The fields of `expected` (the authority's record in the follower's shape) that `actual` does not hold with the same text, in
 * field order; [] when they agree. Fields that only `actual` has are not looked at (the mapping does not know them); child
 * rows that only `actual` has are differences. `ignored` holds `field` or `child.column`.
 */
export function differences(
  expected: DataRecord,
  actual: DataRecord,
  childKeys: ChildKeys = {},
  ignored: ReadonlySet<string> = new Set(),
): readonly FieldDifference[] {
  const found: FieldDifference[] = [];
  for (const [field, value] of Object.entries(expected)) {
    if (ignored.has(field)) continue;
    const other = actual[field] ?? null;
    if (isRows(value))
      compareRows(found, field, value, isRows(other) ? other : [], childKeys[field] ?? [], ignored);
    else if (value !== other)
      found.push({ field, expected: value, actual: isRows(other) ? '[rows]' : other });
  }
  return found;
}

function isRows(value: Scalar | readonly Row[]): value is readonly Row[] {
  return Array.isArray(value);
}

function compareRows(
  found: FieldDifference[],
  child: string,
  expected: readonly Row[],
  actual: readonly Row[],
  keyColumns: readonly string[],
  ignored: ReadonlySet<string>,
): void {
  const keyText = (row: Row): string =>
    JSON.stringify(keyColumns.map((column) => row[column] ?? null));
  const others = new Map(actual.map((row) => [keyText(row), row]));
  for (const row of expected) {
    const key = keyText(row);
    const other = others.get(key);
    others.delete(key);
    if (!other) {
      found.push({ field: `${child}${key}`, expected: 'present', actual: null });
      continue;
    }
    for (const [column, value] of Object.entries(row)) {
      if (ignored.has(`${child}.${column}`)) continue;
      const otherValue = other[column] ?? null;
      if (value !== otherValue)
        found.push({ field: `${child}${key}.${column}`, expected: value, actual: otherValue });
    }
  }
  for (const key of others.keys())
    found.push({ field: `${child}${key}`, expected: null, actual: 'present' });
}
