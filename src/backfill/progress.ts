import type { BackfillCheckpoint } from '../control/index.ts';
import type { Clock } from '../runtime/index.ts';

/** How far a backfill is, for people. Every figure that is a guess says so by its name. */
export interface BackfillProgress {
  readonly rowsRead: number;
  readonly rowsInserted: number;
  readonly rowsDead: number;
  /** The planner's estimate; raised when more rows than that have been read. */
  readonly estimatedRows: number;
  /** 0 … 1; below 1 until it is finished; null: no estimate to compare with. */
  readonly estimatedRatio: number | null;
  readonly rowsPerSecond: number | null;
  /** null: unknown. 0 when finished. */
  readonly estimatedRemainingMs: number | null;
  readonly finished: boolean;
}

/** Nothing that is not finished is shown as finished. */
const RATIO_MAX_UNFINISHED = 0.999;

/** Progress from counts; `rowsPerSecond` null: not known. */
export function progressOf(
  counts: Pick<BackfillCheckpoint, 'rowsRead' | 'rowsInserted' | 'rowsDead' | 'estimatedRows'>,
  rowsPerSecond: number | null,
  finished: boolean,
): BackfillProgress {
  const { rowsRead, rowsInserted, rowsDead } = counts;
  const known = counts.estimatedRows > 0;
  const estimatedRows = finished
    ? rowsRead
    : Math.max(counts.estimatedRows, rowsRead + (known || rowsRead > 0 ? 1 : 0));
  const ratio = known ? Math.min(RATIO_MAX_UNFINISHED, rowsRead / estimatedRows) : null;
  const overrun = known && rowsRead >= counts.estimatedRows;
  const remainingMs =
    known && !overrun && rowsPerSecond !== null && rowsPerSecond > 0
      ? Math.round(((estimatedRows - rowsRead) / rowsPerSecond) * 1000)
      : null;
  return {
    rowsRead,
    rowsInserted,
    rowsDead,
    estimatedRows,
    estimatedRatio: finished ? 1 : ratio,
    rowsPerSecond,
    estimatedRemainingMs: finished ? 0 : remainingMs,
    finished,
  };
}

/** Progress as another process sees it: the rate is the average since the start, pauses included. */
export function progressOfCheckpoint(
  checkpoint: BackfillCheckpoint,
  nowMs: number,
): BackfillProgress {
  const elapsedMs = (checkpoint.finishedAtMs ?? nowMs) - checkpoint.startedAtMs;
  const rate = elapsedMs > 0 ? (checkpoint.rowsRead / elapsedMs) * 1000 : null;
  return progressOf(checkpoint, rate, checkpoint.finishedAtMs !== null);
}

/** Rows per second over the last seconds. */
export interface RateMeter {
  add(rows: number): void;
  perSecond(): number | null;
}

const WINDOW_MS = 10_000;

export function createRateMeter(clock: Clock): RateMeter {
  const begunAt = clock.monotonic();
  let samples: readonly { readonly at: number; readonly rows: number }[] = [];
  return {
    add(rows) {
      const now = clock.monotonic();
      samples = [...samples.filter(({ at }) => now - at < WINDOW_MS), { at: now, rows }];
    },
    perSecond() {
      const now = clock.monotonic();
      const spanMs = Math.min(WINDOW_MS, now - begunAt);
      if (spanMs <= 0) return null;
      const rows = samples.reduce((sum, s) => (now - s.at < WINDOW_MS ? sum + s.rows : sum), 0);
      return (rows / spanMs) * 1000;
    },
  };
}
