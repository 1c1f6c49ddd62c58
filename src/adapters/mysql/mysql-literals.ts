import { ChangeoverError } from '../../errors/index.ts';
import type { Scalar } from '../../record/index.ts';
import type { CatalogColumn } from './mysql-catalog.ts';
import { quoteLiteral } from './mysql-text.ts';
import { float32Text } from './mysql-wire-values.ts';

/*
 * Canonical text (see `mysql-wire-values`) to SQL and back. Values are literals in the statement's text: the server converts them by the column's
 * type, in strict mode. What it would take for something else without a word is caught here: a number as the index of a label, text as a bit field,
 * text that is no number compared with a number (0), half a surrogate pair.
 */

/** The expression by which a column is read; `float32Text` finishes FLOAT. */
export function selectExpression(column: CatalogColumn, alias: string): string {
  const name = `${alias}.${column.quoted}`;
  // The server prints six digits of a FLOAT; as a double it prints them all.
  return isFloat32(column) ? `(${name} + 0e0)` : name;
}

export function isFloat32({ type }: CatalogColumn): boolean {
  return type.kind === 'float' && type.bits === 32;
}

/** What a value that came by `selectExpression` is as canonical text. */
export function decodedValue(column: CatalogColumn, value: Scalar): Scalar {
  return value !== null && isFloat32(column) ? float32Text(value) : value;
}

const LONE_SURROGATE = /\p{Surrogate}/u;
const ISO_UTC = /^(\d{4,5}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?:Z|[+-]00(?::?00)?)$/;
const SPACED_UTC = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|[+-]00(?::?00)?)$/;

/** The value as it is given to INSERT and UPDATE. STORE_REJECTED for what the column cannot hold, VALUE_INVALID for half a surrogate pair. */
export function writeLiteral(column: CatalogColumn, value: Scalar | undefined): string {
  if (value === null || value === undefined) return 'NULL';
  switch (column.type.kind) {
    case 'integer':
      // What an application writes for BOOLEAN; the rest the server checks.
      return value === 'true' ? '1' : value === 'false' ? '0' : quoteLiteral(value);
    case 'bits':
      return bitsLiteral(column, value);
    case 'bytes':
      return bytesLiteral(column, value);
    case 'geometry':
      return geometryLiteral(column, value);
    case 'date':
    case 'date-time':
    case 'instant':
      return quoteLiteral(withoutZone(value));
    case 'label':
    case 'label-set':
      return labelLiteral(column, value);
    case 'float':
      return quoteLiteral(isFloat32(column) ? withinFloat32(value) : value);
    default:
      return textLiteral(column, value);
  }
}

/** The shortest text of the largest FLOAT is a little beyond it, and would be refused as out of range. */
function withinFloat32(value: string): string {
  const number = Number(value);
  const single = Math.fround(number);
  return Math.abs(number) > 3e38 && Number.isFinite(single) ? String(single) : value;
}

/** The value as it is compared with a key column: of a type by which the column's index is used, and equality is the column's own. */
export function keyLiteral(column: CatalogColumn, value: string): string {
  const { kind } = column.type;
  switch (kind) {
    case 'integer':
      if (/^\s*[+-]?\d+\s*$/.test(value)) return value.trim();
      throw misfit(column, 'an integer');
    case 'decimal':
      if (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(value)) return value;
      throw misfit(column, 'a decimal number');
    case 'float':
      if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value)) {
        return /e/i.test(value) ? value : `${value}e0`;
      }
      throw misfit(column, 'a number');
    case 'bits':
      if (/^[01]+$/.test(value)) return String(BigInt(`0b${value}`));
      throw misfit(column, 'a text of 0 and 1');
    case 'year':
      if (/^\d{4}$/.test(value)) return quoteLiteral(value);
      throw misfit(column, 'a year of four digits');
    // Labels are ordered and indexed by their number, but compared with a text they are texts.
    case 'label':
      return String(labelNumber(column, value));
    case 'label-set':
      return String(setNumber(column, value));
    case 'bytes': {
      const hex = hexOf(column, value);
      return `X'${column.type.padded === true ? hex.padEnd(2 * (column.type.length ?? 0), '0') : hex}'`;
    }
    case 'date':
    case 'date-time':
    case 'instant':
      return quoteLiteral(withoutZone(value));
    default:
      return textLiteral(column, value);
  }
}

/**
 * The key part as the column would spell it, where that can be known without the server: '05' is 5, 5 in a decimal(6,2) is 5.00. Texts stay as they are, but for the
 * blanks that a CHAR drops which pads: what a collation makes equal keeps the spelling of the row, and a VARCHAR its blanks.
 */
export function spelledPart(column: CatalogColumn, value: string): string {
  const { type } = column;
  switch (type.kind) {
    case 'integer':
      return /^\s*[+-]?\d+\s*$/.test(value)
        ? String(BigInt(value.trim().replace(/^\+/, '')))
        : value;
    case 'decimal':
      return decimalText(value, type.scale ?? 0);
    case 'float':
      return Number.isNaN(Number(value)) ? value : String(Number(value));
    case 'bits':
      return value.replace(/^0+/, '').padStart(type.bits ?? 1, '0');
    case 'bytes':
      return bytesText(column, value);
    case 'date-time':
    case 'instant':
      return withFraction(withoutZone(value), type.fraction ?? 0);
    case 'time':
      return withFraction(value, type.fraction ?? 0);
    case 'uuid':
      return value.toLowerCase();
    case 'label':
      return type.labels?.[labelNumber(column, value) - 1] ?? value;
    case 'text':
      return type.padded === true ? unpadded(column, value) : value;
    default:
      return value;
  }
}

