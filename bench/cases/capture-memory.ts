/**
 * Memory of a worker that follows a log when something is too much: one transaction of 2 GB, and a follower that hangs for a minute while
 * 500 transactions a second come in. Beside it stands what is allowed; the copy is compared in the end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bank, database, openBank, pgbench, sql } from '../capture/bank.ts';
import { caughtUp, checkCopy, type OwnFollower, ownFollower } from '../capture/followers.ts';
import { type Benchmark, type Case, compare } from '../measure.ts';

/** BENCH_ROWS and BENCH_SECONDS make it shorter for a look. */
const rows = Number(process.env.BENCH_ROWS ?? 200_000);
const hangs = Number(process.env.BENCH_SECONDS ?? 60);
const bytesPerRow = 10_240;
const allowedMb = 512;

const benchmark: Benchmark = {
  name: 'capture-memory',
  async run({ say }) {
    const bank = await openBank(1);
    try {
      say(`a follower that hangs for ${hangs} s at 500 transactions a second`);
      const hung = await whileHanging(bank);
      say(`one transaction of ${((rows * bytesPerRow) / 1e9).toFixed(1)} GB`);
      const large = await largeTransaction(bank);
      return [
        of(`a follower that hangs for ${hangs} s`, hung),
        of(`one transaction of ${((rows * bytesPerRow) / 1e9).toFixed(1)} GB`, large),
      ];
    } finally {
      await bank.close();
    }
  },
};

export default benchmark;

const of = (what: string, mb: number): Case =>
  compare(`largest memory of the worker with ${what}, beside what is allowed`, 'MB', mb, allowedMb);

async function whileHanging(bank: Bank): Promise<number> {
  const follower = await ownFollower(bank, 'hung', 1);
  const { follow } = await follower.attach();
  await follow();
  await caughtUp(bank, follower);
  const traffic = pgbench(bank, ['-n', '-c', '4', '-R', '500', '-T', String(hangs + 5)]);
  await sleep(2_000);
  bank.target.pause();
  await sleep(hangs * 1_000);
  bank.target.resume();
  await traffic;
  await caughtUp(bank, follower);
  return end(bank, follower);
}

async function largeTransaction(bank: Bank): Promise<number> {
  // What was written out of line is not pressed together, so a row is as long in the log as it says.
  const wide = `ALTER TABLE pgbench_history ALTER COLUMN filler TYPE text, ALTER COLUMN filler SET STORAGE EXTERNAL`;
  await sql(bank.source.url(database), wide);
  const follower = await ownFollower(bank, 'large', 2);
  await sql(follower.url, wide);
  const { follow } = await follower.attach();
  await follow();
  await sql(
    bank.source.url(database),
    `INSERT INTO pgbench_history (tid, bid, aid, delta, mtime, filler)
      SELECT 1, 1, n, n, now(), repeat(md5(n::text), ${bytesPerRow / 32}) FROM generate_series(1, ${rows}) n`,
  );
  await caughtUp(bank, follower);
  const count = `SELECT count(*) || ':' || sum(hashtext(filler)::bigint) AS n FROM pgbench_history WHERE aid > 0 AND filler IS NOT NULL`;
  const [mine] = await sql(bank.source.url(database), count);
  const [theirs] = await sql(follower.url, count);
  if (mine?.['n'] !== theirs?.['n'])
    throw new Error(`the copy holds ${theirs?.['n']}, the source ${mine?.['n']}`);
  await follower.detach();
  return follower.maxRssMb;
}

async function end(bank: Bank, follower: OwnFollower): Promise<number> {
  await follower.detach();
  await checkCopy(bank, follower);
  await follower.remove();
  return follower.maxRssMb;
}
