/** One message of the server: its kind, and where its body lies in `data`. */
export type FrameReader = (kind: number, data: Buffer, start: number, end: number) => void;

/** Kind and length. */
const HEAD_BYTES = 5;

/**
 * Cuts what the server sends into the messages of its protocol (PostgreSQL manual, "Message Formats"): a byte of kind, four of length, the body. Bodies are
 * read where they lie; only what straddles two chunks is copied, and that once however many chunks it fills.
 */
export class WireFrames {
  readonly #read: FrameReader;
  #parts: Buffer[] = [];
  #held = 0;
  /** Nothing can be cut before so much is there. */
  #needed = HEAD_BYTES;

  constructor(read: FrameReader) {
    this.#read = read;
  }

  push(chunk: Buffer): void {
    let data = chunk;
    if (this.#held > 0) {
      this.#parts.push(chunk);
      this.#held += chunk.length;
      if (this.#held < this.#needed) return;
      data = Buffer.concat(this.#parts, this.#held);
      this.#parts = [];
      this.#held = 0;
    }
    let at = 0;
    this.#needed = HEAD_BYTES;
    while (at + HEAD_BYTES <= data.length) {
      const end = at + 1 + data.readUInt32BE(at + 1);
      if (end > data.length) {
        this.#needed = end - at;
        break;
      }
      this.#read(data[at] as number, data, at + HEAD_BYTES, end);
      at = end;
    }
    if (at === data.length) return;
    this.#parts.push(data.subarray(at));
    this.#held = data.length - at;
  }
}
