import type { Key } from '../../record/index.ts';
import type { KeyRange } from '../../store/index.ts';
import type { CatalogColumn } from './postgres-catalog.ts';

const TAB = 9;
const LINE_FEED = 10;
const BACKSLASH = 92;
const BLANK = 32;

/** How two values of a key column compare, by the bytes of their text. */
export type KeyComparison = 'integer' | 'bytes' | 'bytes, filled up';

const INTEGERS = new Set(['smallint', 'integer', 'bigint']);
/** As an unsigned bigint of another engine needs it. */
const WHOLE_NUMERIC = /^numeric\(\d+(,0)?\)$/;
const TEXTS = new Set(['text', 'character varying']);

/** Integers of any width: spelled in one way only. */
export const isInteger = ({ castType, type }: CatalogColumn): boolean =>
  INTEGERS.has(castType) || WHOLE_NUMERIC.test(type);

/** As `keyOrder` orders them; null: some column's order cannot be told from bytes. */
export function keyComparisons(key: readonly CatalogColumn[]): readonly KeyComparison[] | null {
  const found: KeyComparison[] = [];
  for (const column of key) {
    const { castType } = column;
    if (isInteger(column)) found.push('integer');
    else if (TEXTS.has(castType)) found.push('bytes');
    else if (castType === 'bpchar') found.push('bytes, filled up');
    else return null;
  }
  return found;
}

/** A bound, prepared for comparison. */
interface Bound {
  readonly bytes: Buffer;
  /** Of an integer that a double holds exactly. */
  readonly number: number;
}

/** Digits of an integer that a double holds exactly. */
const EXACT_DIGITS = 15;

/** True when the keys of all rows of the buffer (`store/text-source.ts`, key columns first) lie in the range. */
export function isWithin(
  buffer: Buffer,
  comparisons: readonly KeyComparison[],
  range: KeyRange,
): boolean {
  const after = boundsOf(range.after, comparisons);
  const until = boundsOf(range.until, comparisons);
  for (let at = 0; at < buffer.length; ) {
    if (after !== null && !(compareKey(buffer, at, comparisons, after) > 0)) return false;
    if (until !== null && !(compareKey(buffer, at, comparisons, until) <= 0)) return false;
    const end = buffer.indexOf(LINE_FEED, at);
    at = end < 0 ? buffer.length : end + 1;
  }
  return true;
}

function boundsOf(
  key: readonly string[] | null,
  comparisons: readonly KeyComparison[],
): readonly Bound[] | null {
  if (key === null) return null;
  return comparisons.map((comparison, index) => {
    const text = key[index] ?? '';
    const spelled = comparison === 'bytes, filled up' ? text.replace(/ +$/, '') : text;
    return { bytes: Buffer.from(spelled), number: Number(text) };
  });
}

/** Of the key of the row that begins at `from`, with a bound; as `<=>`; NaN where they cannot be compared. */
function compareKey(
  buffer: Buffer,
  from: number,
  comparisons: readonly KeyComparison[],
  bounds: readonly Bound[],
): number {
  let at = from;
  for (let index = 0; index < comparisons.length; index += 1) {
    let end = at;
    let escaped = false;
    for (;;) {
      const byte = buffer[end] as number;
      if (byte === TAB || byte === LINE_FEED) break;
      if (byte === BACKSLASH) {
        escaped = true;
        // What is escaped is never one of the two that end a value.
        end += 1;
      }
      end += 1;
    }
    const order = compareValue(
      buffer,
      at,
      end,
      escaped,
      comparisons[index] as KeyComparison,
      bounds[index] as Bound,
    );
    if (order !== 0) return order;
    at = end + 1;
  }
  return 0;
}

function compareValue(
  buffer: Buffer,
  from: number,
  to: number,
  escaped: boolean,
  comparison: KeyComparison,
  bound: Bound,
): number {
  if (comparison === 'integer') return compareInteger(buffer, from, to, bound);
  if (escaped) {
    const value = unescaped(buffer.subarray(from, to));
    return compareBytes(value, 0, value.length, comparison, bound.bytes);
  }
  return compareBytes(buffer, from, to, comparison, bound.bytes);
}

function compareInteger(buffer: Buffer, from: number, to: number, bound: Bound): number {
  const negative = buffer[from] === 45;
  const first = negative ? from + 1 : from;
  let value = 0;
  for (let at = first; at < to; at += 1) {
    const digit = (buffer[at] as number) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  if (to - first <= EXACT_DIGITS && bound.bytes.length <= EXACT_DIGITS) {
    return (negative ? -value : value) - bound.number;
  }
  const difference =
    BigInt(buffer.toString('latin1', from, to)) - BigInt(bound.bytes.toString('latin1'));
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** As memcmp, the shorter one first. */
function compareBytes(
  buffer: Buffer,
  from: number,
  to: number,
  comparison: KeyComparison,
  bound: Buffer,
): number {
  let end = to;
  if (comparison === 'bytes, filled up') while (end > from && buffer[end - 1] === BLANK) end -= 1;
  const length = end - from;
  const common = Math.min(length, bound.length);
  for (let index = 0; index < common; index += 1) {
    const order = (buffer[from + index] as number) - (bound[index] as number);
    if (order !== 0) return order;
  }
  return length - bound.length;
}

const LETTERS: Readonly<Record<number, number>> = { 116: TAB, 110: LINE_FEED, 114: 13 };

function unescaped(value: Buffer): Buffer {
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at += 1) {
    const byte = value[at] as number;
    if (byte === BACKSLASH) {
      at += 1;
      const letter = value[at] as number;
      bytes.push(LETTERS[letter] ?? letter);
    } else bytes.push(byte);
  }
  return Buffer.from(bytes);
}

/** The key of the last row of the buffer, which holds at least one whole row and ends with one. */
export function lastKey(buffer: Buffer, parts: number): Key {
  const before = buffer.lastIndexOf(LINE_FEED, buffer.length - 2);
  const fields: string[] = [];
  let at = before + 1;
  while (fields.length < parts) {
    let end = at;
    while (buffer[end] !== TAB && buffer[end] !== LINE_FEED) {
      end += buffer[end] === BACKSLASH ? 2 : 1;
    }
    fields.push(unescaped(buffer.subarray(at, end)).toString('utf8'));
    at = end + 1;
  }
  return fields;
}
