import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { PrivatePostgres } from '../../src/demo/private-postgres.ts';

/** pgbench_accounts, without the tool: the same columns and row width. */
export const accountsDdl =
  'CREATE TABLE accounts (aid integer PRIMARY KEY, bid integer, abalance integer, filler character(84))';

export function fillAccounts(rows: number): string {
  return `INSERT INTO accounts SELECT i, i / 100000 + 1, 0, '' FROM generate_series(1, ${rows}) i`;
}

/** Runs statements with psql and gives back its output. */
export async function psql(
  server: PrivatePostgres,
  database: string,
  sql: string,
): Promise<string> {
  return shell(`"$PSQL" -X -q -A -t -v ON_ERROR_STOP=1 "$URL" -c "$SQL"`, {
    PSQL: join(server.binDir, 'psql'),
    URL: server.url(database),
    SQL: sql,
  });
}

/** `psql COPY … TO STDOUT | psql COPY … FROM STDIN`: what an operator does by hand. */
export async function copyByHand(server: PrivatePostgres, from: string, to: string): Promise<void> {
  await shell(
    `set -o pipefail; "$PSQL" -X -q "$FROM" -c "COPY accounts TO STDOUT" | "$PSQL" -X -q "$TO" -c "COPY accounts FROM STDIN"`,
    { PSQL: join(server.binDir, 'psql'), FROM: server.url(from), TO: server.url(to) },
  );
}

/** `pgcopydb clone` of the whole database `from` into the empty `to`: schema, rows, then the key and a VACUUM ANALYZE. */
export async function cloneByPgcopydb(
  server: PrivatePostgres,
  from: string,
  to: string,
  folder: string,
): Promise<void> {
  await shell(
    'pgcopydb clone --source "$FROM" --target "$TO" --dir "$DIR" --restart > "$DIR.log" 2>&1',
    {
      FROM: server.url(from),
      TO: server.url(to),
      DIR: join(folder, 'pgcopydb'),
    },
  );
}

function shell(script: string, env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', script], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve(output.trim()) : reject(new Error(`bash ended with ${code}: ${script}`)),
    );
  });
}
