import type { ColumnType, Spelling } from '../mapping/index.ts';

/**
 * How the values of a column are written into a digest. Values whose encodings are equal are equal records' values, whichever engine wrote them; values that are equal
 * may, rarely, have two encodings (`1 day` and `24:00:00`), which costs a look at the rows and no more.
 */
export type DigestEncoding =
  /** The text of the record, which never holds a separator: numbers, dates, uuids. */
  | { readonly form: 'plain' }
  /** Length in bytes (UTF-8), then the text of the record. */
  | { readonly form: 'text' }
  /** As `text`; where the column fills its values up with blanks, without them. */
  | { readonly form: 'trimmed' }
  /** Decimal digits: booleans and single bits are 1 and 0, years have no zeros in front. */
  | { readonly form: 'integer' }
  /** Exactly so many digits behind the point. */
  | { readonly form: 'decimal'; readonly scale: number }
  /** Date and time in UTC without zone and without zeros at the end of the fraction. */
  | { readonly form: 'moment' }
  /** Time without zeros at the end of the fraction. */
  | { readonly form: 'clock' }
  /** Hexadecimal digits, in lower case, and nothing else. */
  | { readonly form: 'hex' }
  /** As the engine writes it inside an expression, whatever that is: only between columns of one engine and one type. JavaScript has no counterpart. */
  | { readonly form: 'own' };

/** A column and how its engine writes it. */
export interface EncodedColumn {
  readonly type: ColumnType;
  readonly spelling: Spelling;
}

const NUMBERS: ReadonlySet<string> = new Set(['integer', 'boolean', 'year']);
const TEXTS: ReadonlySet<string> = new Set(['text', 'label']);
const MOMENTS: ReadonlySet<string> = new Set(['date-time', 'instant']);
const CLOCKS: ReadonlySet<string> = new Set(['time', 'interval']);
/** Kinds that each engine writes in its own way, or that only one of them has. */
const OWN: ReadonlySet<string> = new Set(['float', 'geometry', 'interval', 'label-set', 'other']);

/**
 * The encoding in which the values of two columns can be compared; null: there is none that both can write. A mapping with options of its own is not known here:
 * `verify/narrowing-choice.ts` tries it with sample values.
 */
export function digestEncoding(a: EncodedColumn, b: EncodedColumn): DigestEncoding | null {
  const [one, other] = [a.type, b.type];
  const alike = a.spelling === b.spelling;
  if (alike && one.kind === other.kind && one.declared === other.declared && OWN.has(one.kind))
    return { form: 'own' };
  if (isWhole(a) && isWhole(b)) return { form: 'integer' };
  if (one.kind === 'decimal' && other.kind === 'decimal') return decimalEncoding(one, other);
  if (one.kind === 'json' || other.kind === 'json') return jsonEncoding(a, b);
  if (isSetText(one, other) || isSetText(other, one))
    return fills(a) || fills(b) ? null : { form: 'text' };
  if (TEXTS.has(one.kind) && TEXTS.has(other.kind)) {
    const filled = alike && one.padded === other.padded && one.length === other.length;
    return { form: filled || !(fills(a) || fills(b)) ? 'text' : 'trimmed' };
  }
  if (one.kind === 'uuid' && other.kind === 'uuid') return { form: 'plain' };
  if (isUuidText(one, other) || isUuidText(other, one)) return { form: 'text' };
  if (isBytes(one) && isBytes(other)) return { form: 'hex' };
  if (one.kind === 'date' && other.kind === 'date') return { form: 'plain' };
  if (MOMENTS.has(one.kind) && MOMENTS.has(other.kind)) return { form: 'moment' };
  if (CLOCKS.has(one.kind) && CLOCKS.has(other.kind)) return { form: 'clock' };
  if (one.kind === 'bits' && other.kind === 'bits')
    return one.bits === other.bits ? { form: 'plain' } : null;
  return null;
}

/** Whole numbers of any width. */
function isWhole({ type }: EncodedColumn): boolean {
  if (NUMBERS.has(type.kind)) return true;
  if (type.kind === 'bits') return type.bits === 1;
  return type.kind === 'decimal' && type.precision !== undefined && type.scale === 0;
}

/** Digits of a number in MariaDB and MySQL. A conversion to more gives the largest number there is, without an error: one text for many values. */
const DIGITS_MAX = 65;

