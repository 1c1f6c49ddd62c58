import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { type PrivateMariadb, startPrivateMariadb } from '../../test/support/mariadb-server.ts';
import { psql } from '../backfill/accounts.ts';
import { fillNames, installed, namesDdl, pgloadNames, pipeNames } from '../backfill/names.ts';
import {
  type BenchContext,
  type Benchmark,
  type Case,
  compare,
  elapsedMs,
  median,
} from '../measure.ts';

/** BENCH_ROWS and BENCH_ROUNDS make it shorter for a look. */
const rowsMax = Number(process.env.BENCH_ROWS ?? 2_200_000);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);

interface Copied {
  readonly ms: number;
  readonly rows: number;
  readonly maxRssMb: number;
  readonly cpuSeconds: number;
}

interface Figures {
  readonly later: Copied[];
  readonly keyed: Copied[];
  readonly pgloader: { readonly ms: number; readonly maxRssMb: number }[];
  readonly pipeLater: number[];
  readonly pipeKeyed: number[];
}

const benchmark: Benchmark = {
  name: 'backfill-mysql',
  async run(context) {
    const folder = await mkdtemp(join(tmpdir(), 'changeover-bench-'));
    const source = await startPrivateMariadb({ settings: { innodb_buffer_pool_size: '512M' } });
    const target = await startPrivatePostgres({
      source: 'system',
      settings: { shared_buffers: '512MB', max_wal_size: '4GB', checkpoint_timeout: '30min' },
    });
    try {
      return await measure(source, target, folder, context);
    } finally {
      await Promise.all([source.stop(), target.stop()]);
      await rm(folder, { recursive: true, force: true });
    }
  },
};

export default benchmark;

async function measure(
  source: PrivateMariadb,
  target: PrivatePostgres,
  folder: string,
  { say }: BenchContext,
): Promise<readonly Case[]> {
  await source.createDatabase('old');
  await source.query(namesDdl.source, [], 'old');
  const { rows, origin } = await fillNames(source, 'old', folder, rowsMax);
  say(`${rows} rows, ${origin}`);
  await target.createDatabase('new');
  await psql(target, 'new', namesDdl.target);
  const beside = { pgloader: installed('pgloader'), pipe: installed('mariadb') };
  if (!beside.pgloader) say('NO PGLOADER: not measured beside it');
  if (!beside.pipe) say('NO CLIENT OF MARIADB: not measured beside the pipe');
  const figures: Figures = { later: [], keyed: [], pgloader: [], pipeLater: [], pipeKeyed: [] };
  const copy = (mode: 'key-later' | 'keyed') => ours(source, target, rows, mode);
  const steps = [
    async () => figures.later.push(await copy('key-later')),
    async () => {
      if (!beside.pgloader) return;
      let maxRssMb = 0;
      const ms = await elapsedMs(async () => {
        maxRssMb = await pgloadNames(source, 'old', target, folder);
      });
      await check(target, 'old.names', rows);
      figures.pgloader.push({ ms, maxRssMb });
    },
    async () => figures.keyed.push(await copy('keyed')),
    async () => {
      if (!beside.pipe) return;
      await fresh(target);
      await psql(target, 'new', 'ALTER TABLE names DROP CONSTRAINT names_pkey');
      figures.pipeLater.push(
        await elapsedMs(async () => {
          await pipeNames(source, 'old', target);
          await psql(target, 'new', 'ALTER TABLE names ADD PRIMARY KEY (year, sex, name)');
        }),
      );
      await fresh(target);
      figures.pipeKeyed.push(await elapsedMs(() => pipeNames(source, 'old', target)));
    },
  ];
  for (let round = 0; round < rounds; round++) {
    for (const step of round % 2 === 0 ? steps : [...steps].reverse()) await step();
    const rate = (ms: number | undefined): string =>
      `${Math.round(rows / (ms ?? Number.NaN)).toLocaleString('en-US')} k rows/s`;
    say(
      `round ${round + 1}: key later ${rate(figures.later.at(-1)?.ms)}, keyed ${rate(figures.keyed.at(-1)?.ms)}, pgloader ${rate(figures.pgloader.at(-1)?.ms)}, pipe ${rate(figures.pipeLater.at(-1))} (key later), ${rate(figures.pipeKeyed.at(-1))} (keyed)`,
    );
  }
  return casesOf(figures, rows);
}

function casesOf(figures: Figures, rows: number): readonly Case[] {
  const rate = (ms: readonly number[]): number => rows / (median(ms) / 1000);
  const mine = (of: 'later' | 'keyed'): number => rate(figures[of].map(({ ms }) => ms));
  const memory = (runs: readonly { readonly maxRssMb: number }[]): number =>
    Math.max(...runs.map(({ maxRssMb }) => maxRssMb));
  const loader = rate(figures.pgloader.map(({ ms }) => ms));
  const cpu = rows / median(figures.later.map(({ cpuSeconds }) => cpuSeconds));
  return [
    compare(
      'key built behind the rows, beside pgloader (which does so, too)',
      'rows/s',
      mine('later'),
      loader,
    ),
    compare('key there from the start, beside the same', 'rows/s', mine('keyed'), loader),
    compare(
      'largest memory of our process, beside that of pgloader',
      'MB',
      memory(figures.later),
      memory(figures.pgloader),
    ),
    compare(
      'key built behind, beside mariadb | psql COPY and ADD PRIMARY KEY',
      'rows/s',
      mine('later'),
      rate(figures.pipeLater),
    ),
    compare(
      'key from the start, beside mariadb | psql COPY into a keyed table',
      'rows/s',
      mine('keyed'),
      rate(figures.pipeKeyed),
    ),
    compare(
      'key built behind, per second of our own CPU, beside the wall clock of the pipe',
      'rows/s',
      cpu,
      rate(figures.pipeLater),
    ),
  ].filter(({ alternative }) => Number.isFinite(alternative));
}

async function fresh(target: PrivatePostgres): Promise<void> {
  await psql(target, 'new', 'TRUNCATE names');
  await psql(target, 'new', 'CHECKPOINT');
}

async function check(target: PrivatePostgres, table: string, rows: number): Promise<void> {
  const found = await psql(target, 'new', `SELECT count(*) FROM ${table}`);
  if (found !== String(rows)) throw new Error(`${table} holds ${found} rows, not ${rows}`);
}

async function ours(
  source: PrivateMariadb,
  target: PrivatePostgres,
  rows: number,
  mode: 'key-later' | 'keyed',
): Promise<Copied> {
  await fresh(target);
  const script = fileURLToPath(new URL('../backfill/copy-names.ts', import.meta.url));
  const args = [...process.execArgv, script, source.url('old'), target.url('new'), mode];
  const output = await new Promise<string>((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once('close', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`the backfill ended with ${code}`)),
    );
  });
  await check(target, 'names', rows);
  return JSON.parse(output) as Copied;
}
