/**
 * Following a PostgreSQL source by its log, beside PostgreSQL's own logical replication, on the same two servers in the same run: how quickly a follower
 * catches up with 200 000 transactions of pgbench, and how late it is while 500 a second come in. Both servers wait for the disk;
 * pgbench_history has an identity key, without which neither could tell its rows apart.
 */
import { type Bank, openBank, pgbench } from '../capture/bank.ts';
import {
  caughtUp,
  checkCopy,
  type Follower,
  nativeFollower,
  type OwnFollower,
  ownFollower,
} from '../capture/followers.ts';
import { lagAt } from '../capture/lag.ts';
import {
  type BenchContext,
  type Benchmark,
  type Case,
  compare,
  elapsedMs,
  median,
} from '../measure.ts';

/** BENCH_TRANSACTIONS, BENCH_ROUNDS and BENCH_SECONDS make it shorter for a look. */
const transactions = Number(process.env.BENCH_TRANSACTIONS ?? 200_000);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const seconds = Number(process.env.BENCH_SECONDS ?? 20);
const scale = 10;
const clients = 4;
const rate = 500;
/** accounts, tellers, branches, history. */
const rowsPerTransaction = 4;

const benchmark: Benchmark = {
  name: 'capture',
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

async function measure(bank: Bank, { say }: BenchContext): Promise<readonly Case[]> {
  const own: OwnFollower[] = [];
  const native: Follower[] = [];
  for (let round = 1; round <= rounds; round++) {
    own.push(await ownFollower(bank, `ours_${round}`, round));
    native.push(await nativeFollower(bank, `native_${round}`));
  }
  say(`${transactions} transactions of pgbench`);
  const each = String(Math.ceil(transactions / clients));
  await pgbench(bank, ['-n', '-c', String(clients), '-j', '2', '-t', each], {
    PGOPTIONS: '-c synchronous_commit=off',
  });

  const caught = { ours: [] as number[], native: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    const pair = [own[round], native[round]] as [OwnFollower, Follower];
    for (const follower of round % 2 === 0 ? pair : pair.toReversed()) {
      const ms = await catchUp(bank, follower);
      const perSecond = (transactions * rowsPerTransaction) / (ms / 1000);
      caught[follower === pair[0] ? 'ours' : 'native'].push(perSecond);
      say(`round ${round + 1}: ${follower.name} ${Math.round(perSecond / 1000)} k row changes/s`);
      if (round < rounds - 1) await follower.remove();
    }
  }
  const last = [own.at(-1), native.at(-1)] as [OwnFollower, Follower];
  const lags = await measureLags(bank, last, say);
  for (const follower of last) await checkCopy(bank, follower);
  const rss = Math.max(...own.map(({ maxRssMb }) => maxRssMb));
  return [
    compare(
      `catching up after ${transactions} transactions, beside a native subscription`,
      'row changes/s',
      median(caught.ours),
      median(caught.native),
    ),
    ...lags,
    compare('largest memory of our process, beside the 300 MB allowed', 'MB', rss, 300),
  ];
}

async function catchUp(bank: Bank, follower: Follower): Promise<number> {
  const { follow } = await follower.attach();
  const ms = await elapsedMs(async () => {
    await follow();
    await caughtUp(bank, follower);
  });
  await follower.detach();
  await checkCopy(bank, follower);
  return ms;
}

async function measureLags(
  bank: Bank,
  pair: readonly [OwnFollower, Follower],
  say: (line: string) => void,
): Promise<readonly Case[]> {
  const found = { ours: { p50: [], p99: [] }, native: { p50: [], p99: [] } } as Record<
    'ours' | 'native',
    Record<'p50' | 'p99', number[]>
  >;
  for (let round = 0; round < rounds; round++) {
    for (const follower of round % 2 === 0 ? pair : pair.toReversed()) {
      const { follow } = await follower.attach();
      await follow();
      await caughtUp(bank, follower);
      const { p50, p99 } = await lagAt(bank, follower, rate, seconds);
      await caughtUp(bank, follower);
      await follower.detach();
      const into = found[follower === pair[0] ? 'ours' : 'native'];
      into.p50.push(p50);
      into.p99.push(p99);
      say(
        `round ${round + 1}: lag of ${follower.name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`,
      );
    }
  }
  for (const follower of pair) {
    const { follow } = await follower.attach();
    await follow();
    await caughtUp(bank, follower);
    await follower.detach();
  }
  return (['p50', 'p99'] as const).map((one) =>
    compare(
      `lag at ${rate} transactions a second, ${one}, beside the same`,
      'ms',
      median(found.ours[one]),
      median(found.native[one]),
    ),
  );
}
