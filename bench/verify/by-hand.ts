import { spawn, spawnSync } from 'node:child_process';
import type { PrivatePostgres } from '../../src/demo/private-postgres.ts';
import type { PrivateMariadb } from '../../test/support/mariadb-server.ts';
import { psql } from '../backfill/accounts.ts';

/** One number for the rows of each side, asked of both sides at once: what an operator writes by hand. */
export async function rowHashes(
  server: PrivatePostgres,
  databases: readonly string[],
  table: string,
): Promise<void> {
  const sql = `SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ${table} t`;
  await agree(databases.map((database) => psql(server, database, sql)));
}

/** MD5 is what both engines have: 64 bits of each row's, in both at once. */
export async function namesMd5(
  source: PrivateMariadb,
  database: string,
  target: PrivatePostgres,
  into: string,
): Promise<void> {
  const row = `concat_ws('|', year, sex, name, n)`;
  await agree([
    mariadbClient(
      source,
      database,
      `SELECT CONCAT(COUNT(*), '|', CAST(BIT_XOR(CAST(CONV(LEFT(MD5(${row}), 16), 16, 10) AS UNSIGNED)) AS SIGNED)) FROM names`,
    ),
    psql(
      target,
      into,
      `SELECT count(*), bit_xor(('x' || left(md5(${row}), 16))::bit(64)::bigint) FROM names`,
    ),
  ]);
}

async function agree(answers: readonly Promise<string>[]): Promise<void> {
  const [one, other] = await Promise.all(answers);
  if (one !== other) throw new Error(`${one} is not ${other}`);
}

/** Output of the client, which MariaDB brings along. */
export function mariadbClient(
  server: PrivateMariadb,
  database: string,
  sql: string,
): Promise<string> {
  const args = [
    ...['--no-defaults', '-h', server.host, '-P', String(server.port), '-u', server.user],
    ...['--default-character-set=utf8mb4', '-N', '-B', database, '-e', sql],
  ];
  return output('mariadb', args, { MYSQL_PWD: server.password });
}

/** True when the tool can be run here. */
export const installed = (program: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/**
 * What those do who have Percona Toolkit: checksums of chunks on each of two servers' tables (here two databases of one), and the statements that would make
 * them equal. Number of rows that differ.
 */
export async function perconaDiff(
  server: PrivateMariadb,
  databases: readonly [string, string],
  table: string,
): Promise<number> {
  await server.query(
    "CREATE USER IF NOT EXISTS checker@'%' IDENTIFIED BY 'checker'; GRANT ALL ON *.* TO checker@'%'",
  );
  const at = (database: string): string =>
    `h=${server.host},P=${server.port},u=checker,p=checker,D=${database},t=${table}`;
  for (const database of databases) {
    await output('pt-table-checksum', [
      ...[at(database).replace(/,D=.*/, ''), '--databases', database, '--tables', table],
      ...['--no-check-binlog-format', '--no-check-replication-filters', '--quiet'],
      ...['--replicate', `${database}.checksums`],
    ]);
  }
  const printed = await output('pt-table-sync', [
    ...['--print', '--no-check-slave', at(databases[0]), at(databases[1])],
  ]);
  return printed.split('\n').filter((line) => /^(REPLACE|DELETE|INSERT|UPDATE)/.test(line)).length;
}

function output(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once('error', reject);
    // pt-table-sync ends with 2 when it has found differences, pt-table-checksum with 8 where there is no replica.
    child.once('close', (code) =>
      code === 0 || (program.startsWith('pt-') && (code === 2 || code === 8))
        ? resolve(text.trim())
        : reject(new Error(`${program} ended with ${code}`)),
    );
  });
}
