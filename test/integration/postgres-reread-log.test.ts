import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LogMark } from '../../src/log/index.ts';
import { systemRandom } from '../../src/runtime/index.ts';
import { type LogRig, logRig, stream } from '../support/postgres-log.ts';
import { useServer } from '../support/private-postgres.ts';

const starting = useServer();
const DDL = `CREATE TABLE items (id int PRIMARY KEY, name text);
  CREATE TABLE orders (id int PRIMARY KEY, note text);
  CREATE TABLE lines (id int, n int, text text, PRIMARY KEY (id, n));
  CREATE TABLE unrelated (id int)`;
const shapes = {
  items: { table: 'items', key: ['id'] },
  orders: {
    table: 'orders',
    key: ['id'],
    children: { lines: { table: 'lines', key: ['id', 'n'], parent: ['id'] } },
  },
};

let rig: LogRig;
let writer: pg.Client;
let committing: Promise<unknown> = Promise.resolve();

const connect = async (): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: rig.url });
  await client.connect();
  return client;
};

beforeAll(async () => {
  const server = await starting;
  // Numbers of transactions beyond 32 bits, as on a server that has been running for years.
  const reset = join(server.binDir, 'pg_resetwal');
  if (!existsSync(reset)) return;
  await server.shutdown();
  const uid = Number(spawnSync('stat', ['-c', '%u', server.dataDir], { encoding: 'utf8' }).stdout);
  const done = spawnSync(reset, ['-e', '3', server.dataDir], { uid, encoding: 'utf8', cwd: '/' });
  expect(done.stderr).toBe('');
  await server.start();
});
beforeEach(async () => {
  const url = await (await starting).createDatabase(`t${systemRandom.id()}`);
  rig = await logRig(url, DDL, shapes);
  writer = await connect();
  const { rows } = await rig.sql('SELECT quote_ident(current_database()) AS name');
  // Of new sessions: only the writer waits for a standby that is not there.
  await rig.sql(`ALTER DATABASE ${rows[0].name} SET synchronous_commit = local`);
  await rig.store.close();
  await rig.close();
  rig = await logRig(url, 'SET synchronous_commit = local', shapes);
});
afterEach(async () => {
  await release();
  await writer.end();
  await rig.log.remove(stream);
  await rig.close();
});

/**
 * Commits in such a way that the commit stands in the log, and is sent to its readers, but cannot be seen: it waits for a synchronous standby. The same gap is there at every
 * commit, for microseconds.
 */
