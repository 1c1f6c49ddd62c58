import { inflateRawSync, inflateSync } from 'node:zlib';
import { ChangeoverError } from '../../errors/index.ts';
import type { TextDecoding } from './binlog-charsets.ts';
import { type Cursor, shortEvent } from './binlog-cursor.ts';
import { decimalBytes, decimalDecoder } from './binlog-decimal.ts';
import { binaryJsonText } from './binlog-json.ts';
import { type MappedColumn, TYPE } from './binlog-table-map.ts';
import {
  datetimeDecoder,
  decodeDate,
  decodeOldDatetime,
  decodeOldTime,
  decodeYear,
  fractionBytes,
  oldTimestampDecoder,
  timeDecoder,
  timestampDecoder,
} from './binlog-temporal.ts';
import { bitText, float32Text, geometryText, numberText } from './mysql-wire-values.ts';

/** A type that MariaDB writes into the log as plain bytes. */
export type PlainType = 'uuid' | 'inet4' | 'inet6';

/** What the table map does not say by itself. */
export interface ColumnMeaning {
  readonly unsigned: boolean;
  /** null: bytes. */
  readonly text: TextDecoding | null;
  /** `enumeration` and `set`. null: one that cannot be told. */
  readonly labels: readonly (string | null)[];
  readonly plain: PlainType | null;
}

/** Reads one value at the cursor as the canonical text of `mysql-wire-values`, or passes over it. */
export interface ColumnDecoder {
  decode(cursor: Cursor): string;
  skip(cursor: Cursor): void;
}

/** The decoder of a column. LOG_UNSUPPORTED for types that cannot be read. */
export function columnDecoder(column: MappedColumn, meaning: ColumnMeaning): ColumnDecoder {
  const { type, size } = column;
  switch (type) {
    case TYPE.tiny:
      return fixed(1, integer(1, meaning.unsigned));
    case TYPE.short:
      return fixed(2, integer(2, meaning.unsigned));
    case TYPE.int24:
      return fixed(3, integer(3, meaning.unsigned));
    case TYPE.long:
      return fixed(4, integer(4, meaning.unsigned));
    case TYPE.longlong:
      return fixed(8, meaning.unsigned ? decodeUnsigned64 : decodeSigned64);
    case TYPE.float:
      return fixed(4, decodeFloat);
    case TYPE.double:
      return fixed(8, decodeDouble);
    case TYPE.decimal:
      return fixed(decimalBytes(size, column.scale), decimalDecoder(size, column.scale));
    case TYPE.year:
      return fixed(1, decodeYear);
    case TYPE.date:
    case TYPE.newDate:
      return fixed(3, decodeDate);
    case TYPE.datetime2:
      return fixed(5 + fractionBytes(size), datetimeDecoder(size));
    case TYPE.timestamp2:
      return fixed(4 + fractionBytes(size), timestampDecoder(size));
    case TYPE.time2:
      return fixed(3 + fractionBytes(size), timeDecoder(size));
    case TYPE.datetime:
      return fixed(8, decodeOldDatetime);
    case TYPE.timestamp:
      return fixed(4, oldTimestampDecoder());
    case TYPE.time:
      return fixed(3, decodeOldTime);
    case TYPE.bit:
      return fixed((size + 7) >> 3, bits(size));
    case TYPE.enumeration:
      return fixed(size, enumeration(size, meaning.labels));
    case TYPE.set:
      return fixed(size, labelSet(size, meaning.labels));
    default:
      return variable(column, meaning);
  }
}

function variable(column: MappedColumn, meaning: ColumnMeaning): ColumnDecoder {
  const { type, size } = column;
  const text = meaning.text;
  switch (type) {
    case TYPE.varchar:
    case TYPE.varString:
      return sized(size > 255 ? 2 : 1, text ?? hexText);
    case TYPE.string:
      if (meaning.plain !== null) return sized(1, plainText(meaning.plain, size));
      return sized(size > 255 ? 2 : 1, text ?? paddedHex(size));
    case TYPE.blob:
      return sized(size, text ?? hexText);
    case TYPE.varcharCompressed:
      return sized(size > 255 ? 2 : 1, expanded(text ?? hexText));
    case TYPE.blobCompressed:
      return sized(size, expanded(text ?? hexText));
    case TYPE.vector:
      return sized(size, hexText);
    case TYPE.geometry:
      return sized(size, geometryText);
    case TYPE.json:
      return sized(size, binaryJsonText);
    default:
      throw new ChangeoverError(
        'LOG_UNSUPPORTED',
        `A column has type ${type} in the binary log, which is not known. Leave the table out of the migration, or change the column's type.`,
        { data: { type } },
      );
  }
}

