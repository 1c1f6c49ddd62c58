import type { DataRecord, Key } from '../record/index.ts';
import type { KeyRange, RecordStore, StoredRecord } from '../store/index.ts';

/** The records of a chunk; `cutAt`: the range holds more than the byte limit allows, these end there. */
export interface ChunkRows {
  readonly records: readonly StoredRecord[];
  readonly bytes: number;
  readonly cutAt: Key | null;
}

/** Page size as long as nothing is known about the width of the rows: they may be megabytes. */
const PAGE_ROWS_BLIND = 64;
const PAGE_ROWS_MAX = 50_000;

/** Reads ranges with bounded memory; learns the width of the rows as it goes. */
export interface ChunkReader {
  read(range: KeyRange, expectedRows: number): Promise<ChunkRows>;
}

export function createChunkReader(
  records: RecordStore,
  collection: string,
  bytesMax: number,
): ChunkReader {
  let rowBytes: number | null = null;
  const pageRows = (expectedRows: number, bytes: number): number => {
    if (rowBytes === null) return PAGE_ROWS_BLIND;
    const fitting = Math.ceil((bytesMax - bytes) / Math.max(1, rowBytes));
    // Some more than expected, so that one page shows that the range is exhausted.
    const wanted = Math.ceil(expectedRows * 1.1) + 16;
    return Math.max(1, Math.min(wanted, fitting + 1, PAGE_ROWS_MAX));
  };
  return {
    async read(range, expectedRows) {
      const found: StoredRecord[] = [];
      let bytes = 0;
      let after = range.after;
      for (;;) {
        const limit = pageRows(expectedRows - found.length, bytes);
        const page = await records.scan(collection, { after, until: range.until }, limit);
        let pageBytes = 0;
        for (const stored of page) {
          pageBytes += sizeOf(stored.record);
          found.push(stored);
        }
        bytes += pageBytes;
        if (page.length > 0) rowBytes = Math.max(pageBytes / page.length, (rowBytes ?? 0) * 0.7);
        const last = page.at(-1);
        if (last === undefined || page.length < limit)
          return { records: found, bytes, cutAt: null };
        if (bytes >= bytesMax) return { records: found, bytes, cutAt: last.key };
        after = last.key;
      }
    },
  };
}

/** Characters of a record's values: near enough to bytes for a bound. */
function sizeOf(record: DataRecord): number {
  let size = 0;
  for (const field in record) {
    const value = record[field];
    if (typeof value === 'string') size += value.length;
    else if (value) for (const row of value) size += sizeOf(row);
  }
  return size;
}
