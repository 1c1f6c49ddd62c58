import type { Key } from '../../record/index.ts';
import type { KeyRange } from '../../store/index.ts';
import type { CatalogColumn } from './mysql-catalog.ts';
import { unpadded } from './mysql-literals.ts';

/*
 * Whether a chunk's range holds a key, decided here and not by the server: the chunk that writes a record and the tombstone that looks for the chunk must
 * agree, and nothing else matters. Where the order of the source is another one (a folding collation, labels, times), records of a
 * chunk do not lie in its range, and its range is widened to everything before it writes. A tombstone may come under another spelling than the record's: blanks at the
 * end do not count where they do not for the column, and a folding key lies in every range, as nobody here knows what it equals.
 */

const NUMBER = /^-?\d+(?:\.\d+)?$/;

export function rangeHolds(key: readonly CatalogColumn[], range: KeyRange, given: Key): boolean {
  if (key.some(({ type }) => type.folds === true)) return true;
  if (range.after !== null && compareKeys(key, given, range.after) <= 0) return false;
  return range.until === null || compareKeys(key, given, range.until) <= 0;
}

function compareKeys(key: readonly CatalogColumn[], a: Key, b: Key): number {
  for (const [index, column] of key.entries()) {
    const order = compareParts(column, a[index] ?? '', b[index] ?? '');
    if (order !== 0) return order;
  }
  return 0;
}

function compareParts(column: CatalogColumn, a: string, b: string): number {
  if (a === b) return 0;
  const { type } = column;
  const numeric = type.kind === 'integer' || type.kind === 'decimal' || type.kind === 'year';
  if (numeric && NUMBER.test(a) && NUMBER.test(b)) return compareNumbers(a, b);
  const bytes = (part: string): Buffer =>
    Buffer.from(type.kind === 'text' ? unpadded(column, part) : part);
  return Buffer.compare(bytes(a), bytes(b));
}

/** Of decimal texts, exactly. */
function compareNumbers(a: string, b: string): number {
  const digits = Math.max(fraction(a), fraction(b));
  const left = scaled(a, digits);
  const right = scaled(b, digits);
  return left < right ? -1 : left > right ? 1 : 0;
}

const fraction = (text: string): number => {
  const dot = text.indexOf('.');
  return dot < 0 ? 0 : text.length - dot - 1;
};

function scaled(text: string, digits: number): bigint {
  return BigInt(text.replace('.', '') + '0'.repeat(digits - fraction(text)));
}
