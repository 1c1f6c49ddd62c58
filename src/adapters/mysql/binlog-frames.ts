/** Payload length that says: the next packet continues this one. */
const FULL_PACKET = 0xff_ff_ff;
const HEADER_BYTES = 4;

/**
 * Cuts the bytes of a MySQL connection into packets, and joins packets of one payload (events of 16 MB and more). Payloads are views into the
 * received chunks where possible: whoever keeps one copies it.
 */
export class PacketFrames {
  #current: Buffer = Buffer.alloc(0);
  #offset = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #parts: Buffer[] = [];
  #partBytes = 0;

  push(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
  }

  /** Received and not handed out yet. */
  get bytes(): number {
    return this.#current.length - this.#offset + this.#waitingBytes + this.#partBytes;
  }

  /** The next whole payload; null: more bytes are needed. */
  next(): Buffer | null {
    for (;;) {
      const available = this.#current.length - this.#offset;
      const length = available >= HEADER_BYTES ? this.#current.readUIntLE(this.#offset, 3) : 0;
      const needed = HEADER_BYTES + length;
      if (available < needed) {
        if (available + this.#waitingBytes < needed || this.#waitingBytes === 0) return null;
        this.#join(available);
        continue;
      }
      const payload = this.#current.subarray(this.#offset + HEADER_BYTES, this.#offset + needed);
      this.#offset += needed;
      if (length < FULL_PACKET && this.#parts.length === 0) return payload;
      this.#parts.push(payload);
      this.#partBytes += payload.length;
      if (length === FULL_PACKET) continue;
      const whole = Buffer.concat(this.#parts, this.#partBytes);
      this.#parts = [];
      this.#partBytes = 0;
      return whole;
    }
  }

  /** Once per packet that spans chunks, not once per chunk: a large event is copied once. */
  #join(available: number): void {
    const [first] = this.#waiting;
    if (available === 0 && this.#waiting.length === 1 && first) this.#current = first;
    else
      this.#current = Buffer.concat(
        [this.#current.subarray(this.#offset), ...this.#waiting],
        available + this.#waitingBytes,
      );
    this.#offset = 0;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
