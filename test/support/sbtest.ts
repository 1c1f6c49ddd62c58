import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const TABLES = 2;
export const sbtestTables = Array.from({ length: TABLES }, (_, index) => `sbtest${index + 1}`);

/** The text of a configuration: everything is captured from the binary log. */
export const sbtestConfig = (source: string, target: string): string => `
import { defineMigration } from '${root}/src/index.ts';
import { mysql } from '${root}/src/adapters/mysql/index.ts';
import { postgres } from '${root}/src/adapters/postgres/index.ts';
const collection = { capture: 'log' };
export default defineMigration({
  name: 'sbtest',
  source: mysql({ url: ${JSON.stringify(source)} }),
  target: postgres({ url: ${JSON.stringify(target)} }),
  collections: { ${sbtestTables.map((name) => `${name}: collection`).join(', ')} },
  gates: { profile: 'demo' },
});`;

/** The tables of a PostgreSQL target. */
export const sbtestTarget = sbtestTables
  .map(
    (name) =>
      `CREATE TABLE ${name} (id int PRIMARY KEY, k int NOT NULL, c varchar(120) NOT NULL, pad varchar(60) NOT NULL);`,
  )
  .join('\n');

/** Arguments of sysbench. */
export function sbtestArguments(
  server: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
  },
  database: string,
  command: 'prepare' | 'run',
  options: { readonly seconds: number; readonly rate: number },
): string[] {
  return [
    'oltp_read_write',
    `--mysql-host=${server.host}`,
    `--mysql-port=${server.port}`,
    `--mysql-user=${server.user}`,
    `--mysql-password=${server.password}`,
    `--mysql-db=${database}`,
    `--tables=${TABLES}`,
    '--table-size=20000',
    '--threads=4',
    `--time=${options.seconds}`,
    `--rate=${options.rate}`,
    command,
  ];
}
