import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { accountsDdl, copyByHand, fillAccounts, psql } from '../backfill/accounts.ts';
import {
  type BenchContext,
  type Benchmark,
  type Case,
  compare,
  elapsedMs,
  median,
} from '../measure.ts';

/** BENCH_ROWS and BENCH_ROUNDS make it shorter for a look. */
const rows = Number(process.env.BENCH_ROWS ?? 5_000_000);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);

interface Copied {
  readonly ms: number;
  readonly rows: number;
  readonly maxRssMb: number;
  readonly cpuSeconds: number;
}

const benchmark: Benchmark = {
  name: 'backfill',
  async run(context) {
    const server = await startPrivatePostgres({
      source: 'system',
      settings: { shared_buffers: '512MB', max_wal_size: '4GB', checkpoint_timeout: '30min' },
    });
    try {
      return await measure(server, context);
    } finally {
      await server.stop();
    }
  },
};

export default benchmark;

async function measure(server: PrivatePostgres, { say }: BenchContext): Promise<readonly Case[]> {
  for (const database of ['old', 'new']) {
    await server.createDatabase(database);
    await psql(server, database, accountsDdl);
  }
  say(`filling ${rows} rows`);
  await psql(server, 'old', fillAccounts(rows));
  await psql(server, 'old', 'VACUUM ANALYZE accounts');

  const figures = { hand: [] as number[], identity: [] as Copied[], transform: [] as Copied[] };
  for (let round = 0; round < rounds; round++) {
    await fresh(server);
    figures.hand.push(await elapsedMs(() => copyByHand(server, 'old', 'new')));
    figures.identity.push(await ours(server, 'identity'));
    figures.transform.push(await ours(server, 'transform'));
    say(
      `round ${round + 1}: by hand ${rate(figures.hand.at(-1))}, identity ${rate(figures.identity.at(-1)?.ms)}, transform ${rate(figures.transform.at(-1)?.ms)}`,
    );
  }
  const perSecond = (ms: readonly number[]): number => rows / (median(ms) / 1000);
  const alternative = perSecond(figures.hand);
  const cpuRate = rows / median(figures.transform.map((one) => one.cpuSeconds));
  const rss = (runs: readonly Copied[]): number => Math.max(...runs.map((one) => one.maxRssMb));
  return [
    compare(
      'identity, beside psql COPY | psql COPY into a keyed table',
      'rows/s',
      perSecond(figures.identity.map((one) => one.ms)),
      alternative,
    ),
    compare(
      'JavaScript transform, beside the same',
      'rows/s',
      perSecond(figures.transform.map((one) => one.ms)),
      alternative,
    ),
    compare(
      'JavaScript transform per second of our own CPU, beside the 150 000 asked for',
      'rows/s',
      cpuRate,
      150_000,
    ),
    compare(
      'largest memory of our process with identity, beside the 300 MB allowed',
      'MB',
      rss(figures.identity),
      300,
    ),
    compare(
      'largest memory of our process with a transform, beside the 300 MB allowed',
      'MB',
      rss(figures.transform),
      300,
    ),
  ];
}

const rate = (ms: number | undefined): string =>
  `${Math.round(rows / ((ms ?? Number.NaN) / 1000) / 1000)} k rows/s`;

async function fresh(server: PrivatePostgres): Promise<void> {
  await psql(server, 'new', 'TRUNCATE accounts');
  await psql(server, 'new', 'CHECKPOINT');
}

async function ours(server: PrivatePostgres, mode: 'identity' | 'transform'): Promise<Copied> {
  await fresh(server);
  const script = fileURLToPath(new URL('../backfill/copy-accounts.ts', import.meta.url));
  const output = await new Promise<string>((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [...process.execArgv, script, server.url('old'), server.url('new'), mode],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once('close', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`the backfill ended with ${code}`)),
    );
  });
  const copied = JSON.parse(output) as Copied;
  const found = await psql(server, 'new', `SELECT count(*) || ' ' || sum(abalance) FROM accounts`);
  const expected = `${rows} ${mode === 'identity' ? 0 : rows}`;
  if (found !== expected) throw new Error(`the target holds "${found}", not "${expected}"`);
  return copied;
}
