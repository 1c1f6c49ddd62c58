import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * What an application does in one transaction, as SQL. `:id` is one of the hot keys (`hotKey` of a number from 0 to `idMax`), `:n` a number
 * from 1 to 9999.
 */
export interface TrafficStatement {
  readonly sql: readonly string[];
  readonly idMax: number;
}

/** Every tenth key: between two of them there are nine that nobody writes. */
export const hotKey = (number: number): number => number * 10 + 3;
/** SQL for the same, of a column. */
export const isHotKey = (column: string): string => `${column} % 10 = 3`;

/** Writes by a program that does not know the library, in a process of its own. */
export interface ForeignTraffic {
  /** Transactions so far, as the program itself counts them, once a second. */
  writes(): number;
  /** Ends it. Rejects with what the program said when it had ended by itself. */
  stop(): Promise<void>;
}

const THREADS = 2;
/** Transactions in a second, of both threads together. */
const RATE = 150;
const LONG_S = 86_400;

/** `pgbench` with the statements as scripts of equal weight. */
export function startPgbench(url: string, statements: readonly TrafficStatement[]): ForeignTraffic {
  return start((folder) => {
    const files = statements.map(({ sql, idMax }, index) => {
      const file = join(folder, `${index}.sql`);
      const body = sql.length === 1 ? sql : ['BEGIN', ...sql, 'COMMIT'];
      const draws = [
        `\\set id random(0, ${idMax}) * 10 + ${hotKey(0)}`,
        '\\set n random(1, 9999)',
        ...body.map((one) => `${one};`),
      ];
      writeFileSync(file, `${draws.join('\n')}\n`);
      return ['-f', file];
    });
    const load = ['-c', THREADS, '-j', 1, '-R', RATE, '-T', LONG_S, '-P', 1].map(String);
    return ['pgbench', ['-n', ...load, '--max-tries', '10', ...files.flat(), url]];
  });
}

/** Where a MariaDB server listens, and as whom to come. */
export interface MariadbPlace {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** `sysbench` with the statements in a script of Lua. */
export function startSysbench(
  place: MariadbPlace,
  statements: readonly TrafficStatement[],
): ForeignTraffic {
  return start((folder) => {
    const file = join(folder, 'traffic.lua');
    writeFileSync(file, luaOf(statements));
    return [
      'sysbench',
      [
        file,
        `--mysql-host=${place.host}`,
        `--mysql-port=${place.port}`,
        `--mysql-user=${place.user}`,
        `--mysql-password=${place.password}`,
        `--mysql-db=${place.database}`,
        `--threads=${THREADS}`,
        `--rate=${RATE}`,
        `--time=${LONG_S}`,
        '--events=0',
        '--report-interval=1',
        'run',
      ],
    ];
  });
}

function luaOf(statements: readonly TrafficStatement[]): string {
  const entries = statements.map(({ sql, idMax }) => {
    const body = sql.length === 1 ? sql : ['BEGIN', ...sql, 'COMMIT'];
    return `  {${idMax}, {${body.map((one) => JSON.stringify(one)).join(', ')}}}`;
  });
  return `local statements = {\n${entries.join(',\n')}\n}
function thread_init()
  connection = sysbench.sql.driver():connect()
end
function thread_done()
  connection:disconnect()
end
function event()
  local one = statements[sysbench.rand.uniform(1, #statements)]
  local id = sysbench.rand.uniform(0, one[1]) * 10 + ${hotKey(0)}
  local n = sysbench.rand.uniform(1, 9999)
  for _, sql in ipairs(one[2]) do
    connection:query((sql:gsub(":id", id):gsub(":n", n)))
  end
end
`;
}

type Program = readonly [name: string, args: readonly string[]];

function start(prepare: (folder: string) => Program): ForeignTraffic {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-traffic-'));
  const [name, args] = prepare(folder);
  const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  let writes = 0;
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part: Buffer) => {
      const text = part.toString();
      said = (said + text).slice(-4_000);
      for (const [, one, other] of text.matchAll(/([\d.]+) tps,|tps: ([\d.]+)/g))
        writes += Number(one ?? other);
    });
  const ended = endOf(child);
  let asked = false;
  return {
    writes: () => Math.round(writes),
    async stop() {
      const early = child.exitCode !== null || child.pid === undefined;
      if (!asked && !early) child.kill('SIGTERM');
      asked = true;
      await ended;
      rmSync(folder, { recursive: true, force: true });
      if (early) throw new Error(`${name} ended by itself: ${said}`);
    },
  };
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
}
