import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { type PrivateMariadb, startPrivateMariadb } from '../../test/support/mariadb-server.ts';
import { accountsDdl, fillAccounts, psql } from '../backfill/accounts.ts';
import { fillNames, namesDdl, pipeNames } from '../backfill/names.ts';
import {
  type BenchContext,
  type Benchmark,
  type Case,
  compare,
  elapsedMs,
  interleave,
  median,
} from '../measure.ts';
import { installed, namesMd5, perconaDiff, rowHashes } from '../verify/by-hand.ts';
import type { Compared, ComparedSides } from '../verify/stores.ts';

/** BENCH_SCALE (1 is the whole size) and BENCH_ROUNDS make it shorter for a look; BENCH_ONLY names the cases, e.g. `hash,stream`. */
const scale = Number(process.env.BENCH_SCALE ?? 1);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const only = process.env.BENCH_ONLY?.split(',');
const rows = (whole: number): number => Math.max(1_000, Math.round(whole * scale));

/** What was asked for, and what pt-table-checksum with pt-table-sync did when it was measured once: no figure of this run. */
const asked = { streamPerCore: 150_000, perconaEarlier: 430_000 } as const;

const benchmark: Benchmark = {
  name: 'verify',
  async run(context) {
    const folder = await mkdtemp(join(tmpdir(), 'changeover-bench-'));
    const postgres = await startPrivatePostgres({
      source: 'system',
      settings: { shared_buffers: '1GB', max_wal_size: '4GB', checkpoint_timeout: '30min' },
    });
    const mariadb = await startPrivateMariadb({ settings: { innodb_buffer_pool_size: '1G' } });
    const servers: Servers = { postgres, mariadb, folder, context };
    try {
      const cases: Case[] = [];
      for (const [name, run] of Object.entries(parts))
        if (only?.includes(name) ?? true) cases.push(...(await run(servers)));
      return cases;
    } finally {
      await Promise.all([postgres.stop(), mariadb.stop()]);
      await rm(folder, { recursive: true, force: true });
    }
  },
};

export default benchmark;

interface Servers {
  readonly postgres: PrivatePostgres;
  readonly mariadb: PrivateMariadb;
  readonly folder: string;
  readonly context: BenchContext;
}

const parts = {
  hash: equalPostgres,
  md5: equalEngines,
  find: twoOfMany,
  stream: throughTransform,
} as const;

/** Two PostgreSQL databases with equal rows. */
async function equalPostgres({ postgres, context }: Servers): Promise<readonly Case[]> {
  const count = rows(5_000_000);
  await fillPostgres(postgres, ['hash_old', 'hash_new'], count);
  const sides = accountsOf(postgres, ['hash_old', 'hash_new']);
  return [
    await interleave(
      `${count} equal rows, PostgreSQL beside hashtextextended of the row text in both at once`,
      'rows/s',
      rounds,
      async () => rate(context, 'digests', count, await ours(sides, count, 0)),
      async () => {
        const ms = await elapsedMs(() => rowHashes(postgres, ['hash_old', 'hash_new'], 'accounts'));
        context.say(`by hand: ${Math.round(count / ms)} k rows/s`);
        return count / (ms / 1000);
      },
    ),
  ];
}

/** MariaDB and PostgreSQL with equal rows. */
async function equalEngines({ postgres, mariadb, folder, context }: Servers) {
  await mariadb.createDatabase('md5_old');
  await mariadb.query(namesDdl.source, [], 'md5_old');
  const filled = await fillNames(mariadb, 'md5_old', folder, rows(2_200_000));
  await postgres.createDatabase('new');
  await psql(postgres, 'new', namesDdl.target);
  await pipeNames(mariadb, 'md5_old', postgres);
  await psql(postgres, 'new', 'VACUUM ANALYZE names');
  await mariadb.query('ANALYZE TABLE names', [], 'md5_old');
  const count = filled.rows;
  const sides: ComparedSides = {
    table: 'names',
    key: ['year', 'sex', 'name'],
    sourceUrl: mariadb.url('md5_old'),
    targetUrl: postgres.url('new'),
    transform: false,
  };
  return [
    await interleave(
      `${count} equal rows (${filled.origin}), MariaDB and PostgreSQL beside md5 of the row text in both at once`,
      'rows/s',
      rounds,
      async () => rate(context, 'digests', count, await ours(sides, count, 0)),
      async () => {
        const ms = await elapsedMs(() => namesMd5(mariadb, 'md5_old', postgres, 'new'));
        context.say(`by hand: ${Math.round(count / ms)} k rows/s`);
        return count / (ms / 1000);
      },
    ),
  ];
}