async function commitUnseen(statements: string): Promise<void> {
  await rig.sql(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
  await rig.sql('SELECT pg_reload_conf()');
  await waiting('SHOW synchronous_standby_names', 'nobody');
  await writer.query(`SET synchronous_commit = on; BEGIN; ${statements}`);
  committing = writer.query('COMMIT');
  await waiting(
    `SELECT wait_event FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'`,
    'SyncRep',
  );
}

async function waiting(question: string, answer: string): Promise<void> {
  const client = await connect();
  for (let round = 0; round < 400; round += 1) {
    const { rows } = await client.query({ text: question, rowMode: 'array' });
    if (rows[0]?.[0] === answer) break;
    await sleep(10);
  }
  await client.end();
}

async function release(): Promise<void> {
  await rig.sql('ALTER SYSTEM RESET synchronous_standby_names');
  await rig.sql('SELECT pg_reload_conf()');
  await committing;
}

const read = (collection: string, id: string, seen?: LogMark) =>
  rig.store.records.reread(collection, [[id]], 1, seen).then(([one]) => one);

describe('a commit that is in the log and cannot be seen yet', () => {
  test('with its mark a re-read is busy until it can be, then sees it', async () => {
    const from = await rig.install();
    const reader = await rig.open(from);
    await commitUnseen(`INSERT INTO items VALUES (1, 'unseen')`);
    const { changes, mark } = await reader.next(5_000);
    expect(changes).toHaveLength(1);
    expect((await rig.store.records.read('items', [['1']]))[0]?.record).toBeNull();
    expect(await read('items', '1', mark)).toMatchObject({ state: 'busy' });
    const later = read('items', '1', mark);
    await sleep(100);
    await release();
    expect(await later).toMatchObject({
      state: 'read',
      record: { name: 'unseen' },
      version: { epoch: 1, sequence: mark.sequence },
    });
  });

  test('without a mark nothing that it may have changed is read as older', async () => {
    await rig.sql(`INSERT INTO items VALUES (2, 'old'); INSERT INTO orders VALUES (1, 'old')`);
    await commitUnseen(`INSERT INTO items VALUES (1, 'unseen'); UPDATE items SET name = 'unseen' WHERE id = 2;
      INSERT INTO lines VALUES (1, 1, 'unseen')`);
    expect(await read('items', '1')).toMatchObject({ state: 'busy' });
    expect(await read('items', '2')).toMatchObject({ state: 'busy' });
    expect(await read('orders', '1')).toMatchObject({ state: 'busy' });
    await release();
    expect((await read('items', '1'))?.record).toMatchObject({ name: 'unseen' });
    expect((await read('items', '2'))?.record).toMatchObject({ name: 'unseen' });
    expect((await read('orders', '1'))?.record?.['lines']).toHaveLength(1);
  });

  test('a row that it did not touch is read all the same', async () => {
    await rig.sql(`INSERT INTO items VALUES (2, 'old')`);
    await commitUnseen(`INSERT INTO items VALUES (1, 'unseen')`);
    expect(await read('items', '2')).toMatchObject({ state: 'read', record: { name: 'old' } });
  });
});

describe('a transaction that stays open', () => {
  test('is not waited for while it is idle, whatever is read', async () => {
    await rig.sql(`INSERT INTO orders VALUES (1, 'old')`);
    await writer.query(
      `BEGIN; INSERT INTO unrelated VALUES (1); INSERT INTO items VALUES (7, 'open')`,
    );
    const started = Date.now();
    for (const [collection, id] of [
      ['items', '1'],
      ['items', '7'],
      ['orders', '1'],
      ['orders', '2'],
    ] as const)
      expect(await read(collection, id)).toMatchObject({ state: 'read' });
    expect(Date.now() - started).toBeLessThan(2_000);
    // Its commit is behind what was read.
    const before = await read('items', '7');
    await expect(rig.log.install(stream, 200)).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    await writer.query('COMMIT');
    const after = await read('items', '7');
    expect(before?.record).toBeNull();
    expect(after?.record).toMatchObject({ name: 'open' });
    expect(after?.version.sequence).toBeGreaterThan(before?.version.sequence ?? 0n);
  });

  test('with a running statement makes absent keys busy, and present rows of one table not', async () => {
    await rig.sql(`INSERT INTO items VALUES (2, 'there')`);
    await writer.query('BEGIN; INSERT INTO unrelated VALUES (1)');
    const sleeping = writer.query('SELECT pg_sleep(4)');
    const answers = await rig.store.records.reread('items', [['1'], ['2']], 1);
    expect(answers.map(({ state }) => state)).toEqual(['busy', 'read']);
    await sleeping;
    await writer.query('ROLLBACK');
  });
});

test('a sealed store is read, for the rest of its log; a follower, and another epoch, are not', async () => {
  await rig.sql(`INSERT INTO items VALUES (1, 'a')`);
  const { guard } = rig.store;
  const change = async (role: 'sealed' | 'follower'): Promise<void> => {
    const now = await guard.read();
    expect(await guard.change(now, { ...now, role }, 5_000)).toBe(true);
  };
  await change('sealed');
  expect((await read('items', '1'))?.record).toMatchObject({ name: 'a' });
  const seen = { sequence: 1n, transactions: [] };
  expect((await read('items', '1', seen))?.record).toMatchObject({ name: 'a' });
  await change('follower');
  for (const mark of [undefined, seen])
    await expect(read('items', '1', mark)).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
});

test('numbers of transactions go beyond 32 bits here', async () => {
  const { rows } = await rig.sql('SELECT pg_current_xact_id()::text::bigint >> 32 AS epoch');
  expect(rows[0].epoch).toBe(existsSync(join((await starting).binDir, 'pg_resetwal')) ? '3' : '0');
});

test('keys come back as the store spells them, in their order', async () => {
  await rig.sql(`INSERT INTO items VALUES (5, 'a')`);
  const answers = await rig.store.records.reread('items', [['007'], ['05'], ['6']], 1);
  expect(answers.map(({ key }) => key)).toEqual([['7'], ['5'], ['6']]);
  await expect(
    rig.store.records.reread(
      'items',
      Array.from({ length: 501 }, (_, id) => [String(id)]),
      1,
    ),
  ).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});
