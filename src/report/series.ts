import { addSamples, type Sample, type SampleSeries, sampleQuantile } from '../control/index.ts';
import type { Series } from './report-data.ts';

/** Points of one line, at most: more than a screen shows, and a document stays small. */
const POINTS_MAX = 480;

/** What is plotted of what workers and routers measured. Lines without a point are left out. */
export function measuredSeries(samples: readonly Sample[]): readonly Series[] {
  return [
    ...quantiles(samples, 'read', 'reads'),
    ...quantiles(samples, 'shadow-read', 'shadow reads'),
    ...quantiles(samples, 'write', 'writes'),
    ...highs(samples, 'oldest', 'lag', 'oldest waiting change', 1e6),
    ...highs(samples, 'log-lag', 'lag', 'log', 1e6),
    ...highs(samples, 'waiting', 'backlog', 'waiting', 1),
    ...highs(samples, 'dead', 'backlog', 'dead letters', 1),
  ].filter(({ points }) => points.length > 0);
}

function quantiles(
  samples: readonly Sample[],
  series: SampleSeries,
  name: string,
): readonly Series[] {
  return bySide(samples, series).map(([side, rows]) => ({
    plot: 'latency',
    name: `${name} of the ${side}, p99`,
    points: pooled(rows).flatMap((row): readonly (readonly [number, number])[] => {
      const value = sampleQuantile(row, 0.99);
      return value === null ? [] : [[row.minute, value / 1_000]];
    }),
  }));
}

function highs(
  samples: readonly Sample[],
  series: SampleSeries,
  plot: Series['plot'],
  name: string,
  divisor: number,
): readonly Series[] {
  return bySide(samples, series).map(([side, rows]) => ({
    plot,
    name: `${name}, ${side}`,
    points: pooled(rows).map(({ minute, high }): readonly [number, number] => [
      minute,
      high / divisor,
    ]),
  }));
}

function bySide(
  samples: readonly Sample[],
  series: SampleSeries,
): readonly (readonly [string, readonly Sample[]])[] {
  return (['source', 'target'] as const).flatMap((side) => {
    const rows = samples.filter((sample) => sample.series === series && sample.side === side);
    return rows.length === 0 ? [] : [[side, rows] as const];
  });
}

/** Neighbouring minutes as one where there are too many: the largest stays the largest, and quantiles stay exact for the longer stretch. */
function pooled(rows: readonly Sample[]): readonly Sample[] {
  const [first, last] = [rows[0]?.minute ?? 0, rows.at(-1)?.minute ?? 0];
  const width = Math.max(1, Math.ceil((last - first + 1) / POINTS_MAX));
  const pools = new Map<number, Sample>();
  for (const row of rows) {
    const minute = first + Math.floor((row.minute - first) / width) * width;
    const present = pools.get(minute);
    pools.set(minute, present === undefined ? { ...row, minute } : addSamples(present, row));
  }
  return [...pools.values()];
}
