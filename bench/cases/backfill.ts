import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import {
  accountsDdl,
  cloneByPgcopydb,
  copyByHand,
  fillAccounts,
  psql,
} from '../backfill/accounts.ts';
import { installed } from '../backfill/names.ts';
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

  const figures: Figures = {
    hand: [],
    identity: [],
    touched: [],
    transform: [],
    later: [],
    clone: [],
  };
  const withClone = installed('pgcopydb');
  if (!withClone) say('NO PGCOPYDB: not measured beside it');
  const steps = [
    async () => {
      await fresh(server);
      figures.hand.push(await elapsedMs(() => copyByHand(server, 'old', 'new')));
    },
    async () => figures.identity.push(await ours(server, 'identity')),
    async () => figures.touched.push(await ours(server, 'touched')),
    async () => withClone && figures.clone.push(await clone(server)),
    async () => figures.later.push(await ours(server, 'key-later')),
    async () => figures.transform.push(await ours(server, 'transform')),
  ];
  for (let round = 0; round < rounds; round++) {
    // There and back, so that drift of the machine hits all alike.
    for (const step of round % 2 === 0 ? steps : [...steps].reverse()) await step();
    say(
      `round ${round + 1}: by hand ${rate(figures.hand.at(-1))}, identity ${rate(figures.identity.at(-1)?.ms)}, beside live rows ${rate(figures.touched.at(-1)?.ms)}, transform ${rate(figures.transform.at(-1)?.ms)}, key later ${rate(figures.later.at(-1)?.ms)}, pgcopydb ${rate(figures.clone.at(-1))}`,
    );
  }
  return casesOf(figures);
}

interface Figures {
  readonly hand: number[];
  readonly identity: Copied[];
  /** Every 20th row has come by a live change before. */
  readonly touched: Copied[];
  readonly transform: Copied[];
  readonly later: Copied[];
  readonly clone: number[];
}

function casesOf(figures: Figures): readonly Case[] {
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
      'identity where every 20th row is there by a live change, beside the same',
      'rows/s',
      perSecond(figures.touched.map((one) => one.ms)),
      alternative,
    ),
    ...(figures.clone.length === 0
      ? []
      : [
          compare(
            'identity, key built behind the rows, beside pgcopydb clone (which does so, too)',
            'rows/s',
            perSecond(figures.later.map((one) => one.ms)),
            perSecond(figures.clone),
          ),
        ]),
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

/** Into a database of its own: it wants to create the table itself. */
async function clone(server: PrivatePostgres): Promise<number> {
  await psql(server, 'postgres', 'DROP DATABASE IF EXISTS clone');
  await server.createDatabase('clone');
  const folder = await mkdtemp(join(tmpdir(), 'changeover-bench-'));
  try {
    await psql(server, 'postgres', 'CHECKPOINT');
    const ms = await elapsedMs(() => cloneByPgcopydb(server, 'old', 'clone', folder));
    const found = await psql(server, 'clone', 'SELECT count(*) FROM accounts');
    if (found !== String(rows)) throw new Error(`the clone holds ${found} rows, not ${rows}`);
    return ms;
  } finally {
    await rm(folder, { recursive: true, force: true });
    await psql(server, 'postgres', 'DROP DATABASE IF EXISTS clone');
  }
}

async function ours(
  server: PrivatePostgres,
  mode: 'identity' | 'touched' | 'key-later' | 'transform',
): Promise<Copied> {
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
  const expected = `${rows} ${mode === 'transform' ? rows : 0}`;
  if (found !== expected) throw new Error(`the target holds "${found}", not "${expected}"`);
  return copied;
}
