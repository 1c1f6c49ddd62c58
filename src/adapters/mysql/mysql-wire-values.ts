import type { Scalar } from '../../record/index.ts';

/** What the protocol says about a column of a result. */
export interface WireColumn {
  /** Collation number; 63: bytes. */
  readonly charset: number;
  readonly length: number;
  /** MYSQL_TYPE_… */
  readonly type: number;
  readonly flags: number;
}

const BINARY = 63;
const ZEROFILL = 64;

const DOUBLE = 5;
const FLOAT = 4;
const BIT = 16;
const GEOMETRY = 255;
/** varchar, blobs, var_string, string. With charset 63 they are bytes. JSON (245) says 63 too, but is text. */
const STRINGS: ReadonlySet<number> = new Set([15, 249, 250, 251, 252, 253, 254]);
/** tiny, short, long, float, double, longlong, int24, decimal, newdecimal. */
const NUMBERS: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5, 8, 9, 246]);
const YEAR = 13;

/**
 * The canonical text of a value that came over the text protocol; the same that the binlog's decoder gives.
 * Numbers without zeros in front, doubles as JavaScript prints them, bits as 0 and 1, bytes as `\x…`, geometry as `\x…` of its WKB with
 * `SRID=n;` in front when that is not 0; everything else as the server prints it. FLOAT is selected as a double (`selectExpression`)
 * and shortened by the column (`float32Text`): the server prints six digits of it.
 */
export function readValue(column: WireColumn, buffer: Buffer, from: number, to: number): Scalar {
  const { type } = column;
  if (type === BIT) return bitText(buffer, from, to, column.length);
  if (type === GEOMETRY) return geometryText(buffer, from, to);
  if (column.charset === BINARY && STRINGS.has(type)) {
    return `\\x${buffer.toString('hex', from, to)}`;
  }
  if (NUMBERS.has(type)) {
    const text = buffer.toString('latin1', from, to);
    if (type === DOUBLE || type === FLOAT) return numberText(Number(text));
    return (column.flags & ZEROFILL) !== 0 ? text.replace(/^0+(?=\d)/, '') : text;
  }
  if (type === YEAR) return buffer.toString('latin1', from, to);
  return buffer.toString('utf8', from, to);
}

/** As JavaScript prints it; negative zero keeps its sign. */
export function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** The shortest decimal text that gives the same 32-bit float, of a text that gives it as a double. */
export function float32Text(text: string): string {
  const value = Number(text);
  // Below the normal range fewer than six digits may do; above it, six digits never stand for two floats.
  for (let digits = Math.abs(value) < 1.2e-38 ? 1 : 6; digits < 9; digits += 1) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return numberText(shorter);
  }
  return numberText(Number(value.toPrecision(9)));
}

/** `length` bits, most significant first. */
export function bitText(buffer: Buffer, from: number, to: number, length: number): string {
  let text = '';
  for (let at = from; at < to; at += 1) text += (buffer[at] ?? 0).toString(2).padStart(8, '0');
  return text.length >= length ? text.slice(text.length - length) : text.padStart(length, '0');
}

/** The server's own form is the SRID (four bytes, little-endian) before the WKB. */
export function geometryText(buffer: Buffer, from: number, to: number): string {
  const srid = buffer.readUInt32LE(from);
  const wkb = `\\x${buffer.toString('hex', from + 4, to)}`;
  return srid === 0 ? wkb : `SRID=${srid};${wkb}`;
}
