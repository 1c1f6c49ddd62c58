import { ChangeoverError } from '../../errors/index.ts';

/** A place in the bytes of one event. Decoders read at `offset` and move it on. */
export class Cursor {
  bytes: Buffer;
  offset: number;
  /** Exclusive. */
  end: number;

  constructor(bytes: Buffer, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  uint8(): number {
    return this.bytes[this.offset++] ?? 0;
  }

  uint16(): number {
    this.offset += 2;
    return this.bytes.readUInt16LE(this.offset - 2);
  }

  uint32(): number {
    this.offset += 4;
    return this.bytes.readUInt32LE(this.offset - 4);
  }

  /** Up to 2^53: lengths and positions. */
  uint64(): number {
    const low = this.uint32();
    return this.uint32() * 4_294_967_296 + low;
  }

  /** Little-endian, 1 … 6 bytes. */
  uint(bytes: number): number {
    this.offset += bytes;
    return this.bytes.readUIntLE(this.offset - bytes, bytes);
  }

  /** Length-encoded integer. */
  packed(): number {
    const first = this.uint8();
    if (first < 251) return first;
    if (first === 252) return this.uint16();
    if (first === 253) return this.uint(3);
    return this.uint64();
  }

  take(length: number): Buffer {
    this.offset += length;
    if (this.offset > this.end) throw shortEvent();
    return this.bytes.subarray(this.offset - length, this.offset);
  }

  text(length: number): string {
    return this.take(length).toString('utf8');
  }

  left(): number {
    return this.end - this.offset;
  }
}

/** The bytes do not mean what they were taken for: never go on with them. */
export function shortEvent(): ChangeoverError {
  return new ChangeoverError(
    'BUG',
    'An event of the binary log ends before the values that its description announces.',
  );
}