/** The same without what equality does not see: two parts have one such text exactly when the column takes them for one, unless it folds. */
export function comparablePart(column: CatalogColumn, value: string): string {
  return column.type.kind === 'text' ? unpadded(column, value) : spelledPart(column, value);
}

export const unpadded = ({ noPad }: CatalogColumn, value: string): string =>
  noPad ? value : value.replace(/ +$/, '');

function bytesText({ type }: CatalogColumn, value: string): string {
  const hex = value.startsWith('\\x')
    ? value.slice(2).toLowerCase()
    : Buffer.from(value, 'utf8').toString('hex');
  return `\\x${hex.padEnd(type.padded === true ? 2 * (type.length ?? 0) : 0, '0')}`;
}

function decimalText(value: string, scale: number): string {
  const match = /^([+-]?)0*(\d*)(?:\.(\d*))?$/.exec(value);
  if (match === null) return value;
  const [, sign, whole, fraction = ''] = match;
  // Rounded values have no spelling that is theirs.
  if (/[1-9]/.test(fraction.slice(scale))) return value;
  const digits = fraction.slice(0, scale).padEnd(scale, '0');
  const text = `${whole === '' ? '0' : whole}${scale > 0 ? `.${digits}` : ''}`;
  return sign === '-' && /[1-9]/.test(text) ? `-${text}` : text;
}

function withFraction(value: string, fraction: number): string {
  const match = /^(-?[\d-]*[ ]?\d+:\d\d:\d\d)(?:\.(\d*))?$/.exec(value);
  if (match === null) return value;
  const [, whole, digits = ''] = match;
  if (/[1-9]/.test(digits.slice(fraction))) return value;
  return fraction === 0
    ? (whole ?? '')
    : `${whole}.${digits.slice(0, fraction).padEnd(fraction, '0')}`;
}

/** What `Date` gives and what an instant of another engine looks like, in the session's zone, which is UTC. */
export function withoutZone(value: string): string {
  const match = ISO_UTC.exec(value);
  if (match !== null) return `${match[1]} ${match[2]}`;
  return SPACED_UTC.exec(value)?.[1] ?? value;
}

function textLiteral(column: CatalogColumn, value: string): string {
  if (LONE_SURROGATE.test(value)) {
    throw new ChangeoverError(
      'VALUE_INVALID',
      `A text for column ${column.quoted} holds half of a surrogate pair.`,
      { data: { column: column.name } },
    );
  }
  return quoteLiteral(value);
}

function bitsLiteral(column: CatalogColumn, value: string): string {
  if (value === 'true' || value === 'false') return value === 'true' ? "b'1'" : "b'0'";
  if (/^[01]+$/.test(value)) return `b'${value}'`;
  throw misfit(column, 'a text of 0 and 1');
}

function hexOf(column: CatalogColumn, value: string): string {
  if (!value.startsWith('\\x')) return Buffer.from(value, 'utf8').toString('hex');
  const hex = value.slice(2);
  if (hex.length % 2 === 0 && /^[0-9a-f]*$/i.test(hex)) return hex;
  throw misfit(column, 'bytes as \\x and hexadecimal digits');
}

/** Bytes, or a text that stands for its UTF-8. */
function bytesLiteral(column: CatalogColumn, value: string): string {
  return `X'${hexOf(column, value)}'`;
}

/** The server's own form (as `mysqldump --hex-blob` writes it): no function that could swap axes or reject what is stored. */
function geometryLiteral(column: CatalogColumn, value: string): string {
  const match = /^(?:SRID=(\d+);)?\\x((?:[0-9a-f]{2})+)$/i.exec(value);
  if (match === null) throw misfit(column, 'WKB as \\x and hexadecimal digits');
  const srid = Buffer.alloc(4);
  srid.writeUInt32LE(Number(match[1] ?? 0));
  return `X'${srid.toString('hex')}${match[2]}'`;
}

/** Digits that are no label would be taken for a label's number. */
function labelLiteral(column: CatalogColumn, value: string): string {
  const { kind, labels = [] } = column.type;
  const parts = kind === 'label' ? [value] : value.split(',');
  const numeric = parts.find((part) => /^\s*[+-]?\d/.test(part) && !labels.includes(part));
  if (numeric !== undefined) throw misfit(column, 'one of its labels');
  return textLiteral(column, value);
}

function labelNumber(column: CatalogColumn, value: string): number {
  const { labels = [] } = column.type;
  const exact = labels.indexOf(value);
  if (exact >= 0) return exact + 1;
  // 0 is what an invalid value was turned into, long ago.
  if (value === '') return 0;
  const folded = labels.findIndex((label) => label.toLowerCase() === value.toLowerCase());
  if (folded >= 0) return folded + 1;
  throw misfit(column, 'one of its labels');
}

function setNumber(column: CatalogColumn, value: string): bigint {
  if (value === '') return 0n;
  return value
    .split(',')
    .reduce((bits, label) => bits | (1n << BigInt(labelNumber(column, label) - 1)), 0n);
}

function misfit(column: CatalogColumn, wanted: string): ChangeoverError {
  return new ChangeoverError(
    'STORE_REJECTED',
    `A value for column ${column.quoted} (${column.type.declared}) is not ${wanted}.`,
    { data: { column: column.name } },
  );
}
