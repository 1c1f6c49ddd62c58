/**
 * How long do writers wait for the guard at the write switch? From the seal of the old authority to both flipped guards, with 30 tables on MariaDB and 100 on
 * PostgreSQL, while a foreign writer writes; beside the same with triggers made under table locks (MariaDB), and beside one empty table (PostgreSQL).
 * And what the triggers cost foreign writers on MariaDB while they only wait for the seal.
 */
import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import type { Shape } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { GuardState, MigrationStore, StoreConnector } from '../../src/store/index.ts';
import { startPrivateMariadb } from '../../test/support/mariadb-server.ts';
import { type Benchmark, type Case, compare, elapsedMs, median, percentile } from '../measure.ts';

const rounds = 10;
const mariadbTables = 30;
const postgresTables = 100;
const rowsPerStatement = 10_000;
const lockMs = 10_000;
const attempt = 'ab12cd34ef56ab12cd34ef56';

const guardOf = (
  role: GuardState['role'],
  epoch: number,
  mark: string | null = attempt,
): GuardState => ({ role, epoch, attempt: mark });

const names = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `table_${at}`);

function connect(connector: StoreConnector, tables: readonly string[]): Promise<MigrationStore> {
  const shapes = new Map<string, Shape>(
    tables.map((table) => [table, { table, key: ['id'], columns: ['id', 'value'] }]),
  );
  return connector.connect({ migration: 'bench', side: 'source', shapes, runtime: systemRuntime });
}

/** Ran the statement again and again; the longest wait. */
function writing(
  write: () => Promise<unknown>,
): () => Promise<{ readonly writes: number; readonly longestMs: number }> {
  let ended = false;
  let writes = 0;
  let longestMs = 0;
  const work = (async () => {
    while (!ended) {
      longestMs = Math.max(longestMs, await elapsedMs(() => write().catch(() => {})));
      writes++;
      await systemRuntime.clock.sleep(1);
    }
  })();
  return async () => {
    ended = true;
    await work;
    return { writes, longestMs };
  };
}

interface SwitchTimes {
  /** The mark, with what is prepared behind it, while writes flow. */
  readonly armMs: number;
  /** Longest wait of the foreign writer meanwhile. */
  readonly armedWriterMs: number;
  /** Seal and flip: what the pause of the application contains. */
  readonly pauseMs: number;
  /** Back to an authority without mark, everything removed. */
  readonly openMs: number;
}

/** Authority → sealed → follower → authority again. `armed`: by way of the mark, as a switch does it. */
async function switchOnce(
  { guard }: MigrationStore,
  armed: boolean,
  write: () => Promise<unknown>,
): Promise<SwitchTimes> {
  const change = async (from: GuardState, to: GuardState): Promise<number> =>
    elapsedMs(async () => {
      if (!(await guard.change(from, to, lockMs))) throw new Error('the guard was something else');
    });
  const begin = guardOf('authority', 1, null);
  const stop = writing(write);
  await systemRuntime.clock.sleep(50);
  const marked = armed ? guardOf('authority', 1) : begin;
  const armMs = armed ? await change(begin, marked) : 0;
  const { longestMs } = await stop();
  const stopAgain = writing(write);
  const sealMs = await change(marked, guardOf('sealed', 1));
  const flipMs = await change(guardOf('sealed', 1), guardOf('follower', 2));
  await stopAgain();
  await change(guardOf('follower', 2), guardOf('sealed', 1));
  const openMs = await change(guardOf('sealed', 1), begin);
  return { armMs, armedWriterMs: longestMs, pauseMs: sealMs + flipMs, openMs };
}

