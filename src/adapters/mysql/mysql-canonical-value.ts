import type { Scalar } from '../../record/index.ts';
import type { CatalogColumn } from './mysql-catalog.ts';
import { isFloat32, withoutZone } from './mysql-literals.ts';
import { float32Text, numberText } from './mysql-wire-values.ts';

/**
 * The text that the column would give back for a value, where that is certain without asking the server; undefined: ask it (what it would round, fold, convert or
 * refuse). Most values are in this form already, and a comparison need not cost a round trip.
 */
export function canonicalValue(column: CatalogColumn, value: Scalar): Scalar | undefined {
  if (value === null) return null;
  const { type } = column;
  switch (type.kind) {
    case 'integer':
      return integerText(column, value);
    case 'decimal':
      return decimalText(column, value);
    case 'float':
      return floatText(column, value);
    case 'text':
      return textOf(column, value);
    case 'json':
      // MySQL orders members and spaces them by itself.
      return column.dataType === 'json' ? undefined : value;
    case 'bytes':
      return bytesText(column, value);
    case 'bits': {
      const bits = type.bits ?? 1;
      return /^[01]+$/.test(value) && value.length <= bits ? value.padStart(bits, '0') : undefined;
    }
    case 'date':
      return isRealDate(value) ? value : undefined;
    case 'date-time':
    case 'instant':
      return momentText(column, value);
    case 'time':
      return timeText(value, type.fraction ?? 0);
    case 'year':
      return /^(0000|190[1-9]|19[1-9]\d|20\d\d|21[0-4]\d|215[0-5])$/.test(value)
        ? value
        : undefined;
    case 'uuid':
      return /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i.test(value)
        ? value.toLowerCase()
        : undefined;
    case 'label':
      return type.labels?.includes(value) ? value : undefined;
    case 'label-set':
      return labelSet(type.labels ?? [], value);
    case 'geometry':
      return /^(SRID=[1-9]\d*;)?\\x[\da-f]+$/.test(value) ? value : undefined;
    default:
      return undefined;
  }
}

function integerText({ type }: CatalogColumn, value: string): string | undefined {
  if (value === 'true') return '1';
  if (value === 'false') return '0';
  if (!/^-?\d{1,20}$/.test(value)) return undefined;
  const number = BigInt(value);
  const bits = BigInt(type.bits ?? 64);
  const low = type.unsigned === true ? 0n : -(1n << (bits - 1n));
  const high = type.unsigned === true ? (1n << bits) - 1n : (1n << (bits - 1n)) - 1n;
  return number >= low && number <= high ? String(number) : undefined;
}

function decimalText({ type }: CatalogColumn, value: string): string | undefined {
  const { precision = 10, scale = 0 } = type;
  const match = /^(-?)0*(\d*)(?:\.(\d+))?$/.exec(value);
  if (match === null || value === '' || value === '-') return undefined;
  const [, sign = '', whole = '', fraction = ''] = match;
  // What does not fit is rounded, or refused.
  if (whole.length > precision - scale || /[1-9]/.test(fraction.slice(scale))) return undefined;
  const digits = fraction.slice(0, scale).padEnd(scale, '0');
  const text = `${whole === '' ? '0' : whole}${scale > 0 ? `.${digits}` : ''}`;
  const negative = sign === '-' && /[1-9]/.test(text);
  if (negative && type.unsigned === true) return undefined;
  return negative ? `-${text}` : text;
}

function floatText(column: CatalogColumn, value: string): string | undefined {
  const { type } = column;
  // FLOAT(7,2) rounds.
  if (type.declared.includes('(') || !/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(value)) return undefined;
  const number = Number(value);
  const fits = Number.isFinite(number) && number !== 0 && (number > 0 || type.unsigned !== true);
  if (!fits) return value === '0' ? '0' : undefined;
  if (!isFloat32(column)) return numberText(number);
  const single = Math.fround(number);
  return Number.isFinite(single) && single !== 0 ? float32Text(String(single)) : undefined;
}

const ASCII = /^[\0-\x7f]*$/;

function textOf(column: CatalogColumn, value: string): string | undefined {
  const { length } = column.type;
  if (column.charset !== 'utf8mb4' && !ASCII.test(value)) return undefined;
  // Bytes never count less than characters; the longest texts are the server's to judge.
  if (length !== undefined && Buffer.byteLength(value) > length) return undefined;
  if (/\p{Surrogate}/u.test(value)) return undefined;
  return column.dataType === 'char' ? value.replace(/ +$/, '') : value;
}

function bytesText({ type }: CatalogColumn, value: string): string | undefined {
  if (!/^\\x([\da-f]{2})*$/.test(value)) return undefined;
  const bytes = value.length / 2 - 1;
  const { length = 0 } = type;
  if (bytes > length) return undefined;
  return type.padded === true ? value.padEnd(2 + 2 * length, '0') : value;
}

function isRealDate(value: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(value);
  if (match === null) return false;
  const [, year, month, day] = match;
  const leap = Number(year) % 4 === 0 && (Number(year) % 100 !== 0 || Number(year) % 400 === 0);
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Number(month) - 1] ?? 0;
  return Number(year) >= 1000 && Number(day) >= 1 && Number(day) <= days;
}

function momentText({ type }: CatalogColumn, given: string): string | undefined {
  const value = withoutZone(given);
  const match = /^(\d{4}-\d\d-\d\d) ([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?$/.exec(
    value,
  );
  if (match === null || !isRealDate(match[1] ?? '')) return undefined;
  const text = withFraction(value, match[5] ?? '', type.fraction ?? 0);
  // The ends of the range of timestamps differ between servers and versions.
  if (type.kind === 'instant' && (value < '1970-01-02' || value > '2038-01-18')) return undefined;
  return text;
}

function timeText(value: string, fraction: number): string | undefined {
  const match = /^-?(\d{2,3}):[0-5]\d:[0-5]\d(?:\.(\d{1,6}))?$/.exec(value);
  if (match === null || Number(match[1]) > 837) return undefined;
  if ((match[1] ?? '').length === 3 && match[1]?.startsWith('0')) return undefined;
  if (value.startsWith('-') && !/[1-9]/.test(value)) return undefined;
  return withFraction(value, match[2] ?? '', fraction);
}

/** undefined where digits would be cut off. */
function withFraction(value: string, digits: string, fraction: number): string | undefined {
  if (/[1-9]/.test(digits.slice(fraction))) return undefined;
  const whole = value.replace(/\.\d*$/, '');
  return fraction === 0 ? whole : `${whole}.${digits.slice(0, fraction).padEnd(fraction, '0')}`;
}

function labelSet(labels: readonly string[], value: string): string | undefined {
  if (value === '') return '';
  const given = new Set(value.split(','));
  const known = labels.filter((label) => given.has(label));
  return known.length === given.size ? known.join(',') : undefined;
}
