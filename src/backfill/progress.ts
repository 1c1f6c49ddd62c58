import type { BackfillCheckpoint, BackfillGrowth } from '../control/index.ts';
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
  /** New work a second while it copies: rows into its range, changes that come to wait. null: not known. */
  readonly growthPerSecond: number | null;
  /**
   * Copied less new work, a second: how fast what the follower does not have becomes less. 0 or below: not converging, at this rate it
   * never ends. null: not known.
   */
  readonly convergencePerSecond: number | null;
  /** Until rows and waiting changes are with the follower, at that rate. null: unknown, or not converging. 0 when finished. */
  readonly estimatedRemainingMs: number | null;
  readonly finished: boolean;
}

/** Nothing that is not finished is shown as finished. */
const RATIO_MAX_UNFINISHED = 0.999;
/** A growth that was measured longer ago says nothing about now. */
const GROWTH_STALE_MS = 60_000;

/** What is known of the speed; null: not known. */
export interface BackfillPace {
  readonly rowsPerSecond: number | null;
  readonly growth: Pick<BackfillGrowth, 'perSecond' | 'waiting'> | null;
}

/** Progress from counts and pace. */
export function progressOf(
  counts: Pick<BackfillCheckpoint, 'rowsRead' | 'rowsInserted' | 'rowsDead' | 'estimatedRows'>,
  { rowsPerSecond, growth }: BackfillPace,
  finished: boolean,
): BackfillProgress {
  const { rowsRead, rowsInserted, rowsDead } = counts;
  const known = counts.estimatedRows > 0;
  const estimatedRows = finished
    ? rowsRead
    : Math.max(counts.estimatedRows, rowsRead + (known || rowsRead > 0 ? 1 : 0));
  const ratio = known ? Math.min(RATIO_MAX_UNFINISHED, rowsRead / estimatedRows) : null;
  const overrun = known && rowsRead >= counts.estimatedRows;
  const convergence =
    rowsPerSecond === null || growth === null ? null : rowsPerSecond - growth.perSecond;
  const remainingMs =
    known && !overrun && growth !== null && convergence !== null && convergence > 0
      ? Math.round(((estimatedRows - rowsRead + growth.waiting) / convergence) * 1000)
      : null;
  return {
    rowsRead,
    rowsInserted,
    rowsDead,
    estimatedRows,
    estimatedRatio: finished ? 1 : ratio,
    rowsPerSecond,
    growthPerSecond: growth?.perSecond ?? null,
    convergencePerSecond: finished ? null : convergence,
    estimatedRemainingMs: finished ? 0 : remainingMs,
    finished,
  };
}

/** Progress as another process sees it: the rate is the average since the start, pauses included; the growth what the copying one measured last. */
export function progressOfCheckpoint(
  checkpoint: BackfillCheckpoint,
  nowMs: number,
): BackfillProgress {
  const { growth = null } = checkpoint;
  const elapsedMs = (checkpoint.finishedAtMs ?? nowMs) - checkpoint.startedAtMs;
  const rowsPerSecond = elapsedMs > 0 ? (checkpoint.rowsRead / elapsedMs) * 1000 : null;
  const fresh = growth !== null && nowMs - growth.measuredAtMs < GROWTH_STALE_MS;
  const pace = { rowsPerSecond, growth: fresh ? growth : null };
  return progressOf(checkpoint, pace, checkpoint.finishedAtMs !== null);
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
