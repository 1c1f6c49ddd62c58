import { ChangeoverError } from '../../errors/index.ts';

/** Text from bytes `from` … `to` of a buffer. */
export type TextDecoding = (bytes: Buffer, from: number, to: number) => string;

/** How a server turns the bytes of a narrow character set into Unicode, asked of the server itself. */
export interface CharsetTable {
  /** 256 entries: one byte alone. */
  readonly single: readonly string[];
  /** Two bytes, high × 256 + low, that are one character. Empty for sets of one byte. */
  readonly pairs: ReadonlyMap<number, string>;
  /** The same behind a byte `LONG`, for sets of three bytes. */
  readonly triples: ReadonlyMap<number, string>;
}

const utf8: TextDecoding = (bytes, from, to) => bytes.toString('utf8', from, to);

const WIDE: Readonly<Record<string, TextDecoding>> = {
  utf8,
  utf8mb3: utf8,
  utf8mb4: utf8,
  ascii: utf8,
  utf16le: (bytes, from, to) => bytes.toString('utf16le', from, to),
  utf16: bigEndian16,
  ucs2: bigEndian16,
  utf32: (bytes, from, to) => {
    let text = '';
    for (let at = from; at + 4 <= to; at += 4) text += String.fromCodePoint(bytes.readUInt32BE(at));
    return text;
  },
};

/** Four bytes, only in MySQL: what the platform knows. */
const PLATFORM: Readonly<Record<string, string>> = { gb18030: 'gb18030' };

/** Introduces three bytes in EUC-JP, the only kind of set with so many. */
const LONG = 0x8f;

function bigEndian16(bytes: Buffer, from: number, to: number): string {
  return Buffer.from(bytes.subarray(from, to)).swap16().toString('utf16le');
}

/** True when the set can only be decoded with a table from the server. */
export function needsTable(charset: string): boolean {
  return WIDE[charset] === undefined && PLATFORM[charset] === undefined;
}

/** Decoder for a character set by the server's name. @param table of the server, where `needsTable` */
export function textDecoding(charset: string, table: CharsetTable | undefined): TextDecoding {
  const wide = WIDE[charset];
  if (wide !== undefined) return wide;
  const label = PLATFORM[charset];
  if (label !== undefined) {
    const decoder = new TextDecoder(label);
    return (bytes, from, to) => decoder.decode(bytes.subarray(from, to));
  }
  if (table === undefined)
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The server has no character set "${charset}", or does not say how it is turned into Unicode.`,
    );
  return table.pairs.size === 0 ? narrow(table.single) : paired(table);
}

/** Most characters that are put together at once. */
const SLICE = 4_096;

/** What is ASCII, as most is, is not looked up byte by byte. */
function narrow(single: readonly string[]): TextDecoding {
  const codes = Uint16Array.from(single, (text) => text.charCodeAt(0));
  const plain = codes.subarray(0, ASCII_COUNT).every((code, byte) => code === byte);
  return (bytes, from, to) => {
    if (plain && isAscii(bytes, from, to)) return bytes.toString('latin1', from, to);
    let text = '';
    for (let at = from; at < to; at += SLICE) {
      const part = new Uint16Array(Math.min(SLICE, to - at));
      for (let index = 0; index < part.length; index++)
        part[index] = codes[bytes[at + index] ?? 0] ?? 0;
      text += String.fromCharCode.apply(null, part as unknown as number[]);
    }
    return text;
  };
}

const ASCII_COUNT = 128;

function isAscii(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if ((bytes[at] ?? 0) >= ASCII_COUNT) return false;
  return true;
}

function paired({ single, pairs, triples }: CharsetTable): TextDecoding {
  const plain = single.slice(0, ASCII_COUNT).every((text, byte) => text.charCodeAt(0) === byte);
  return (bytes, from, to) => {
    if (plain && isAscii(bytes, from, to)) return bytes.toString('latin1', from, to);
    let text = '';
    for (let at = from; at < to; at++) {
      const first = bytes[at] ?? 0;
      const code = first * 256 + (bytes[at + 1] ?? 0);
      const pair = first < 0x80 || at + 1 >= to ? undefined : pairs.get(code);
      if (pair !== undefined) {
        text += pair;
        at += 1;
        continue;
      }
      const long = first !== LONG || at + 2 >= to ? undefined : bytes.readUInt16BE(at + 1);
      const triple = long === undefined ? undefined : triples.get(long);
      if (triple === undefined) text += single[first];
      else {
        text += triple;
        at += 2;
      }
    }
    return text;
  };
}

const SINGLE_COUNT = 256;
const ALL_BYTES = Buffer.from(Array.from({ length: SINGLE_COUNT }, (_, byte) => byte));

/** Statements whose answers `charsetTable` reads. @param charset one of the server's own names */
export function charsetStatements(charset: string, bytesMax: number): readonly string[] {
  const into = (hex: string): string =>
    `HEX(CONVERT(CONVERT(${hex} USING ${charset}) USING utf32))`;
  // One by one: in a set of several bytes the first of a pair would take its neighbour along.
  const each = [...ALL_BYTES].map((byte) => into(`X'${byte.toString(16).padStart(2, '0')}'`));
  const singles = `SELECT ${each.join(', ')}`;
  if (bytesMax < 2) return [singles];
  const pair = `LPAD(HEX(h.i * 256 + l.i), 4, '0')`;
  const all = (hex: string): string =>
    `WITH RECURSIVE h (i) AS (SELECT 128 UNION ALL SELECT i + 1 FROM h WHERE i < 255),
       l (i) AS (SELECT 33 UNION ALL SELECT i + 1 FROM l WHERE i < 254)
     SELECT h.i * 256 + l.i, ${into(`UNHEX(${hex})`)} FROM h, l`;
  if (bytesMax < 3) return [singles, all(pair)];
  return [singles, all(pair), all(`CONCAT('${LONG.toString(16)}', ${pair})`)];
}

const REPLACED = '?';

/** @param answers rows of `charsetStatements`, as text */
export function charsetTable(
  answers: readonly (readonly (readonly (string | null)[])[])[],
): CharsetTable {
  const singles = answers[0]?.[0] ?? [];
  const single = Array.from({ length: SINGLE_COUNT }, (_, byte) => utf32Text(singles[byte] ?? ''));
  return { single, pairs: characters(answers[1]), triples: characters(answers[2]) };
}

/** Bytes that are not one character together are left out. */
function characters(
  rows: readonly (readonly (string | null)[])[] | undefined,
): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const [code, hex] of rows ?? []) {
    const text = utf32Text(hex ?? '');
    if ([...text].length === 1 && text !== REPLACED) found.set(Number(code), text);
  }
  return found;
}

function utf32Text(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  let text = '';
  for (let at = 0; at + 4 <= bytes.length; at += 4)
    text += String.fromCodePoint(bytes.readUInt32BE(at));
  return text;
}
