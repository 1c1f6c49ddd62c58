import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PrivatePostgres } from '../../src/demo/private-postgres.ts';
import type { PrivateMariadb } from '../../test/support/mariadb-server.ts';
import { psql } from './accounts.ts';

const published = fileURLToPath(
  new URL('../../../shared/data/ssa-national.csv.xz', import.meta.url),
);

/** Names of children by year and sex, as the US Social Security Administration counts them. */
export const namesDdl = {
  source: `CREATE TABLE names (year smallint NOT NULL, sex char(1) NOT NULL, name varchar(40) NOT NULL, n int NOT NULL,
    PRIMARY KEY (year, sex, name)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
  target: `CREATE TABLE names (year smallint NOT NULL, sex char(1) NOT NULL, name varchar(40) NOT NULL, n int NOT NULL,
    PRIMARY KEY (year, sex, name))`,
} as const;

/** Fills `names` with the published file where it is at hand, else with rows of the same form. Number of rows, and where they are from. */
export async function fillNames(
  server: PrivateMariadb,
  database: string,
  folder: string,
  rowsMax: number,
): Promise<{ readonly rows: number; readonly origin: 'published' | 'generated' }> {
  const file = join(folder, 'names.csv');
  if (existsSync(published)) {
    const csv = spawnSync('xz', ['-dc', published], { maxBuffer: 256 * 1024 * 1024 });
    writeFileSync(file, csv.stdout);
  } else writeFileSync(file, generated(rowsMax));
  await load(server, database, file, rowsMax);
  const [found] = await server.query<{ rows: string }>(
    'SELECT count(*) AS `rows` FROM names',
    [],
    database,
  );
  return { rows: Number(found?.rows), origin: existsSync(published) ? 'published' : 'generated' };
}

/** Two sexes, years from 1880, names of the usual length. */
function generated(rows: number): string {
  const lines = ['year,sex,name,n'];
  const perGroup = Math.ceil(rows / (144 * 2));
  for (let year = 1880; year < 2024; year += 1)
    for (const sex of ['F', 'M'])
      for (let one = 0; one < perGroup; one += 1)
        lines.push(`${year},${sex},Name${one.toString(26)},${(one * 7919) % 10_000}`);
  return `${lines.slice(0, rows + 1).join('\n')}\n`;
}

async function load(
  server: PrivateMariadb,
  database: string,
  file: string,
  rowsMax: number,
): Promise<void> {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .slice(1, rowsMax + 1);
  for (let from = 0; from < lines.length; from += 20_000) {
    const values = lines
      .slice(from, from + 20_000)
      .filter((line) => line !== '')
      .map((line) => `(${line.replace(/^(\d+),(.),([^,]+),(\d+)$/, "$1,'$2','$3',$4")})`);
    if (values.length > 0) {
      await server.query(`INSERT INTO names VALUES ${values.join(',')}`, [], database);
    }
  }
}

/** What an operator does by hand: rows by pipe, into the table as it is. */
export async function pipeNames(
  source: PrivateMariadb,
  database: string,
  target: PrivatePostgres,
): Promise<void> {
  const client = `mariadb --no-defaults -h ${source.host} -P ${source.port} -u ${source.user} --default-character-set=utf8mb4 -N -B --quick`;
  await run(
    'bash',
    [
      '-c',
      `set -o pipefail; ${client} -e "SELECT year, sex, name, n FROM names" ${database} | "$PSQL" -X -q "$URL" -c "COPY names FROM STDIN"`,
    ],
    {
      MYSQL_PWD: source.password,
      PSQL: join(target.binDir, 'psql'),
      URL: target.url('new'),
    },
  );
}

/** `pgloader`, with the settings of its manual's first example: it creates the table, and the key behind the rows. Largest memory, MB. */
export async function pgloadNames(
  source: PrivateMariadb,
  database: string,
  target: PrivatePostgres,
  folder: string,
): Promise<number> {
  // Its reader of addresses does not take every password.
  await source.query(
    "CREATE USER IF NOT EXISTS loader@'%' IDENTIFIED BY 'loader'; GRANT ALL ON *.* TO loader@'%'",
  );
  await psql(target, 'new', `DROP SCHEMA IF EXISTS ${database} CASCADE`);
  const command = join(folder, 'names.load');
  writeFileSync(
    command,
    `LOAD DATABASE FROM mysql://loader:loader@${source.host}:${source.port}/${database}
      INTO postgresql://${target.user}@${target.host}:${target.port}/new
      WITH include drop, create tables, create indexes, reset no sequences;\n`,
  );
  return run('pgloader', ['--quiet', '--root-dir', folder, command], {});
}

/** Runs a program to its end; its largest memory, MB (Linux). */
async function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  let peakKb = 0;
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peakKb = Math.max(peakKb, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // It has ended.
    }
  }, 20);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) =>
        code === 0 ? resolve() : reject(new Error(`${program} ended with ${code}`)),
      );
    });
  } finally {
    clearInterval(look);
  }
  return peakKb / 1024;
}

/** True when a program of this name can be started. */
export const installed = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
