/**
 * What following costs the source's traffic, with client, source, follower and target on one machine: transactions a second of pgbench at saturation
 * with a follower attached, as a part of what they are alone, beside the same part for a native subscription; and the p99 of single
 * transactions at 500 a second, also while a throttled copy runs. Each figure in turn, alone first.
 */
import { type Bank, openBank, saturate, steady } from '../capture/bank.ts';
import { caughtUp, type Follower, nativeFollower, ownFollower } from '../capture/followers.ts';
import { type BenchContext, type Benchmark, type Case, compare, median } from '../measure.ts';

/** BENCH_ROUNDS and BENCH_SECONDS make it shorter for a look. */
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const seconds = Number(process.env.BENCH_SECONDS ?? 20);
const scale = 10;
const rate = 500;
/** Rows per second of the throttled copy. */
const copyRate = 10_000;
/** At the fixed rate before it is measured: what V8 has compiled for large batches it compiles again for small ones. */
const WARM_SECONDS = 10;
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

const empty = (): Figures => ({ alone: [], ours: [], native: [], copying: [] });

async function measure(bank: Bank, { say }: BenchContext): Promise<readonly Case[]> {
  const followers: Readonly<Record<'ours' | 'native', Follower>> = {
    ours: await ownFollower(bank, 'ours', 1),
    native: await nativeFollower(bank, 'native'),
  };
  // Data and catalogs are warm for the first one as for the last.
  await saturate(bank, Math.min(5, seconds));
  const tps = empty();
  const p99 = empty();
  for (let round = 1; round <= rounds; round++) {
    for (const way of ['alone', 'ours', 'native'] as const) {
      const figures = await attached(bank, way === 'alone' ? null : followers[way], seconds);
      tps[way].push(figures.tps);
      p99[way].push(figures.p99);
      say(
        `round ${round}: ${way} ${Math.round(tps[way].at(-1) ?? 0)} tps, p99 ${p99[way].at(-1)?.toFixed(2)} ms`,
      );
    }
    const copying = await ownFollower(bank, `copying_${round}`, 1 + round, copyRate);
    p99.copying.push((await attached(bank, copying, Math.min(10, seconds))).p99);
    await copying.remove();
    say(`round ${round}: copying p99 ${p99.copying.at(-1)?.toFixed(2)} ms`);
  }
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

/**
 * Both figures while the follower follows, from when it has caught up; null: alone. Both loads have run for a while before their figure is taken: followers go on
 * for days, and what is compiled or cached in the first seconds is no part of what they cost.
 */
async function attached(
  bank: Bank,
  follower: Follower | null,
  saturatedSeconds: number,
): Promise<{ readonly tps: number; readonly p99: number }> {
  const level = async (): Promise<void> => {
    if (follower) await caughtUp(bank, follower);
  };
  await (await follower?.attach())?.follow();
  await level();
  const tps = await saturate(bank, saturatedSeconds);
  await level();
  await steady(bank, rate, WARM_SECONDS);
  const { p99 } = await steady(bank, rate, seconds);
  await follower?.detach();
  return { tps, p99 };
}
