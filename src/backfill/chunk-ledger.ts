import { ChangeoverError } from '../errors/index.ts';
import type { Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';

/** Rows of one or more chunks. */
export interface RowCounts {
  readonly read: number;
  readonly inserted: number;
  readonly dead: number;
}

/**
 * `copy`: bytes passed through. `open`: the same, and where the chunk ends only shows when it has been read: its range goes on to the end of the
 * table, which spares the source the search for its end. `rows`: records in JavaScript. A refused copy is tried again as rows, to find the row.
 */
export type ChunkPath = 'copy' | 'open' | 'rows';

/** A chunk of this run: pending → running → done, or back to pending when it was split. */
export interface Chunk {
  readonly number: number;
  readonly range: KeyRange;
  readonly state: 'pending' | 'running' | 'done';
  readonly path: ChunkPath;
}

/** All chunks up to `doneUntil` are done. */
export interface DonePrefix extends RowCounts {
  readonly doneUntil: Key | null;
  readonly nextChunk: number;
}

interface Entry extends Chunk {
  range: KeyRange;
  state: Chunk['state'];
  path: ChunkPath;
  counts: RowCounts;
}

/**
 * The chunks of one run in key order, from the first that is not done to the last that is planned. Knows what may be
 * checkpointed: only the contiguous prefix (vitess#11385, pgcopydb#1044: a later chunk that is done says nothing about
 * an earlier one).
 */
export interface ChunkLedger {
  /** A new pending chunk behind all others. */
  plan(until: Key, path: ChunkPath): void;
  /** The first pending chunk becomes running; null: none. */
  take(): Chunk | null;
  /** The chunk keeps what is up to `at`, a new one gets the rest; both pending. */
  split(chunk: Chunk, at: Key): void;
  /** The chunk is pending again, as rows; with `at` only what is up to there, the rest goes on as it was. */
  demote(chunk: Chunk, at?: Key | null): void;
  /** With `at` only what is up to there is done, and a new pending chunk gets the rest. */
  finish(chunk: Chunk, counts: RowCounts, at?: Key | null): void;
  /** Chunks from the first that is not done on. */
  size(): number;
  /** Where the next planned chunk begins. */
  plannedUntil(): Key | null;
  prefix(): DonePrefix;
  /** Prefix and done chunks beyond it. */
  totals(): RowCounts;
}

const add = (a: RowCounts, b: RowCounts): RowCounts => ({
  read: a.read + b.read,
  inserted: a.inserted + b.inserted,
  dead: a.dead + b.dead,
});
const none: RowCounts = { read: 0, inserted: 0, dead: 0 };

export function createChunkLedger(start: DonePrefix): ChunkLedger {
  let entries: readonly Entry[] = [];
  let next = start.nextChunk;
  let done = start;
  let totals: RowCounts = { read: start.read, inserted: start.inserted, dead: start.dead };

  const find = (chunk: Chunk): Entry => {
    const entry = entries.find((one) => one.number === chunk.number);
    if (entry?.state !== 'running')
      throw new ChangeoverError('BUG', `Chunk ${chunk.number} is not running.`);
    return entry;
  };
  const advance = (): void => {
    const open = entries.findIndex(({ state }) => state !== 'done');
    const finished = open < 0 ? entries : entries.slice(0, open);
    if (finished.length === 0) return;
    entries = open < 0 ? [] : entries.slice(open);
    const counts = finished.reduce((sum, entry) => add(sum, entry.counts), done as RowCounts);
    const doneUntil = finished.at(-1)?.range.until ?? null;
    done = { ...counts, doneUntil, nextChunk: entries[0]?.number ?? next };
  };
  const plannedUntil = (): Key | null => entries.at(-1)?.range.until ?? done.doneUntil;
  const entryOf = (range: KeyRange, path: ChunkPath): Entry => ({
    number: next++,
    range,
    state: 'pending',
    path,
    counts: none,
  });

  const cut = (entry: Entry, at: Key): void => {
    const rest = entryOf({ after: at, until: entry.range.until }, entry.path);
    entry.range = { after: entry.range.after, until: at };
    const index = entries.indexOf(entry);
    entries = [...entries.slice(0, index + 1), rest, ...entries.slice(index + 1)];
  };

  return {
    size: () => entries.length,
    plannedUntil,
    plan(until, path) {
      entries = [...entries, entryOf({ after: plannedUntil(), until }, path)];
    },
    take() {
      const entry = entries.find(({ state }) => state === 'pending');
      if (!entry) return null;
      entry.state = 'running';
      return { ...entry };
    },
    split(chunk, at) {
      const entry = find(chunk);
      cut(entry, at);
      entry.state = 'pending';
    },
    demote(chunk, at = null) {
      const entry = find(chunk);
      if (at !== null) cut(entry, at);
      entry.path = 'rows';
      entry.state = 'pending';
    },
    finish(chunk, counts, at = null) {
      const entry = find(chunk);
      if (at !== null) cut(entry, at);
      entry.state = 'done';
      entry.counts = counts;
      totals = add(totals, counts);
      advance();
    },
    prefix: () => done,
    totals: () => totals,
  };
}
