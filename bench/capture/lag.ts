import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { percentile } from '../measure.ts';
import { type Bank, database, type Latencies, steady } from './bank.ts';
import type { Follower } from './followers.ts';

/** Pauses of the probe and of the watcher, which runs on the target and counts into every figure with half of its pause. */
const PROBE_SECONDS = 0.02;
const WATCH_SECONDS = 0.0005;

/** Commits a new number and notes when the commit was answered, until told to stop. */
const probing = (until: number): string => `DO $$
  DECLARE n bigint;
  BEGIN
    WHILE clock_timestamp() < to_timestamp(${until}) LOOP
      UPDATE probe SET number = number + 1 RETURNING number INTO n;
      COMMIT;
      INSERT INTO sent VALUES (n, extract(epoch FROM clock_timestamp()));
      COMMIT;
      PERFORM pg_sleep(${PROBE_SECONDS});
    END LOOP;
  END $$`;

/** Notes when each number is first seen. */
const watching = (until: number): string => `DO $$
  DECLARE n bigint; last bigint := -1;
  BEGIN
    WHILE clock_timestamp() < to_timestamp(${until}) LOOP
      SELECT number INTO n FROM probe;
      IF n <> last THEN
        INSERT INTO seen VALUES (n, extract(epoch FROM clock_timestamp()));
        last := n;
      END IF;
      PERFORM pg_sleep(${WATCH_SECONDS});
    END LOOP;
  END $$`;

interface Noted {
  readonly number: number;
  readonly at: number;
}

/**
 * How much later than the answer of its commit a change is to be seen in the copy, in ms, while pgbench runs at \`rate\`. One machine, so one
 * clock. The follower is attached and has caught up.
 */
export async function lagAt(
  bank: Bank,
  follower: Follower,
  rate: number,
  seconds: number,
): Promise<Latencies> {
  const source = new pg.Client({ connectionString: bank.source.url(database) });
  const target = new pg.Client({ connectionString: follower.url });
  await Promise.all([source.connect(), target.connect()]);
  try {
    await source.query('CREATE TEMP TABLE sent (number bigint, at double precision)');
    await target.query('CREATE TEMP TABLE seen (number bigint, at double precision)');
    const traffic = steady(bank, rate, seconds + 2);
    await sleep(1_000);
    const end = Date.now() / 1000 + seconds;
    await Promise.all([source.query(probing(end)), target.query(watching(end + 1)), traffic]);
    const sent = await noted(source, 'sent');
    const seen = await noted(target, 'seen');
    return percentiles(sent, seen);
  } finally {
    await Promise.all([source.end(), target.end()]);
  }
}

async function noted(client: pg.Client, table: string): Promise<readonly Noted[]> {
  const { rows } = await client.query(
    `SELECT number::float8 AS number, at FROM ${table} ORDER BY 1`,
  );
  return rows;
}

function percentiles(sent: readonly Noted[], seen: readonly Noted[]): Latencies {
  const lags: number[] = [];
  let at = 0;
  for (const one of sent) {
    // Numbers that were overtaken in one batch are seen with the one that overtook them.
    while (at < seen.length && (seen[at]?.number ?? 0) < one.number) at += 1;
    const first = seen[at];
    if (first === undefined) throw new Error(`probe ${one.number} was never seen`);
    lags.push(Math.max(0, (first.at - one.at) * 1000));
  }
  return { p50: percentile(lags, 0.5), p99: percentile(lags, 0.99) };
}