/** `decode` moves the cursor by `size` itself. */
function fixed(size: number, decode: (cursor: Cursor) => string): ColumnDecoder {
  return {
    decode,
    skip: (cursor) => {
      cursor.offset += size;
    },
  };
}

function sized(lengthBytes: number, decode: TextDecoding): ColumnDecoder {
  const length =
    lengthBytes === 1
      ? (cursor: Cursor): number => cursor.bytes[cursor.offset++] ?? 0
      : (cursor: Cursor): number => cursor.uint(lengthBytes);
  return {
    decode: (cursor) => {
      const bytes = length(cursor);
      const from = cursor.offset;
      cursor.offset = from + bytes;
      if (cursor.offset > cursor.end) throw shortEvent();
      return decode(cursor.bytes, from, cursor.offset);
    },
    skip: (cursor) => {
      const bytes = length(cursor);
      cursor.offset += bytes;
    },
  };
}

function integer(size: 1 | 2 | 3 | 4, unsigned: boolean): (cursor: Cursor) => string {
  if (size === 4)
    return (cursor) => {
      const { bytes, offset } = cursor;
      cursor.offset = offset + 4;
      const value =
        (bytes[offset] ?? 0) |
        ((bytes[offset + 1] ?? 0) << 8) |
        ((bytes[offset + 2] ?? 0) << 16) |
        ((bytes[offset + 3] ?? 0) << 24);
      return String(unsigned ? value >>> 0 : value);
    };
  const spare = 32 - size * 8;
  return (cursor) => {
    let value = 0;
    for (let index = 0; index < size; index++)
      value |= (cursor.bytes[cursor.offset + index] ?? 0) << (index * 8);
    cursor.offset += size;
    return String(unsigned ? value : (value << spare) >> spare);
  };
}

const TWO_32 = 4_294_967_296;
/** Up to here high × 2^32 + low is exact. */
const HIGH_MAX = 0x1f_ff_ff;

const BILLION = 1_000_000_000;

/** Of a whole number below 2^53. Two small numbers are printed faster than one that is not small. */
function wholeText(value: number): string {
  if (value < BILLION && value > -BILLION) return String(value);
  const positive = Math.abs(value);
  const high = Math.floor(positive / BILLION);
  const low = String(positive - high * BILLION).padStart(9, '0');
  return `${value < 0 ? '-' : ''}${high}${low}`;
}

function decodeUnsigned64(cursor: Cursor): string {
  const { bytes, offset } = cursor;
  cursor.offset = offset + 8;
  const high = bytes.readUInt32LE(offset + 4);
  if (high <= HIGH_MAX) return wholeText(high * TWO_32 + bytes.readUInt32LE(offset));
  return String(bytes.readBigUInt64LE(offset));
}

function decodeSigned64(cursor: Cursor): string {
  const { bytes, offset } = cursor;
  cursor.offset = offset + 8;
  const high = bytes.readInt32LE(offset + 4);
  if (high <= HIGH_MAX && high >= -HIGH_MAX)
    return wholeText(high * TWO_32 + bytes.readUInt32LE(offset));
  return String(bytes.readBigInt64LE(offset));
}

function decodeDouble(cursor: Cursor): string {
  cursor.offset += 8;
  return numberText(cursor.bytes.readDoubleLE(cursor.offset - 8));
}

function decodeFloat(cursor: Cursor): string {
  cursor.offset += 4;
  const value = cursor.bytes.readFloatLE(cursor.offset - 4);
  if (Number.isInteger(value) && value < 1e6 && value > -1e6) return numberText(value);
  return float32Text(String(value));
}

