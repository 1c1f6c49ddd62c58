/**
 * What does an application notice of a change of authority? Each one 20 times there and 20 times back, under load, two PostgreSQL servers that wait for the
 * disk, a worker (`changeover run`) in a process of its own, everything on one machine:
 * - log capture: `pgbench -c 4` through a PgBouncer, which the hook pauses and points to the other server;
 * - application capture: three processes with a router each, four loops of a write and a read in each; one read in a hundred is compared.
 *
 * Failed requests; the longest request that was under way during each change (a whole transaction of pgbench, from its own log), beside
 * what is allowed and beside the longest while nothing was changed: an empty PAUSE and RESUME, or nothing; and the pause that the
 * engine states, from the hold to the commit, with PgBouncer to its RESUME. p99 of 40 is close to the longest. The stores are compared at the end.
 *
 * BENCH_SWITCHES there and as many back (20); BENCH_RATE transactions a second of pgbench (0: as many as go through).
 */
import { type BenchContext, type Benchmark, type Case, compare, percentile } from '../measure.ts';
import type { SwitchFigures } from '../switch/figures.ts';
import { switchPooled } from '../switch/pooled.ts';
import { described } from '../switch/rounds.ts';
import { switchRouted } from '../switch/routed.ts';

const times = Number(process.env['BENCH_SWITCHES'] ?? 20);
/** What is asked for. */
const allowedMs = 500;

function casesOf(what: string, figures: SwitchFigures, { say }: BenchContext): readonly Case[] {
  const { failed, requests, seenMs, pauseMs, floorMs } = figures;
  say(`${what}: ${failed} of ${requests} requests failed`);
  say(`${what}: longest request of each change: ${described(seenMs)}`);
  say(`${what}: pause by the engine: ${described(pauseMs)}`);
  say(`${what}: longest request without a change: ${described(floorMs)}`);
  const at = (values: readonly number[], share: number): number => percentile(values, share);
  return [
    {
      ...compare(`${what}: failed requests, beside what is allowed`, 'requests', failed, 0),
      ratio: failed === 0 ? 1 : failed,
    },
    compare(
      `${what}: longest request, p50, beside no change`,
      'ms',
      at(seenMs, 0.5),
      at(floorMs, 0.5),
    ),
    compare(
      `${what}: longest request, p99, beside no change`,
      'ms',
      at(seenMs, 0.99),
      at(floorMs, 0.99),
    ),
    compare(
      `${what}: longest request, p99, beside what is allowed`,
      'ms',
      at(seenMs, 0.99),
      allowedMs,
    ),
    compare(
      `${what}: pause by the engine, p50, beside what is allowed`,
      'ms',
      at(pauseMs, 0.5),
      allowedMs,
    ),
    compare(
      `${what}: pause by the engine, p99, beside what is allowed`,
      'ms',
      at(pauseMs, 0.99),
      allowedMs,
    ),
  ];
}

const benchmark: Benchmark = {
  name: 'switch',
  async run(context) {
    const say = (line: string): void => context.say(line);
    const pooled = casesOf('log capture and PgBouncer', await switchPooled(times, say), context);
    const routed = casesOf('application capture', await switchRouted(times, say), context);
    return [...pooled, ...routed];
  },
};

export default benchmark;
