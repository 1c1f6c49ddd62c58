/** Bounds of the number of rows of a chunk. */
export interface ChunkRows {
  readonly initial: number;
  readonly min: number;
  readonly max: number;
}

/** How many rows the next chunk should have. */
export interface ChunkSizer {
  rows(): number;
  /** A chunk of `rows` rows took `ms` of reading and writing (waits for permission left out). */
  observe(rows: number, ms: number): void;
  /** The store gave up under load: smaller at once. */
  shrink(): void;
}

const SMOOTHING = 0.4;
/** Growth per chunk: one lucky fast chunk must not lead to a huge one. */
const GROWTH_MAX = 2;
/** Below this share of the planned size a chunk (the rest of a split) says little about the rate. */
const TELLING_SHARE = 0.2;

/** Sizes chunks so that one takes `targetMs`, by a moving average of the rate. */
export function createChunkSizer(bounds: ChunkRows, targetMs: number): ChunkSizer {
  const clamp = (rows: number): number =>
    Math.round(Math.min(bounds.max, Math.max(bounds.min, rows)));
  let current = clamp(bounds.initial);
  let rowsPerMs: number | null = null;
  return {
    rows: () => current,
    observe(rows, ms) {
      if (rows < current * TELLING_SHARE) return;
      const rate = rows / Math.max(ms, 0.05);
      rowsPerMs = rowsPerMs === null ? rate : rowsPerMs + SMOOTHING * (rate - rowsPerMs);
      current = clamp(Math.min(rowsPerMs * targetMs, current * GROWTH_MAX));
    },
    shrink() {
      current = clamp(current / 2);
      if (rowsPerMs !== null) rowsPerMs /= 2;
    },
  };
}
