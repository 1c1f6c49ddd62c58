/**
 * What following costs the source's traffic, with client, source, follower and target on one machine: transactions a second of pgbench at saturation
 * with a follower attached, as a part of what they are alone, beside the same part for a native subscription; and the p99 of single
 * transactions at 500 a second, also while a throttled copy runs. Each figure in turn, alone first.
 */
import { type Bank, openBank, saturate, sql, steady } from '../capture/bank.ts';
import { caughtUp, type Follower, nativeFollower, ownFollower } from '../capture/followers.ts';
import { type BenchContext, type Benchmark, type Case, compare, median } from '../measure.ts';

/** BENCH_ROUNDS and BENCH_SECONDS make it shorter for a look. */
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const seconds = Number(process.env.BENCH_SECONDS ?? 20);
const scale = 20;
const rate = 500;
/** Rows per second of the throttled copy. */
const copyRate = 10_000;
/** At the fixed rate there are more and shorter rounds: what else happens on the machine hits some of them, and their median not at all. */
const SHORT_ROUNDS = 4 * rounds;
const SHORT_SECONDS = Math.min(6, seconds);
/** Of each that is not counted: clients connect, and whoever follows takes it up again. */
const UNWATCHED_SECONDS = 1;
/** A follower goes on for days: what V8 compiles in its first minute is no part of what it costs. */
const WARM_SECONDS = 3 * seconds;
/** What is asked for: the p99 with a follower is at most so many times the one alone. */
const p99RatioMax = 1.5;

const benchmark: Benchmark = {
  name: 'source-cost',
  async run(context) {
    const bank = await openBank(scale);
    try {
      return await measure(bank, context);
    } finally {
      await bank.close();
    }
  },
};

export default benchmark;

const ways = ['alone', 'ours', 'native', 'copying'] as const;
type Way = (typeof ways)[number];
type Figures = Record<Way, number[]>;
type Followers = Readonly<Record<Exclude<Way, 'alone'>, Follower>>;

const empty = (): Figures => ({ alone: [], ours: [], native: [], copying: [] });

async function measure(bank: Bank, { say }: BenchContext): Promise<readonly Case[]> {
  const followers: Followers = {
    ours: await ownFollower(bank, 'ours', 1),
    native: await nativeFollower(bank, 'native'),
    copying: await ownFollower(bank, 'copying', 2, copyRate),
  };
  // Data and catalogs are warm for the first one as for the last.
  await saturate(bank, Math.min(5, seconds));
  const tps = empty();
  for (let round = 1; round <= rounds; round++) {
    for (const way of ['alone', 'ours', 'native'] as const) {
      const found = await attached(bank, followers, way, () => saturate(bank, seconds));
      tps[way].push(found);
      say(`round ${round}: ${way} ${Math.round(found)} tps`);
    }
  }
  for (const way of ['ours', 'copying'] as const)
    await attached(bank, followers, way, () => steady(bank, rate, WARM_SECONDS));
  const p99 = empty();
  for (let round = 1; round <= SHORT_ROUNDS; round++) {
    const found = empty();
    // Each comes first as often as last.
    for (const way of round % 2 === 0 ? ways.toReversed() : ways) {
      const run = () => steady(bank, rate, SHORT_SECONDS, UNWATCHED_SECONDS);
      found[way].push((await attached(bank, followers, way, run)).p99);
      p99[way].push(...found[way]);
    }
    const each = ways.map((way) => `${way} ${found[way][0]?.toFixed(2)}`);
    say(`round ${round}: p99 ms ${each.join(', ')}`);
  }
  await stillCopying(followers.copying);
  const [alone, ours, native] = [tps.alone, tps.ours, tps.native].map(median) as [
    number,
    number,
    number,
  ];
  say(
    `medians: ${Math.round(alone)} tps alone, ${Math.round(ours)} with ours, ${Math.round(native)} with native`,
  );
  const slower = (way: Way): number => median(p99[way]) / median(p99.alone);
  return [
    compare(
      'throughput with log capture attached / alone, beside a native subscription',
      'ratio',
      ours / alone,
      native / alone,
    ),
    compare(
      `p99 at ${rate} tps with log capture / alone, beside a native subscription`,
      'ratio',
      slower('ours'),
      slower('native'),
    ),
    compare(
      `p99 at ${rate} tps with log capture / alone, beside what is allowed`,
      'ratio',
      slower('ours'),
      p99RatioMax,
    ),
    compare(
      `p99 at ${rate} tps with log capture and a copy of ${copyRate} rows/s / alone, beside what is allowed`,
      'ratio',
      slower('copying'),
      p99RatioMax,
    ),
    compare(
      `p99 at ${rate} tps with log capture, beside alone`,
      'ms',
      median(p99.ours),
      median(p99.alone),
    ),
  ];
}

/** What `run` finds while nobody follows, or while this one does and has caught up. */
async function attached<T>(
  bank: Bank,
  followers: Followers,
  way: Way,
  run: () => Promise<T>,
): Promise<T> {
  if (way === 'alone') return run();
  const follower = followers[way];
  await (await follower.attach()).follow();
  await caughtUp(bank, follower);
  const found = await run();
  await follower.detach();
  return found;
}

/** A copy that has ended is no load. */
async function stillCopying({ url }: Follower): Promise<void> {
  const [row] = await sql(url, 'SELECT count(*)::int AS n FROM pgbench_accounts');
  const copied = Number(row?.['n']);
  if (copied >= scale * 100_000 || copied === 0)
    throw new Error(`the copy has ${copied} rows: it has ended, or never began`);
}