function bits(count: number): (cursor: Cursor) => string {
  const size = (count + 7) >> 3;
  return (cursor) => {
    cursor.offset += size;
    return bitText(cursor.bytes, cursor.offset - size, cursor.offset, count);
  };
}

function enumeration(size: number, labels: readonly (string | null)[]): (cursor: Cursor) => string {
  return (cursor) => {
    const index = cursor.uint(size);
    // 0 is what the server stores for a value that is none of the labels; it reads as the empty text.
    if (index === 0) return '';
    const label = labels[index - 1];
    return knownLabel(label, index, labels.length);
  };
}

function labelSet(size: number, labels: readonly (string | null)[]): (cursor: Cursor) => string {
  return (cursor) => {
    const found: string[] = [];
    for (let byte = 0; byte < size; byte++) {
      const value = cursor.uint8();
      for (let bit = 0; bit < 8; bit++) {
        if ((value & (1 << bit)) === 0) continue;
        const label = labels[byte * 8 + bit];
        found.push(knownLabel(label, byte * 8 + bit + 1, labels.length));
      }
    }
    return found.join(',');
  };
}

function knownLabel(label: string | null | undefined, index: number, known: number): string {
  if (label === undefined)
    throw new ChangeoverError(
      'SCHEMA_CHANGED',
      `The log holds the label number ${index} of an ENUM or SET column of which ${known} labels are known: the column was changed.`,
      { data: { index, known } },
    );
  if (label === null)
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The log holds the label number ${index} of an ENUM or SET column by its number only, and the catalog shows a question mark in it, which stands for any character beyond U+FFFF as well. SET GLOBAL binlog_row_metadata = FULL names the labels in what is logged from then on; what was logged so far stays unreadable: start anew afterwards.`,
      { data: { index, known } },
    );
  return label;
}

const hexText: TextDecoding = (bytes, from, to) => `\\x${bytes.toString('hex', from, to)}`;

/** BINARY(n): the log leaves out zeros at the end. */
function paddedHex(size: number): TextDecoding {
  return (bytes, from, to) => `\\x${bytes.toString('hex', from, to).padEnd(size * 2, '0')}`;
}

function plainText(plain: PlainType, size: number): TextDecoding {
  return (bytes, from, to) => {
    const value = Buffer.alloc(size);
    bytes.copy(value, 0, from, to);
    if (plain === 'inet4') return value.join('.');
    if (plain === 'inet6') return inet6Text(value);
    return value.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  };
}

/** As the server prints it: the longest run of zeros is `::` (also a single one), IPv4 within IPv6 has dots. */
function inet6Text(value: Buffer): string {
  const words = Array.from({ length: 8 }, (_, index) => value.readUInt16BE(index * 2));
  let gapAt = -1;
  let gapLength = 0;
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && words[at + length] === 0) length += 1;
    if (length > gapLength) {
      gapAt = at;
      gapLength = length;
    }
  }
  const dotted = gapAt === 0 && (gapLength === 6 || (gapLength === 5 && words[5] === 0xffff));
  const hex = (from: number, to: number): string =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(':');
  if (dotted) return `${gapLength === 6 ? '::' : '::ffff:'}${value.subarray(12).join('.')}`;
  if (gapAt < 0) return hex(0, 8);
  return `${hex(0, gapAt)}::${hex(gapAt + gapLength, 8)}`;
}

/**
 * A value of a MariaDB COMPRESSED column (`field.cc`): 0 and the plain bytes, or `1 ccc r lll` (method, raw deflate or zlib, bytes of the plain
 * length), that length, and the stream. An empty value has no header.
 */
function expanded(decode: TextDecoding): TextDecoding {
  return (bytes, from, to) => {
    if (from === to) return decode(bytes, from, to);
    const header = bytes[from] ?? 0;
    if (header === 0) return decode(bytes, from + 1, to);
    const lengthBytes = header & 0x07;
    const stream = bytes.subarray(from + 1 + lengthBytes, to);
    const plain = (header & 0x08) === 0 ? inflateSync(stream) : inflateRawSync(stream);
    return decode(plain, 0, plain.length);
  };
}
