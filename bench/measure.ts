import { performance } from 'node:perf_hooks';

/** What one benchmark found out: ours beside the alternative, measured in the same run. */
export interface Case {
  readonly case: string;
  readonly ours: number;
  readonly alternative: number;
  /** Of both figures, for example `rows/s` or `ms`. */
  readonly unit: string;
  /** ours / alternative; whether more is better follows from the unit. */
  readonly ratio: number;
}

export interface BenchContext {
  /** Progress, on stderr. */
  say(line: string): void;
}

export interface Benchmark {
  readonly name: string;
  run(context: BenchContext): Promise<readonly Case[]>;
}

/** The middle value, the mean of the two middle ones for an even count; NaN for none. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Linear interpolation between the closest ranks; `share` from 0 to 1. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (sorted.length - 1) * share;
  const low = sorted[Math.floor(rank)] ?? Number.NaN;
  const high = sorted[Math.ceil(rank)] ?? Number.NaN;
  return low + (high - low) * (rank - Math.floor(rank));
}

/** How long `body` takes, in milliseconds. */
export async function elapsedMs(body: () => unknown): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

/** Makes a `Case` out of two figures. */
export function compare(name: string, unit: string, ours: number, alternative: number): Case {
  return { case: name, ours, alternative, unit, ratio: ours / alternative };
}

/**
 * Runs both sides in turn, `rounds` times, so that drift of the machine hits both alike, and
 * compares the medians of the figures that they return. The first of each round alternates.
 */
export async function interleave(
  name: string,
  unit: string,
  rounds: number,
  ours: () => Promise<number>,
  alternative: () => Promise<number>,
): Promise<Case> {
  const figures: { ours: number[]; alternative: number[] } = { ours: [], alternative: [] };
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) figures.ours.push(await ours());
    figures.alternative.push(await alternative());
    if (round % 2 === 1) figures.ours.push(await ours());
  }
  return compare(name, unit, median(figures.ours), median(figures.alternative));
}