/** Two rows of many, between two MariaDB databases. */
async function twoOfMany({ mariadb, context }: Servers): Promise<readonly Case[]> {
  const count = rows(6_500_000);
  for (const database of ['find_old', 'find_new']) {
    await mariadb.createDatabase(database);
    await mariadb.query(
      `CREATE TABLE sbtest (id int NOT NULL PRIMARY KEY, k int NOT NULL, c char(120) NOT NULL, pad char(60) NOT NULL) CHARACTER SET utf8mb4`,
      [],
      database,
    );
    await mariadb.query(
      `INSERT INTO sbtest SELECT seq, seq * 7919 % 1000003, REPEAT(LPAD(seq, 10, '0'), 12), REPEAT(LPAD(seq, 10, '7'), 6) FROM seq_1_to_${count}`,
      [],
      database,
    );
  }
  const wrong = [Math.floor(count / 3), Math.floor(count * 0.9)];
  await mariadb.query(
    `UPDATE sbtest SET k = k + 1 WHERE id = ${wrong[0]}; UPDATE sbtest SET pad = CONCAT('x', SUBSTR(pad, 2)) WHERE id = ${wrong[1]}`,
    [],
    'find_new',
  );
  const sides: ComparedSides = {
    table: 'sbtest',
    key: ['id'],
    sourceUrl: mariadb.url('find_old'),
    targetUrl: mariadb.url('find_new'),
    transform: false,
  };
  const find = async (): Promise<number> =>
    rate(context, 'found', count, await ours(sides, count, 2));
  if (!installed('pt-table-checksum') || !installed('pt-table-sync')) {
    context.say('NO PERCONA TOOLKIT: not measured beside it');
    const figures: number[] = [];
    for (let round = 0; round < rounds; round += 1) figures.push(await find());
    return [
      compare(
        `2 of ${count} rows named, MariaDB; Percona Toolkit is not installed: beside the 430 000 rows/s of an earlier measurement`,
        'rows/s',
        median(figures),
        asked.perconaEarlier,
      ),
    ];
  }
  return [
    await interleave(
      `2 of ${count} rows named, MariaDB beside pt-table-checksum and pt-table-sync --print`,
      'rows/s',
      rounds,
      find,
      async () => {
        let found = 0;
        const ms = await elapsedMs(async () => {
          found = await perconaDiff(mariadb, ['find_old', 'find_new'], 'sbtest');
        });
        if (found !== 2) context.say(`Percona Toolkit names ${found} rows, not 2`);
        return count / (ms / 1000);
      },
    ),
  ];
}

/** Record by record, through a JavaScript transform. */
async function throughTransform({ postgres, context }: Servers): Promise<readonly Case[]> {
  const count = rows(2_000_000);
  await fillPostgres(postgres, ['stream_old', 'stream_new'], count);
  const sides = { ...accountsOf(postgres, ['stream_old', 'stream_new']), transform: true };
  const figures: number[] = [];
  const walls: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const result = await ours(sides, count, 0);
    walls.push(rate(context, 'stream', count, result));
    figures.push(count / result.cpuSeconds);
  }
  context.say(`stream: ${Math.round(median(walls))} rows/s by the clock`);
  return [
    compare(
      `${count} equal rows through a JavaScript transform, per second of our own CPU, beside the 150 000 asked for`,
      'rows/s',
      median(figures),
      asked.streamPerCore,
    ),
  ];
}

const accountsOf = (
  server: PrivatePostgres,
  [old = '', fresh = '']: readonly string[],
): ComparedSides => ({
  table: 'accounts',
  key: ['aid'],
  sourceUrl: server.url(old),
  targetUrl: server.url(fresh),
  transform: false,
});

async function fillPostgres(
  server: PrivatePostgres,
  databases: readonly string[],
  count: number,
): Promise<void> {
  for (const database of databases) {
    await server.createDatabase(database);
    await psql(server, database, accountsDdl);
    await psql(server, database, fillAccounts(count));
    await psql(server, database, 'VACUUM ANALYZE accounts');
  }
}

function rate({ say }: BenchContext, name: string, count: number, result: Compared): number {
  const { ms, cpuSeconds, way, why } = result;
  say(
    `${name}: ${Math.round(count / ms)} k rows/s, ${cpuSeconds.toFixed(1)} s of our CPU, by ${way}: ${why}`,
  );
  return count / (ms / 1000);
}

async function ours(sides: ComparedSides, count: number, differing: number): Promise<Compared> {
  const script = fileURLToPath(new URL('../verify/compare-sides.ts', import.meta.url));
  const args = [...process.execArgv, script, JSON.stringify(sides)];
  const printed = await new Promise<string>((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once('close', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`the comparison ended with ${code}`)),
    );
  });
  const result = JSON.parse(printed) as Compared;
  if (result.compared !== count || result.differing.length !== differing)
    throw new Error(
      `compared ${result.compared} of ${count} rows, named ${result.differing.length}, not ${differing}`,
    );
  return result;
}