function decimalEncoding(one: ColumnType, other: ColumnType): DigestEncoding | null {
  if (one.precision === undefined || other.precision === undefined) return { form: 'plain' };
  const scale = Math.max(one.scale ?? 0, other.scale ?? 0);
  const whole = Math.max(...[one, other].map((type) => (type.precision ?? 0) - (type.scale ?? 0)));
  return whole + scale > DIGITS_MAX ? null : { form: 'decimal', scale };
}

/** Json that is kept as it was written is text; that which the store writes anew is like that of no other type. */
function jsonEncoding(a: EncodedColumn, b: EncodedColumn): DigestEncoding | null {
  const rewritten = ({ type, spelling }: EncodedColumn): boolean =>
    type.declared === 'jsonb' || (type.declared === 'json' && spelling === 'mysql');
  const kept = ({ type }: EncodedColumn): boolean => type.kind === 'json' || type.kind === 'text';
  if (!kept(a) || !kept(b) || fills(a) || fills(b)) return null;
  if (!rewritten(a) && !rewritten(b)) return { form: 'text' };
  return a.spelling === b.spelling && a.type.declared === b.type.declared ? { form: 'text' } : null;
}

const fills = ({ type, spelling }: EncodedColumn): boolean =>
  type.kind === 'text' && type.padded === true && spelling === 'postgres';

const isUuidText = (one: ColumnType, other: ColumnType): boolean =>
  one.kind === 'uuid' && other.kind === 'text';

const isSetText = (one: ColumnType, other: ColumnType): boolean =>
  one.kind === 'label-set' && other.kind === 'text';

const isBytes = ({ kind }: ColumnType): boolean => kind === 'bytes' || kind === 'uuid';

/** Between values, and between rows. No form but those with a length holds it. */
export const VALUE_SEPARATOR = '|';
export const ROW_SEPARATOR = '\n';
/** Stands for NULL; with a length in front, for the length. No value is written like it. */
export const NULL_MARK = 'N';

/**
 * The value of a record as its column is written into a digest: what the engines' own expressions give (`type-digest.test.ts` holds them equal). undefined: only the engine
 * knows (`own`).
 */
export function encodeValue(
  { form, ...more }: DigestEncoding,
  { type, spelling }: EncodedColumn,
  text: string | null,
): string | undefined {
  if (form === 'own') return undefined;
  if (text === null) return NULL_MARK;
  switch (form) {
    case 'plain':
      return text;
    case 'text':
      return withLength(text);
    case 'trimmed':
      return withLength(fills({ type, spelling }) ? text.replace(/ +$/, '') : text);
    case 'integer':
      return integerText(type, text);
    case 'decimal':
      return decimalText(text, (more as { readonly scale: number }).scale);
    case 'moment':
      return withoutFractionZeros(
        type.kind === 'instant' ? text.replace(/\+00(?= BC$|$)/, '') : text,
      );
    case 'clock':
      return withoutFractionZeros(text);
    case 'hex':
      return type.kind === 'uuid' ? text.replaceAll('-', '') : text.replace(/^\\x/, '');
  }
}

/** A whole row. undefined: only the engine knows. */
export function encodeRow(
  columns: readonly (EncodedColumn & { readonly encoding: DigestEncoding })[],
  values: readonly (string | null)[],
): string | undefined {
  const parts = columns.map((column, at) =>
    encodeValue(column.encoding, column, values[at] ?? null),
  );
  return parts.includes(undefined) ? undefined : parts.join(VALUE_SEPARATOR);
}

const withLength = (text: string): string => `${Buffer.byteLength(text)}${VALUE_SEPARATOR}${text}`;

function integerText({ kind }: ColumnType, text: string): string {
  if (kind === 'boolean') return text === 't' ? '1' : text === 'f' ? '0' : text;
  return kind === 'year' ? text.replace(/^0+(?=\d)/, '') : text;
}

/** Columns have no more digits than `scale`; NaN stays. */
function decimalText(text: string, scale: number): string {
  const point = text.indexOf('.');
  const digits = point < 0 ? 0 : text.length - point - 1;
  if (digits >= scale || !/^-?\d/.test(text)) return text;
  return `${point < 0 ? `${text}.` : text}${'0'.repeat(scale - digits)}`;
}

const withoutFractionZeros = (text: string): string =>
  /\.\d*0$/.test(text) ? text.replace(/\.?0+$/, '') : text;
