import { latencyQuantile } from '../control/index.ts';
import type { Side } from '../migration/index.ts';
import { fail, pass, unknown } from './answers.ts';
import type { Gate } from './gate.ts';

/**
 * The target reads about as fast as the source: p99 of the same reads on both, measured in the application where a read was repeated as shadow
 * read. One that was given up counts with its deadline. Buckets are 9 % wide: the upper limit of the target's is held against the lower one of the source's.
 */
export const latencyRatio: Gate = {
  name: 'latency-ratio',
  question: 'Does the target read about as fast as the source?',
  overridable: true,
  asked: ({ latencyRatioMax }) => latencyRatioMax > 0,
  async evaluate({ context, profile }) {
    const { latencyMinutes, latencyRatioMax, latencyReadsMin, latencyMsFine } = profile;
    const nowMinute = Math.floor(context.runtime.clock.now() / 60_000);
    const found = await context.control.evidence.latencies(
      context.migration.name,
      nowMinute - latencyMinutes,
    );
    const of = (side: Side): ReadonlyMap<number, number> => {
      const sum = new Map<number, number>();
      for (const one of found)
        if (one.side === side)
          for (const [bucket, reads] of one.buckets)
            sum.set(bucket, (sum.get(bucket) ?? 0) + reads);
      return sum;
    };
    const [source, target] = [of('source'), of('target')];
    const total = [...target.values()].reduce((sum, reads) => sum + reads, 0);
    const [from, to] = [latencyQuantile(source, 0.99), latencyQuantile(target, 0.99)];
    const evidence = {
      reads: total,
      sourceP99Ms: from?.fromMs ?? null,
      targetP99Ms: to?.untilMs ?? null,
      latencyRatioMax,
    };
    if (from === null || to === null || total < latencyReadsMin)
      return unknown(
        `${total} reads were timed on both stores in the last ${latencyMinutes} minutes; it takes ${latencyReadsMin} to tell.`,
        evidence,
        {
          atMs: null,
          text: 'cannot be predicted: it depends on how much is read',
        },
      );
    const ratio = to.untilMs / Math.max(from.fromMs, Number.MIN_VALUE);
    const seen = `p99 of ${total} reads in the last ${latencyMinutes} minutes: target at most ${milliseconds(to.untilMs)}, source at least ${milliseconds(from.fromMs)}`;
    if (to.untilMs <= latencyMsFine)
      return pass(`${seen}; up to ${latencyMsFine} ms is fast enough.`, evidence);
    const limit = `${Number(ratio.toFixed(2))} times, allowed: ${latencyRatioMax}`;
    return ratio <= latencyRatioMax
      ? pass(`${seen}: ${limit}.`, evidence)
      : fail(
          `${seen}: ${limit}. Look for indexes, statistics (ANALYZE) and a cold cache of the target.`,
          evidence,
        );
  },
};

const milliseconds = (ms: number): string => `${Number(ms.toPrecision(3))} ms`;
