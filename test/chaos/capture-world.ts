import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { bankAnswers, bankConfig, bankFacts, bankTarget, makeBank } from '../support/bank.ts';
import { withClient } from '../support/databases.ts';
import { type PrivateMariadb, startPrivateMariadb } from '../support/mariadb-server.ts';
import { sbtestArguments, sbtestConfig, sbtestTables, sbtestTarget } from '../support/sbtest.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** A server that can be killed and started again. */
interface Server {
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A source with traffic that we did not write, a target, and a network between them and the worker. */
export interface CaptureWorld {
  readonly name: string;
  /** Text of the configuration; the worker's way to both stores leads through `networks`. */
  readonly config: string;
  readonly source: Server;
  readonly target: Server;
  readonly networks: readonly TcpProxy[];
  /** Starts the traffic; it ends by itself when its server dies. */
  traffic(seconds: number): ChildProcess;
  /** What differs between the two, in words; [] when they are equal. */
  differences(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

const through = (url: string, port: number): string => {
  const parsed = new URL(url);
  parsed.hostname = '127.0.0.1';
  parsed.port = String(port);
  return parsed.toString();
};

/** pgbench on PostgreSQL, to another schema on another PostgreSQL. */
export async function openBankWorld(): Promise<CaptureWorld> {
  const source = await startPrivatePostgres({ source: 'system' });
  const target = await startPrivatePostgres({ source: 'any' });
  const sourceUrl = await source.createDatabase('old_bank');
  const targetUrl = await target.createDatabase('new_bank');
  const program = join(source.binDir, 'pgbench');
  await makeBank(program, sourceUrl, 4);
  await withClient(targetUrl, (client) => client.query(bankTarget));
  const { config, networks } = await networked(sourceUrl, targetUrl, bankConfig);
  return {
    name: 'pgbench on PostgreSQL, followed by PostgreSQL',
    config,
    source,
    target,
    networks,
    traffic: (seconds) =>
      spawn(program, ['-n', '-c', '4', '-T', String(seconds), '-R', '150', sourceUrl], {
        stdio: 'ignore',
      }),
    async differences() {
      const mine = await bankAnswers(sourceUrl, bankFacts.source);
      const theirs = await bankAnswers(targetUrl, bankFacts.target);
      return mine.flatMap((text, index) =>
        text === theirs[index] ? [] : [`query ${index + 1}: ${text} and ${theirs[index]}`],
      );
    },
    stop: () => stopAll(networks, [source, target]),
  };
}

/** sysbench on MariaDB, to PostgreSQL. */
export async function openSbtestWorld(): Promise<CaptureWorld> {
  const source: PrivateMariadb = await startPrivateMariadb();
  const target: PrivatePostgres = await startPrivatePostgres({ source: 'any' });
  const sourceUrl = await source.createDatabase('sbtest');
  const targetUrl = await target.createDatabase('sbtest');
  const made = spawnSync(
    'sysbench',
    sbtestArguments(source, 'sbtest', 'prepare', { seconds: 0, rate: 0 }),
    { encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(made.stdout + made.stderr);
  await withClient(targetUrl, (client) => client.query(sbtestTarget));
  const { config, networks } = await networked(sourceUrl, targetUrl, sbtestConfig);
  return {
    name: 'sysbench on MariaDB, followed by PostgreSQL',
    config,
    source,
    target,
    networks,
    traffic: (seconds) =>
      spawn('sysbench', sbtestArguments(source, 'sbtest', 'run', { seconds, rate: 60 }), {
        stdio: 'ignore',
      }),
    async differences() {
      const found: string[] = [];
      for (const table of sbtestTables) {
        const sql = `SELECT concat_ws('|', id, k, c, pad) AS t FROM ${table}`;
        const mine = (await source.query<{ t: string }>(sql, [], 'sbtest'))
          .map(({ t }) => t)
          .sort();
        const theirs = await withClient(targetUrl, async (client) =>
          (await client.query<{ t: string }>(sql)).rows.map(({ t }) => t).sort(),
        );
        const at = mine.findIndex((text, index) => text !== theirs[index]);
        if (mine.length !== theirs.length || at >= 0)
          found.push(`${table}: ${mine.length} and ${theirs.length} rows, first at ${at}`);
      }
      return found;
    },
    stop: () => stopAll(networks, [source, target]),
  };
}

async function networked(
  sourceUrl: string,
  targetUrl: string,
  config: (source: string, target: string) => string,
): Promise<{ readonly config: string; readonly networks: readonly TcpProxy[] }> {
  const networks: TcpProxy[] = [];
  const urls: string[] = [];
  for (const url of [sourceUrl, targetUrl]) {
    const { hostname, port } = new URL(url);
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
    networks.push(proxy);
    urls.push(through(url, proxy.port));
  }
  return { config: config(urls[0] ?? '', urls[1] ?? ''), networks };
}

async function stopAll(networks: readonly TcpProxy[], servers: readonly Server[]): Promise<void> {
  await Promise.allSettled(networks.map((proxy) => proxy.close()));
  await Promise.allSettled(servers.map((server) => server.stop()));
}
