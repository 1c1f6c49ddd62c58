import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { LedgerLine } from '../../src/demo/ledger.ts';

/** The newest part of a ledger that grows for a long time: what was written since the window was moved on. */
export class LedgerWindow {
  readonly path: string;
  #offset = 0;
  #lines: LedgerLine[] = [];

  constructor(path: string) {
    this.path = path;
  }

  /** All lines of the window, in order, those that were written meanwhile included. A line that a kill has cut is left out. */
  lines(): readonly LedgerLine[] {
    for (const line of this.#fresh()) this.#lines.push(JSON.parse(line) as LedgerLine);
    return this.#lines;
  }

  /**
   * Begins a new window. Writes without an answer, or whose answer was that nobody knows, go with it: they may still happen, or have
   * happened, at any time.
   */
  moveOn(): void {
    const open = new Map<string, LedgerLine[]>();
    for (const line of this.lines()) {
      if (line.t === 'intent') open.set(line.op, [line]);
      if (line.t === 'ack' || line.t === 'rejected') open.delete(line.op);
      if (line.t === 'unknown') open.get(line.op)?.push(line);
    }
    this.#lines = [...open.values()].flat();
  }

  #fresh(): readonly string[] {
    let file: number;
    try {
      file = openSync(this.path, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    try {
      const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - this.#offset));
      const read = readSync(file, bytes, 0, bytes.length, this.#offset);
      // Whole lines only: their bytes are whole characters as well.
      const whole = bytes.subarray(0, read).lastIndexOf(10) + 1;
      this.#offset += whole;
      return bytes.subarray(0, whole).toString().split('\n').slice(0, -1);
    } finally {
      closeSync(file);
    }
  }
}
