import type { KeyRange } from './record-reader.ts';

/**
 * Rows as text, for stores that take such text in bulk. Values are the canonical text of this store, separated by tabs, a line feed behind each row, `\N`
 * for NULL; backslash, tab, line feed and carriage return are `\\`, `\t`, `\n`, `\r` (what PostgreSQL's COPY and MySQL's LOAD DATA understand). UTF-8.
 */
export interface TextRows {
  /** The columns of each row: those of the key first, in key order. */
  readonly columns: readonly string[];
  /** Whole rows, in key order, in buffers that nobody writes to again. Left early: the read is given up. Rejects as `RecordStore.scan`. */
  readonly text: AsyncIterable<Buffer>;
}

/** The reading end of a copy as text. Collections without children. */
export interface TextSource {
  /** The rows of the range (its first `rowsMax`; null: all of them) in one snapshot, taken after the call. Nothing is read before `text` is. */
  read(
    collection: string,
    range: KeyRange,
    rowsMax: number | null,
    timeoutMs: number,
  ): Promise<TextRows>;
}
