import type { ColumnOverride } from './column-override.ts';
import type { StoredColumn } from './column-type.ts';
import { boundOf, type Convert, type Rule, refuse } from './rule.ts';
import { spellUuid } from './texts.ts';

const HEX = /^\\x(?:[0-9a-f]{2})*$/;

/** `\x…` within the length of the column, filled up where it is of fixed length. */
export function toBytes(to: StoredColumn): Convert {
  const { length, padded } = to;
  return (text) => {
    if (length === undefined || !text.startsWith('\\x')) return text;
    const size = (text.length - 2) / 2;
    if (size > length) refuse(`Bytes are longer than ${to.declared}`);
    return padded && size < length ? text.padEnd(2 + 2 * length, '0') : text;
  };
}

export const bytesToBytes: Rule = (from, to) => {
  const fits = boundOf(from) <= boundOf(to);
  const fills = to.padded === true && !(from.padded && from.length === to.length);
  if (fits && !fills) return { convert: null };
  return {
    convert: toBytes(to),
    keeps: !fills,
    loses: fills ? ['the length of shorter values (filled up with zero bytes)'] : [],
    refuses: fits ? [] : [`values longer than ${to.declared}`],
  };
};

/** The order of the groups in `UUID_TO_BIN(uuid, 1)`: time-high, time-mid, time-low. */
const swap = (hex: string): string =>
  hex.slice(12, 16) + hex.slice(8, 12) + hex.slice(0, 8) + hex.slice(16);
const unswap = (hex: string): string =>
  hex.slice(8, 16) + hex.slice(4, 8) + hex.slice(0, 4) + hex.slice(16);

/** A uuid of 16 bytes. */
export function bytesToUuidText(how: ColumnOverride): Convert {
  return (text) => {
    if (text.length !== 34 || !HEX.test(text)) return spellUuid(text);
    const hex = text.slice(2);
    return spellUuid(how.uuid === 'swapped' ? unswap(hex) : hex);
  };
}

export const bytesToUuid: Rule = (from, _to, how) => ({
  convert: bytesToUuidText(how),
  refuses: from.padded && from.length === 16 ? [] : ['values that are not of 16 bytes'],
});

/** 16 bytes of a uuid; other text goes on. */
export function uuidToBytesText(how: ColumnOverride): Convert {
  return (text) => {
    const uuid = text.length === 36 && text.charCodeAt(8) === 45 ? spellUuid(text) : null;
    if (uuid === null) return text;
    const hex = uuid.replaceAll('-', '');
    return `\\x${how.uuid === 'swapped' ? swap(hex) : hex}`;
  };
}

export const uuidToBytes: Rule = (_from, to, how) => ({
  convert: uuidToBytesText(how),
  refuses: (to.length ?? 16) < 16 ? ['every value: 16 bytes are needed'] : [],
});

/** `0`/`1` for a single bit, from any spelling of a boolean or a number. */
export function toBits(to: StoredColumn): Convert {
  const { bits } = to;
  return (text) => {
    if (text === 't' || text === 'true') return '1'.padStart(bits ?? 1, '0');
    if (text === 'f' || text === 'false') return '0'.padStart(bits ?? 1, '0');
    if (bits === undefined || text.length === bits || !/^[01]+$/.test(text)) return text;
    const value = text.replace(/^0+/, '');
    if (value.length > bits) refuse(`A value has more bits than ${to.declared}`);
    return value.padStart(bits, '0');
  };
}

/** Equal numbers: filled up with zeros in front. `varbit` has no `bits`. */
export const bitsToBits: Rule = (from, to) => {
  if (from.bits === to.bits || to.bits === undefined) {
    const cut =
      (from.bits ?? from.length ?? Number.POSITIVE_INFINITY) >
      (to.bits ?? to.length ?? Number.POSITIVE_INFINITY);
    return { convert: null, refuses: cut ? [`values longer than ${to.declared}`] : [] };
  }
  return {
    convert: toBits(to),
    loses: from.bits === undefined ? ['zeros in front of a bit string'] : [],
    refuses: (from.bits ?? 65) > to.bits ? [`values with more bits than ${to.declared}`] : [],
  };
};

