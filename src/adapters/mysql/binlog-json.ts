import { ChangeoverError } from '../../errors/index.ts';
import { Cursor, shortEvent } from './binlog-cursor.ts';
import { decimalDecoder } from './binlog-decimal.ts';
import { TYPE } from './binlog-table-map.ts';

const KIND = {
  smallObject: 0,
  largeObject: 1,
  smallArray: 2,
  largeArray: 3,
  literal: 4,
  int16: 5,
  uint16: 6,
  int32: 7,
  uint32: 8,
  int64: 9,
  uint64: 10,
  double: 11,
  text: 12,
  opaque: 15,
} as const;

const LITERALS = ['null', 'true', 'false'] as const;
/** The server itself stores nothing deeper. */
const DEPTH_MAX = 100;

/**
 * A JSON column of MySQL (`sql/json_binary.h`: a tree with offsets, keys sorted by the server) as the server prints it: `{"a": 1, "b": [true, null]}`.
 * Written from the documentation; not compared with a real MySQL.
 */
export function binaryJsonText(bytes: Buffer, from: number, to: number): string {
  // What a server wrote that filled a NOT NULL column without a value.
  if (from === to) return 'null';
  return valueText(bytes.subarray(from, to), bytes[from] ?? 0, 1, 0);
}

/** @param at where the value begins, its kind already read */
function valueText(bytes: Buffer, kind: number, at: number, depth: number): string {
  if (depth > DEPTH_MAX || at > bytes.length) throw shortEvent();
  switch (kind) {
    case KIND.smallObject:
    case KIND.largeObject:
    case KIND.smallArray:
    case KIND.largeArray:
      return containerText(bytes.subarray(at), kind, depth);
    case KIND.literal:
      return LITERALS[bytes[at] ?? 0] ?? 'null';
    case KIND.int16:
      return String(bytes.readInt16LE(at));
    case KIND.uint16:
      return String(bytes.readUInt16LE(at));
    case KIND.int32:
      return String(bytes.readInt32LE(at));
    case KIND.uint32:
      return String(bytes.readUInt32LE(at));
    case KIND.int64:
      return String(bytes.readBigInt64LE(at));
    case KIND.uint64:
      return String(bytes.readBigUInt64LE(at));
    case KIND.double:
      return jsonDouble(bytes.readDoubleLE(at));
    case KIND.text: {
      const cursor = new Cursor(bytes, at);
      return quoted(cursor.text(variableLength(cursor)));
    }
    case KIND.opaque:
      return opaqueText(new Cursor(bytes, at));
    default:
      throw new ChangeoverError(
        'LOG_UNSUPPORTED',
        `A JSON value in the binary log has kind ${kind}, which is not known.`,
      );
  }
}

/** Count, size, key entries (offset, length), value entries (kind, offset or the value itself); offsets from the container's start. */
function containerText(bytes: Buffer, kind: number, depth: number): string {
  const large = kind === KIND.largeObject || kind === KIND.largeArray;
  const object = kind === KIND.smallObject || kind === KIND.largeObject;
  const width = large ? 4 : 2;
  const cursor = new Cursor(bytes);
  const count = cursor.uint(width);
  cursor.offset += width;
  const keys: string[] = [];
  for (let index = 0; object && index < count; index++) {
    const keyAt = cursor.uint(width);
    const length = cursor.uint16();
    keys.push(quoted(bytes.toString('utf8', keyAt, keyAt + length)));
  }
  const parts: string[] = [];
  for (let index = 0; index < count; index++) {
    const valueKind = cursor.uint8();
    const at = isInline(valueKind, large) ? cursor.offset : bytes.readUIntLE(cursor.offset, width);
    cursor.offset += width;
    const text = valueText(bytes, valueKind, at, depth + 1);
    parts.push(object ? `${keys[index]}: ${text}` : text);
  }
  return object ? `{${parts.join(', ')}}` : `[${parts.join(', ')}]`;
}

function isInline(kind: number, large: boolean): boolean {
  if (kind === KIND.literal || kind === KIND.int16 || kind === KIND.uint16) return true;
  return large && (kind === KIND.int32 || kind === KIND.uint32);
}

/** Seven bits a byte, lowest first; the eighth says that more follow. */
function variableLength(cursor: Cursor): number {
  let length = 0;
  for (let index = 0; index < 5; index++) {
    const byte = cursor.uint8();
    length += (byte & 0x7f) * 128 ** index;
    if ((byte & 0x80) === 0) return length;
  }
  throw shortEvent();
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function quoted(text: string): string {
  const escaped = text.replace(/["\\\u0000-\u001f]/g, (one) => {
    return ESCAPES[one] ?? `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  return `"${escaped}"`;
}

/** With a point or an exponent, so that it stays a double. */
function jsonDouble(value: number): string {
  const text = serverDouble(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** Digits in front of the point, or zeros behind it, that the server writes out before it takes an exponent (`dtoa.c`, my_gcvt). */
const WRITTEN_OUT_MAX = 15;

/** A double as the server prints it: the same digits as JavaScript, but another border to exponents, and no `+` in them. */
export function serverDouble(value: number): string {
  if (Object.is(value, -0)) return '-0';
  const [mantissa = '0', exponent = '0'] = value.toExponential().split('e');
  const negative = mantissa.startsWith('-');
  const digits = mantissa.replace(/[-.]/g, '');
  const point = Number(exponent) + 1;
  const sign = negative ? '-' : '';
  if (value === 0) return '0';
  if (point > WRITTEN_OUT_MAX || point < 1 - WRITTEN_OUT_MAX) {
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${rest}e${point - 1}`;
  }
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  if (digits.length <= point) return sign + digits.padEnd(point, '0');
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

function opaqueText(cursor: Cursor): string {
  const type = cursor.uint8();
  const value = cursor.take(variableLength(cursor));
  if (type === TYPE.decimal) {
    const decode = decimalDecoder(value[0] ?? 0, value[1] ?? 0);
    return decode(new Cursor(value, 2));
  }
  if (type === TYPE.date || type === TYPE.datetime || type === TYPE.timestamp)
    return `"${packedDatetime(value.readBigInt64LE(0), type === TYPE.date)}"`;
  if (type === TYPE.time) return `"${packedTime(value.readBigInt64LE(0))}"`;
  return `"base64:type${type}:${value.toString('base64')}"`;
}

const two = (value: number): string => String(value).padStart(2, '0');
const micros = (packed: bigint): string => String(packed & 0xff_ff_ffn).padStart(6, '0');

/** `my_time.h`, TIME_from_longlong_datetime_packed. */
function packedDatetime(packed: bigint, dateOnly: boolean): string {
  const whole = Number(packed >> 24n);
  const day = Math.floor(whole / 131_072);
  const months = Math.floor(day / 32);
  const date = `${String(Math.floor(months / 13)).padStart(4, '0')}-${two(months % 13)}-${two(day % 32)}`;
  if (dateOnly) return date;
  return `${date} ${clock(whole % 131_072)}.${micros(packed)}`;
}

function packedTime(packed: bigint): string {
  const positive = packed < 0n ? -packed : packed;
  return `${packed < 0n ? '-' : ''}${clock(Number(positive >> 24n))}.${micros(positive)}`;
}

function clock(packed: number): string {
  return `${two((packed >> 12) & 0x3ff)}:${two((packed >> 6) & 63)}:${two(packed & 63)}`;
}
