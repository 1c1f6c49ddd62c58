import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { type PrivateMariadb, startPrivateMariadb } from '../../test/support/mariadb-server.ts';
import { damageCounts } from '../corruption/judge.ts';
import { chinookPair, namesPair, type RunSql, sakilaPair } from '../corruption/pairs.ts';
import {
  type CorruptionPair,
  type CorruptionRound,
  corruptionRounds,
} from '../corruption/round.ts';
import { type BenchContext, type Benchmark, type Case, compare } from '../measure.ts';

/**
 * BENCH_CORRUPTIONS (damages of a round), BENCH_ROWS (of the names; 0 leaves them out), BENCH_SEED (one round for each: `1,2,3`), BENCH_PAIR (a part of its
 * name) and BENCH_CAPTURE (`log`, or `app` with traffic through the router) change what is done. `pgbench` and `sysbench` have to be installed.
 */
const count = Number(process.env.BENCH_CORRUPTIONS ?? 500);
const rowsMax = Number(process.env.BENCH_ROWS ?? 2_200_000);
const seeds = (process.env.BENCH_SEED ?? '1').split(',').map(Number);
const only = process.env.BENCH_PAIR ?? '';
const capture = process.env.BENCH_CAPTURE === 'app' ? 'app' : 'log';

/** "ours" is what was found, named or repaired, "alternative" what had to be: nothing else is measured beside it. */
const benchmark: Benchmark = {
  name: 'corruption',
  async run(context) {
    const folder = await mkdtemp(join(tmpdir(), 'changeover-bench-'));
    const source = await startPrivateMariadb({ settings: { innodb_buffer_pool_size: '512M' } });
    const target = await startPrivatePostgres({
      source: 'system',
      settings: { shared_buffers: '256MB', max_wal_size: '4GB' },
    });
    try {
      return await rounds(source, target, folder, context);
    } finally {
      await Promise.all([source.stop(), target.stop()]);
      await rm(folder, { recursive: true, force: true });
    }
  },
};

export default benchmark;

async function rounds(
  source: PrivateMariadb,
  target: PrivatePostgres,
  folder: string,
  context: BenchContext,
): Promise<readonly Case[]> {
  const made = async (name: string): Promise<readonly [url: string, run: RunSql]> => {
    await target.createDatabase(name);
    return [target.url(name), (sql) => runSql(target.url(name), sql)];
  };
  const [oldUrl, oldRun] = await made('chinook_old');
  const [newUrl, newRun] = await made('chinook_new');
  const [sakilaUrl, sakilaRun] = await made('sakila_new');
  const [namesUrl, namesRun] = await made('names_new');
  const pairs: readonly (readonly [string, () => Promise<CorruptionPair>])[] = [
    [
      'Chinook, PostgreSQL to PostgreSQL',
      () => chinookPair({ source: oldUrl, target: newUrl }, { source: oldRun, target: newRun }),
    ],
    ['Sakila, MariaDB to PostgreSQL', () => sakilaPair(source, sakilaUrl, sakilaRun)],
    ...(rowsMax > 0
      ? [
          [
            'names, MariaDB to PostgreSQL',
            () => namesPair(source, namesUrl, namesRun, { folder, rowsMax }),
          ] as const,
        ]
      : []),
  ];
  const cases: Case[] = [];
  for (const [name, make] of pairs.filter(([one]) => one.includes(only))) {
    context.say(name);
    const say = (line: string): void => context.say(`  ${line}`);
    const onRound = (round: CorruptionRound): void => {
      tell(round, say);
      cases.push(...casesOf(`${name}, seed ${round.seed}`, round));
    };
    await corruptionRounds(await make(), { count, seeds, capture, say, onRound });
  }
  return cases;
}

async function runSql(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function tell(round: CorruptionRound, say: (line: string) => void): void {
  const { judgement, damages, inSpecimens, aligned, collections } = round;
  const share = Math.round((100 * inSpecimens) / Math.max(1, damages.length));
  say(`seed ${round.seed}: ${JSON.stringify(damageCounts(damages))}, ${share} % in specimens`);
  say(
    `${round.compared} compared in ${Math.round(round.verifyMs)} ms, ${round.writes} writes of the traffic; ${judgement.found} of ${judgement.done} found, ${judgement.overwritten} overwritten by traffic, ${judgement.invented.length} invented, ${judgement.misnamed.length} misnamed; ${round.repaired} repaired, ${round.healed} healed by traffic; second verification: ${round.left} differ, ${aligned} of ${collections} collections at one position, ${round.overruled.first} and ${round.overruled.second} overruled`,
  );
  for (const { collection, key, class: called, note } of round.unexplained.slice(0, 20))
    say(`  LEFT: ${called} of ${collection} ${key} ${note}`);
  for (const { damage, called } of judgement.misnamed.slice(0, 20))
    say(`  ${damage.how} of ${damage.collection}.${damage.field ?? ''} was called ${called}`);
  for (const { collection, key, how, field } of judgement.overlooked.slice(0, 20))
    say(`  OVERLOOKED: ${how} of ${collection}.${field ?? ''} ${key}`);
  for (const { collection, key } of judgement.invented.slice(0, 20))
    say(`  INVENTED: ${collection} ${key}`);
}

function casesOf(name: string, round: CorruptionRound): readonly Case[] {
  const { done, found, overwritten, invented, misnamed } = round.judgement;
  return [
    compare(
      `${name}: found, of the damages that traffic left`,
      'records',
      found,
      done - overwritten,
    ),
    compare(`${name}: rightly named, of those found`, 'records', found - misnamed.length, found),
    compare(
      `${name}: repaired or healed by traffic, of those found`,
      'records',
      round.repaired + round.healed,
      found,
    ),
    // Above 1 when something was invented or left: as a ratio, because that is what a table shows.
    compare(
      `${name}: said to differ in both verifications, beside what was there`,
      'records',
      found + invented.length + round.left,
      done - overwritten,
    ),
  ];
}
