import type { Cursor } from './binlog-cursor.ts';

/** `00` … `99`. */
export const TWO: readonly string[] = Array.from({ length: 100 }, (_, index) =>
  String(index).padStart(2, '0'),
);

const two = (value: number): string => TWO[value] ?? String(value);
const four = (value: number): string => String(value).padStart(4, '0');

/** Bytes that hold the fraction of a second. */
export const fractionBytes = (digits: number): number => (digits + 1) >> 1;

/** Fraction in the log: hundredths, ten-thousandths or millionths, big-endian; `''` without digits. */
function fractionText(cursor: Cursor, digits: number): string {
  const size = fractionBytes(digits);
  if (size === 0) return '';
  const value = cursor.bytes.readUIntBE(cursor.offset, size);
  cursor.offset += size;
  return `.${String(value)
    .padStart(size * 2, '0')
    .slice(0, digits)}`;
}

/** DATE: 3 bytes, year (15 bits), month (4), day (5). */
export function decodeDate(cursor: Cursor): string {
  const value = cursor.uint(3);
  return `${four(value >>> 9)}-${two((value >>> 5) & 15)}-${two(value & 31)}`;
}

/** YEAR: one byte from 1901 on; 0 is the year 0000. */
export function decodeYear(cursor: Cursor): string {
  const value = cursor.uint8();
  return value === 0 ? '0000' : String(1900 + value);
}

/** DATETIME2: 40 bits: sign (always 1), year × 13 + month (17), day (5), hour (5), minute (6), second (6); then the fraction. */
export function datetimeDecoder(digits: number): (cursor: Cursor) => string {
  // Rows that are written together lie close in time.
  let lastDay = -1;
  let lastText = '';
  return (cursor) => {
    const { bytes, offset } = cursor;
    const high =
      ((bytes[offset] ?? 0) << 16) | ((bytes[offset + 1] ?? 0) << 8) | (bytes[offset + 2] ?? 0);
    const low = ((bytes[offset + 3] ?? 0) << 8) | (bytes[offset + 4] ?? 0);
    cursor.offset += 5;
    // Bits 17 and up are the day: high holds bits 16 … 39.
    const day = (high >>> 1) & 0x3f_ff_ff;
    if (day !== lastDay) {
      const months = day >>> 5;
      lastDay = day;
      lastText = `${four(Math.floor(months / 13))}-${two(months % 13)}-${two(day & 31)} `;
    }
    const time = ((high & 1) << 16) | low;
    const clock = `${two(time >>> 12)}:${two((time >>> 6) & 63)}:${two(time & 63)}`;
    return lastText + clock + fractionText(cursor, digits);
  };
}

/** TIMESTAMP2: seconds since 1970 (big-endian), then the fraction. In UTC; 0 is the zero date. */
export function timestampDecoder(digits: number): (cursor: Cursor) => string {
  const day = dayText();
  return (cursor) => {
    const seconds = cursor.bytes.readUInt32BE(cursor.offset);
    cursor.offset += 4;
    const fraction = fractionText(cursor, digits);
    return instantText(seconds, day) + fraction;
  };
}

/** TIMESTAMP of MySQL before 5.6: 4 bytes, little-endian. */
export function oldTimestampDecoder(): (cursor: Cursor) => string {
  const day = dayText();
  return (cursor) => instantText(cursor.uint32(), day);
}

const DAY_SECONDS = 86_400;

function instantText(seconds: number, day: (days: number) => string): string {
  if (seconds === 0) return '0000-00-00 00:00:00';
  const days = Math.floor(seconds / DAY_SECONDS);
  const rest = seconds - days * DAY_SECONDS;
  const hours = (rest / 3600) | 0;
  const minutes = ((rest - hours * 3600) / 60) | 0;
  return `${day(days)}${two(hours)}:${two(minutes)}:${two(rest % 60)}`;
}

function dayText(): (days: number) => string {
  let last = -1;
  let text = '';
  return (days) => {
    if (days !== last) {
      last = days;
      text = `${new Date(days * DAY_SECONDS * 1000).toISOString().slice(0, 10)} `;
    }
    return text;
  };
}

/**
 * TIME2: 24 bits, sign (1 is positive), one unused, hour (10), minute (6), second (6), then the fraction. Negative times are the two's complement of the
 * whole, fraction included.
 */
export function timeDecoder(digits: number): (cursor: Cursor) => string {
  const size = fractionBytes(digits);
  const scale = 256 ** size;
  const zero = 0x80_00_00 * scale;
  return (cursor) => {
    const raw = cursor.bytes.readUIntBE(cursor.offset, 3 + size);
    cursor.offset += 3 + size;
    const value = Math.abs(raw - zero);
    const time = Math.floor(value / scale);
    const fraction = value - time * scale;
    const hours = (time >>> 12) & 0x3ff;
    const clock = `${two(hours)}:${two((time >>> 6) & 63)}:${two(time & 63)}`;
    const sign = raw < zero ? '-' : '';
    if (size === 0) return sign + clock;
    return `${sign}${clock}.${String(fraction)
      .padStart(size * 2, '0')
      .slice(0, digits)}`;
  };
}

/** TIME before MySQL 5.6: HHMMSS as a signed number of 3 bytes. */
export function decodeOldTime(cursor: Cursor): string {
  const raw = cursor.bytes.readIntLE(cursor.offset, 3);
  cursor.offset += 3;
  const value = Math.abs(raw);
  const text = `${two(Math.floor(value / 10_000))}:${two(Math.floor(value / 100) % 100)}:${two(value % 100)}`;
  return raw < 0 ? `-${text}` : text;
}

/** DATETIME before MySQL 5.6: YYYYMMDDHHMMSS as a number of 8 bytes. */
export function decodeOldDatetime(cursor: Cursor): string {
  const text = String(cursor.uint64()).padStart(14, '0');
  const part = (from: number, to: number): string => text.slice(from, to);
  return `${part(0, 4)}-${part(4, 6)}-${part(6, 8)} ${part(8, 10)}:${part(10, 12)}:${part(12, 14)}`;
}