export const bitsToBoolean: Rule = (from, to) => ({
  convert: (text) => {
    if (!/^[01]+$/.test(text)) return text;
    const value = text.replace(/^0+/, '');
    if (value.length > 1) refuse('More than one bit is no boolean');
    const yes = value === '1';
    if (to.spelling === 'postgres') return yes ? 't' : 'f';
    return yes ? '1' : '0';
  },
  loses: from.bits === undefined ? ['zeros in front of a bit string'] : [],
  refuses: from.bits === 1 ? [] : ['values other than 0 and 1'],
});

export const bitsToInteger =
  (check: (to: StoredColumn) => Convert): Rule =>
  (from, to) => {
    const convert = check(to);
    const room = (to.bits ?? 64) - (to.unsigned ? 0 : 1);
    return {
      convert: (text) => (/^[01]+$/.test(text) ? convert(String(BigInt(`0b${text}`))) : text),
      loses: from.bits === undefined ? ['zeros in front of a bit string'] : [],
      refuses: (from.bits ?? 65) > room ? [`numbers beyond the range of ${to.declared}`] : [],
    };
  };

export const integerToBits: Rule = (from, to) => ({
  convert: (text) => {
    if (!/^-?\d+$/.test(text)) return text;
    const value = BigInt(text);
    if (value < 0n) refuse('A negative number is no bit string');
    const bits = value.toString(2);
    if (bits.length > (to.bits ?? to.length ?? 65))
      refuse(`A number has more bits than ${to.declared}`);
    return to.bits === undefined ? bits : bits.padStart(to.bits, '0');
  },
  refuses: [
    ...(from.unsigned ? [] : ['negative numbers']),
    ...((from.bits ?? 64) > (to.bits ?? 65) ? [`numbers with more bits than ${to.declared}`] : []),
  ],
});

const SRID = /^SRID=(\d+);\\x(01)([0-9a-f]{8})([0-9a-f]*)$/;

const little = (value: number): string => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value >>> 0);
  return buffer.toString('hex');
};
const SRID_FLAG = 0x2000_0000;

/** `SRID=4326;\x01…` (WKB) as EWKB, in which PostGIS and others keep the SRID: a flag in the type, and four bytes behind it. */
export const toEwkb: Convert = (text) => {
  const match = SRID.exec(text);
  if (match === null) return text;
  const [, srid = '0', order = '01', type = '', rest = ''] = match;
  const flagged = Buffer.from(type, 'hex').readUInt32LE() | SRID_FLAG;
  return `\\x${order}${little(flagged)}${little(Number(srid))}${rest}`;
};

/** The way back; WKB without SRID stays as it is. */
export const fromEwkb: Convert = (text) => {
  if (!/^\\x01[0-9a-f]{16}/.test(text)) return text;
  const type = Buffer.from(text.slice(4, 12), 'hex').readUInt32LE();
  if ((type & SRID_FLAG) === 0) return text;
  const srid = Buffer.from(text.slice(12, 20), 'hex').readUInt32LE();
  const wkb = `\\x01${little(type & ~SRID_FLAG)}${text.slice(20)}`;
  return srid === 0 ? wkb : `SRID=${srid};${wkb}`;
};

/** MySQL's geometry in bytes, as EWKB: exact, and readable with `ST_GeomFromEWKB`. */
export const geometryToBytes: Rule = (from) => ({
  convert: from.spelling === 'mysql' ? toEwkb : postgisToBytes,
});

export const bytesToGeometry: Rule = (_from, to) => ({
  convert: to.spelling === 'mysql' ? fromEwkb : bytesToPostgis,
  refuses: ['bytes that are no geometry (WKB or EWKB, little-endian)'],
});

/** PostGIS prints EWKB as upper-case hex. */
export const bytesToPostgis: Convert = (text) =>
  text.startsWith('\\x') ? text.slice(2).toUpperCase() : text;
const postgisToBytes: Convert = (text) =>
  /^(?:[0-9A-F]{2})+$/.test(text) ? `\\x${text.toLowerCase()}` : text;

export const geometryToGeometry: Rule = (from, to) => {
  if (from.spelling === to.spelling) return { convert: null };
  return from.spelling === 'mysql'
    ? { convert: (text) => bytesToPostgis(toEwkb(text) as string) }
    : {
        convert: (text) => fromEwkb(postgisToBytes(text) as string),
        refuses: ['points with a third or fourth dimension'],
      };
};