async function onMariadb(say: (line: string) => void): Promise<readonly Case[]> {
  const server = await startPrivateMariadb({ durable: true });
  const tables = names(mariadbTables);
  try {
    const url = await server.createDatabase('shop');
    const client = await createConnection(url);
    for (const table of tables)
      await client.query(`CREATE TABLE ${table} (id int AUTO_INCREMENT PRIMARY KEY, value text)`);
    const store = await connect(mariadb({ url }), tables);
    await store.setup.install('authority', 1);
    let at = 0;
    const write = (): Promise<unknown> =>
      client.query(`INSERT INTO table_${at++ % mariadbTables} (value) VALUES ('x')`);
    const prepared: SwitchTimes[] = [];
    const locked: SwitchTimes[] = [];
    for (let round = 0; round < rounds; round++) {
      prepared.push(await switchOnce(store, true, write));
      locked.push(await switchOnce(store, false, write));
    }
    const cost = await rowCost(store, client);
    await store.close();
    await client.end();
    const armMs = median(prepared.map((one) => one.armMs));
    const waitMs = Math.max(...prepared.map((one) => one.armedWriterMs));
    const openMs = median(prepared.map((one) => one.openMs));
    say(
      `MariaDB, ${mariadbTables} tables: preparing ${armMs.toFixed(0)} ms (a writer waited ${waitMs.toFixed(0)} ms at most), removing ${openMs.toFixed(0)} ms`,
    );
    const pauses = (from: readonly SwitchTimes[]): number[] => from.map((one) => one.pauseMs);
    say(`seal and flip: ${pauses(prepared).map(Math.round).join(' ')} ms`);
    return [
      compare(
        `MariaDB, seal and flip, ${mariadbTables} tables, median`,
        'ms',
        median(pauses(prepared)),
        median(pauses(locked)),
      ),
      compare(
        `MariaDB, seal and flip, ${mariadbTables} tables, p99`,
        'ms',
        percentile(pauses(prepared), 0.99),
        percentile(pauses(locked), 0.99),
      ),
      ...cost,
    ];
  } finally {
    await server.stop();
  }
}

/** A foreign writer's rows with the triggers that wait for the seal, beside none. */
async function rowCost(
  { guard }: MigrationStore,
  client: Awaited<ReturnType<typeof createConnection>>,
): Promise<readonly Case[]> {
  const many = `INSERT INTO table_0 (value) SELECT seq FROM seq_1_to_${rowsPerStatement}`;
  const single = async (): Promise<void> => {
    for (let at = 0; at < 200; at++) await client.query("INSERT INTO table_1 (value) VALUES ('x')");
  };
  const [begin, marked] = [guardOf('authority', 1, null), guardOf('authority', 1)];
  const with_: { many: number[]; single: number[] } = { many: [], single: [] };
  const without: { many: number[]; single: number[] } = { many: [], single: [] };
  for (let round = 0; round < rounds; round++) {
    without.many.push(await elapsedMs(() => client.query(many)));
    without.single.push(await elapsedMs(single));
    await guard.change(begin, marked, lockMs);
    with_.many.push(await elapsedMs(() => client.query(many)));
    with_.single.push(await elapsedMs(single));
    await guard.change(marked, begin, lockMs);
  }
  const micros = (ms: readonly number[], rows: number): number => (median(ms) * 1_000) / rows;
  return [
    compare(
      `MariaDB, a foreign row while prepared, ${rowsPerStatement} a statement`,
      'µs',
      micros(with_.many, rowsPerStatement),
      micros(without.many, rowsPerStatement),
    ),
    compare(
      'MariaDB, a foreign row while prepared, one a transaction',
      'µs',
      micros(with_.single, 200),
      micros(without.single, 200),
    ),
  ];
}

async function onPostgres(say: (line: string) => void): Promise<readonly Case[]> {
  const server = await startPrivatePostgres({ durable: true });
  try {
    const pauses = async (count: number, database: string): Promise<readonly SwitchTimes[]> => {
      const tables = names(count);
      const url = await server.createDatabase(database);
      const client = new pg.Client({ connectionString: url });
      // It ends with the server when something else has failed.
      client.on('error', () => {});
      await client.connect();
      for (const table of tables)
        await client.query(`CREATE TABLE ${table} (id serial PRIMARY KEY, value text)`);
      const store = await connect(postgres({ url }), tables);
      await store.setup.install('authority', 1);
      let at = 0;
      const write = (): Promise<unknown> =>
        client.query(`INSERT INTO table_${at++ % count} (value) VALUES ('x')`);
      const found: SwitchTimes[] = [];
      for (let round = 0; round < rounds; round++) found.push(await switchOnce(store, true, write));
      await store.close();
      await client.end();
      return found;
    };
    const many = (await pauses(postgresTables, 'many')).map((one) => one.pauseMs);
    const one = (await pauses(1, 'one')).map(({ pauseMs }) => pauseMs);
    say(`PostgreSQL, ${postgresTables} tables: ${many.map(Math.round).join(' ')} ms`);
    const what = `PostgreSQL, seal and flip, ${postgresTables} tables (beside 1)`;
    return [
      compare(`${what}, median`, 'ms', median(many), median(one)),
      compare(`${what}, p99`, 'ms', percentile(many, 0.99), percentile(one, 0.99)),
    ];
  } finally {
    await server.stop();
  }
}

export const guard: Benchmark = {
  name: 'guard',
  run: async ({ say }) => [...(await onMariadb(say)), ...(await onPostgres(say))],
};

export default guard;
