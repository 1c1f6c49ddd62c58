import type { CatalogColumn } from './mysql-catalog.ts';
import { decodedValue, isFloat32 } from './mysql-literals.ts';
import { readValue, type WireColumn } from './mysql-wire-values.ts';

/** Bytes of one buffer that is handed on. */
const BUFFER_BYTES = 128 * 1024;
const BINARY = 63;
const ZEROFILL = 64;
const TAB = 9;
const LINE_FEED = 10;
const RETURN = 13;
const BACKSLASH = 92;
const NULL_VALUE = 0xfb;

/** decimal, tiny, short, long, longlong, int24, newdecimal; timestamp, date, time, datetime, year: plain characters, as the server prints them. */
const PLAIN: ReadonlySet<number> = new Set([0, 1, 2, 3, 8, 9, 246, 7, 10, 11, 12, 13]);
/** varchar, json, blobs, var_string, string. */
const TEXTS: ReadonlySet<number> = new Set([15, 245, 249, 250, 251, 252, 253, 254]);
const JSON_TYPE = 245;

type Way = 'plain' | 'text' | 'decoded';

/** How a value gets from the packet into the text: its bytes as they are, its bytes escaped, or by way of its canonical text. */
function wayOf(column: CatalogColumn, { type, charset, flags }: WireColumn): Way {
  if (isFloat32(column)) return 'decoded';
  if (PLAIN.has(type)) return (flags & ZEROFILL) === 0 || type === 13 ? 'plain' : 'decoded';
  return TEXTS.has(type) && (charset !== BINARY || type === JSON_TYPE) ? 'text' : 'decoded';
}

/**
 * Turns row packets into the text of `store/text-source.ts`, byte by byte: no string is made of a number, a date or a text. The same values as
 * `readValue` and `decodedValue` give.
 */
export class TextRowWriter {
  readonly #columns: readonly CatalogColumn[];
  readonly #wire: readonly WireColumn[];
  readonly #ways: readonly Way[];
  readonly #hand: (buffer: Buffer) => void;
  #out: Buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #at = 0;

  /** @param hand takes full buffers, and the last one at `end`; they are not written to again. */
  constructor(
    columns: readonly CatalogColumn[],
    wire: readonly WireColumn[],
    hand: (buffer: Buffer) => void,
  ) {
    this.#columns = columns;
    this.#wire = wire;
    this.#ways = wire.map((one, index) => wayOf(columns[index] as CatalogColumn, one));
    this.#hand = hand;
  }

  /** One row of the text protocol that begins at `from` and ends at `end`. */
  row(buffer: Buffer, from: number, end: number): void {
    // Escaping doubles at most; a NULL that takes one byte becomes three with its tab.
    this.#room(3 * (end - from) + 2);
    const ways = this.#ways;
    let out = this.#out;
    let at = from;
    let to = this.#at;
    for (let index = 0; index < ways.length; index += 1) {
      if (index > 0) out[to++] = TAB;
      let length = buffer[at] as number;
      at += 1;
      if (length === NULL_VALUE) {
        out[to++] = BACKSLASH;
        out[to++] = 78;
        continue;
      }
      if (length > NULL_VALUE) {
        const bytes = length === 0xfc ? 2 : length === 0xfd ? 3 : 6;
        length = buffer.readUIntLE(at, bytes);
        // Six of the eight bytes are more than any value has.
        at += bytes === 6 ? 8 : bytes;
      }
      const stop = at + length;
      const way = ways[index];
      if (way === 'plain') while (at < stop) out[to++] = buffer[at++] as number;
      else if (way === 'text') {
        while (at < stop) {
          const byte = buffer[at++] as number;
          if (byte > RETURN && byte !== BACKSLASH) out[to++] = byte;
          else to = escaped(out, to, byte);
        }
      } else {
        this.#at = to;
        this.#decoded(index, buffer, at, stop, end - stop);
        out = this.#out;
        to = this.#at;
        at = stop;
      }
    }
    out[to++] = LINE_FEED;
    this.#at = to;
  }

  end(): void {
    if (this.#at > 0) this.#hand(this.#out.subarray(0, this.#at));
    this.#at = 0;
    this.#out = Buffer.alloc(0);
  }

  #decoded(index: number, buffer: Buffer, from: number, to: number, rest: number): void {
    const value = readValue(this.#wire[index] as WireColumn, buffer, from, to);
    const text = decodedValue(this.#columns[index] as CatalogColumn, value) ?? '';
    const bytes = Buffer.from(text);
    this.#room(2 * bytes.length + 3 * rest + 2, true);
    let at = this.#at;
    for (const byte of bytes) {
      if (byte > RETURN && byte !== BACKSLASH) this.#out[at++] = byte;
      else at = escaped(this.#out, at, byte);
    }
    this.#at = at;
  }

  /** Makes room behind what is there. Buffers that are handed on end with a row, unless one is begun (`inside`). */
  #room(bytes: number, inside = false): void {
    if (this.#out.length - this.#at >= bytes) return;
    if (inside) {
      const larger = Buffer.allocUnsafe(Math.max(this.#at + bytes, 2 * this.#out.length));
      this.#out.copy(larger, 0, 0, this.#at);
      this.#out = larger;
      return;
    }
    if (this.#at > 0) this.#hand(this.#out.subarray(0, this.#at));
    this.#out = Buffer.allocUnsafe(Math.max(bytes, BUFFER_BYTES));
    this.#at = 0;
  }
}

/** Writes one byte, escaped where it has to be; the place behind it. */
function escaped(out: Buffer, at: number, byte: number): number {
  const letter =
    byte === TAB
      ? 116
      : byte === LINE_FEED
        ? 110
        : byte === RETURN
          ? 114
          : byte === BACKSLASH
            ? BACKSLASH
            : 0;
  let next = at;
  if (letter === 0) out[next++] = byte;
  else {
    out[next++] = BACKSLASH;
    out[next++] = letter;
  }
  return next;
}
