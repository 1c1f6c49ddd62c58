import type { Cursor } from './binlog-cursor.ts';

/** Bytes that hold so many decimal digits of an incomplete group. */
const DIGIT_BYTES = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4] as const;
const GROUP_DIGITS = 9;
const GROUP_BYTES = 4;

/** Bytes of a DECIMAL(precision, scale) in the log. */
export function decimalBytes(precision: number, scale: number): number {
  const whole = precision - scale;
  const bytes = (digits: number): number =>
    Math.floor(digits / GROUP_DIGITS) * GROUP_BYTES + (DIGIT_BYTES[digits % GROUP_DIGITS] ?? 0);
  return bytes(whole) + bytes(scale);
}

/**
 * A decoder for DECIMAL(precision, scale) (`strings/decimal.c`, decimal2bin): big-endian groups of nine digits, the incomplete group of the whole
 * part first, that of the fraction last; the first bit is inverted, negative numbers are inverted altogether. Text as the server prints it.
 */
export function decimalDecoder(precision: number, scale: number): (cursor: Cursor) => string {
  const size = decimalBytes(precision, scale);
  const whole = precision - scale;
  const leading = whole % GROUP_DIGITS;
  const wholeGroups = Math.floor(whole / GROUP_DIGITS);
  const fractionGroups = Math.floor(scale / GROUP_DIGITS);
  const trailing = scale % GROUP_DIGITS;

  return (cursor) => {
    const { bytes, offset } = cursor;
    cursor.offset += size;
    const negative = ((bytes[offset] ?? 0) & 0x80) === 0;
    const flip = negative ? 0xff : 0;
    let at = offset;
    const group = (length: number): number => {
      let value = 0;
      for (let index = 0; index < length; index++, at++) {
        const byte = (bytes[at] ?? 0) ^ flip ^ (at === offset ? 0x80 : 0);
        value = value * 256 + byte;
      }
      return value;
    };
    let text = '';
    if (leading > 0) {
      const value = group(DIGIT_BYTES[leading] ?? 0);
      if (value > 0) text = String(value);
    }
    for (let index = 0; index < wholeGroups; index++) {
      const value = group(GROUP_BYTES);
      if (text !== '') text += padded(value, GROUP_DIGITS);
      else if (value > 0) text = String(value);
    }
    if (text === '') text = '0';
    if (scale > 0) {
      text += '.';
      for (let index = 0; index < fractionGroups; index++)
        text += padded(group(GROUP_BYTES), GROUP_DIGITS);
      if (trailing > 0) text += padded(group(DIGIT_BYTES[trailing] ?? 0), trailing);
    }
    return negative ? `-${text}` : text;
  };
}

const padded = (value: number, digits: number): string => String(value).padStart(digits, '0');
