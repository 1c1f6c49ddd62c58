import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { GuardState, MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1, { scope: 'test' });
const stores = mysqlStoresOn(() => databases.url(0));
const shapes = {
  plain: { table: 'plain', key: ['id'] },
  parted: {
    table: 'parted',
    key: ['id'],
    children: { parts: { table: 'parts', key: ['id'], parent: ['parted'] } },
  },
};
const authority: GuardState = { role: 'authority', epoch: 1, attempt: null };
const sealed: GuardState = { role: 'sealed', epoch: 2, attempt: 'a' };
const refused = { sqlState: 'CO001' };

let store: MigrationStore;
let foreign: Connection;

const query = (sql: string): Promise<Record<string, string | null>[]> => databases.query(0, sql);
const triggers = async (): Promise<number> =>
  (await store.setup.objects()).filter(({ kind }) => kind === 'trigger').length;

beforeEach(async () => {
  await query('CREATE TABLE plain (id int AUTO_INCREMENT PRIMARY KEY, name text)');
  await query(
    `CREATE TABLE parted (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, name text)
      PARTITION BY RANGE (id) (PARTITION low VALUES LESS THAN (1000), PARTITION high VALUES LESS THAN MAXVALUE)`,
  );
  await query('CREATE TABLE parts (id int PRIMARY KEY, parted bigint unsigned)');
  store = await stores.open(shapes, { migration: 'guard' });
  await store.setup.install('authority', 1);
  foreign = await createConnection(databases.url(0));
});

afterEach(async () => {
  await foreign.end();
  await stores.closeAll();
  await query('DROP DATABASE IF EXISTS changeover_guard_source');
});

test('rows of every table, also by REPLACE, upsert and multi-table statements, are refused', async () => {
  await foreign.query("INSERT INTO plain VALUES (1, 'a')");
  await foreign.query("INSERT INTO parted VALUES (1, 'a')");
  await foreign.query('INSERT INTO parts VALUES (1, 1)');
  expect(await triggers()).toBe(0);
  expect(await store.guard.change(authority, sealed, 2_000)).toBe(true);
  expect(await triggers()).toBe(9);
  const statements = [
    "INSERT INTO plain (name) VALUES ('x')",
    "INSERT IGNORE INTO plain (name) VALUES ('x')",
    "INSERT INTO plain VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = 'x'",
    "REPLACE INTO plain VALUES (1, 'x')",
    "UPDATE plain SET name = 'y'",
    'DELETE FROM plain',
    "INSERT INTO parted (name) VALUES ('x')",
    "UPDATE parted PARTITION (low) SET name = 'x'",
    'INSERT INTO parts VALUES (2, 1)',
    "UPDATE parts, plain SET plain.name = 'x', parts.parted = 2",
    'DELETE parts, plain FROM parts JOIN plain USING (id)',
  ];
  for (const mode of ['', 'STRICT_ALL_TABLES']) {
    await foreign.query('SET sql_mode = ?', [mode]);
    for (const statement of statements)
      await expect(foreign.query(statement), statement).rejects.toMatchObject(refused);
  }
  expect(await query('SELECT id, name FROM plain')).toEqual([{ id: '1', name: 'a' }]);
  // Nothing to refuse: no row is touched.
  await foreign.query("UPDATE plain SET name = 'y' WHERE id = 5");
});

test('only a door of this store and of the epoch or later is let through', async () => {
  await store.guard.change(authority, sealed, 2_000);
  const insert = async (
    mark: string | null,
    owner = 'changeover_guard_source',
  ): Promise<unknown> => {
    // What each transaction of ours begins with.
    await foreign.query(
      'SET @changeover_mark = ?, @changeover_owner = ?, @changeover_admitted = NULL',
      [mark, owner],
    );
    return foreign.query("INSERT INTO plain (name) VALUES ('x')");
  };
  for (const mark of [
    null,
    '',
    'door:1',
    'app:2',
    'app:99',
    'door:',
    'door:2x',
    'xdoor:2',
    'DOOR:2',
  ])
    await expect(insert(mark), String(mark)).rejects.toMatchObject(refused);
  await expect(insert('door:2', 'changeover_other_source')).rejects.toMatchObject(refused);
  await insert('door:2');
  await insert('door:3');
  const follower: GuardState = { role: 'follower', epoch: 3, attempt: null };
  expect(await store.guard.change(sealed, follower, 2_000)).toBe(true);
  await expect(insert('door:2')).rejects.toMatchObject(refused);
  await insert('door:3');
});

test('a transaction of any isolation that began before the change and wrote nothing is refused', async () => {
  await foreign.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
  await foreign.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
  expect(await store.guard.change(authority, sealed, 2_000)).toBe(true);
  await expect(foreign.query("INSERT INTO plain (name) VALUES ('x')")).rejects.toMatchObject(
    refused,
  );
  await foreign.query('ROLLBACK');
});

test('the change waits for a foreign transaction that has written, and says so when it cannot', async () => {
  await foreign.query('BEGIN');
  await foreign.query("INSERT INTO parted (name) VALUES ('open')");
  await expect(store.guard.change(authority, sealed, 400)).rejects.toThrow(
    /STORE_CONFLICT.*still open/,
  );
  expect(await store.guard.read()).toEqual(authority);
  const changing = store.guard.change(authority, sealed, 10_000);
  await systemRuntime.clock.sleep(500);
  await foreign.query("INSERT INTO plain (name) VALUES ('still open')");
  await foreign.query('COMMIT');
  expect(await changing).toBe(true);
  expect(await query('SELECT name FROM plain')).toEqual([{ name: 'still open' }]);
});

test('a refused writer whose transaction stays open does not keep the guard from changing', async () => {
  await store.guard.change(authority, sealed, 2_000);
  await foreign.query('BEGIN');
  await expect(foreign.query("INSERT INTO plain (name) VALUES ('x')")).rejects.toMatchObject(
    refused,
  );
  const follower: GuardState = { role: 'follower', epoch: 3, attempt: null };
  expect(await store.guard.change(sealed, follower, 2_000)).toBe(true);
  await foreign.query('ROLLBACK');
});

test('becoming the authority again lets everybody in, and leaves no trigger', async () => {
  await store.guard.change(authority, sealed, 2_000);
  await store.setup.install('authority', 1);
  await expect(foreign.query("INSERT INTO plain (name) VALUES ('x')")).rejects.toThrow();
  expect(await store.guard.change(sealed, authority, 2_000)).toBe(true);
  expect(await triggers()).toBe(0);
  await foreign.query("INSERT INTO plain (name) VALUES ('x')");
  await foreign.query('TRUNCATE parted');
});

test('what a crash between triggers and row has left is put right by the same change', async () => {
  await store.guard.change(authority, sealed, 2_000);
  // As it is after a crash on the way to sealed: shut, and the row as before.
  await query(
    `UPDATE changeover_guard_source.guard SET role = 'authority', epoch = 1, attempt = NULL`,
  );
  await expect(foreign.query("INSERT INTO plain (name) VALUES ('x')")).rejects.toThrow();
  const marked: GuardState = { ...authority, attempt: 'b' };
  expect(await store.guard.change(authority, marked, 2_000)).toBe(true);
  expect(await triggers()).toBe(0);
  // And on the way back: the row is there, a trigger too.
  expect(await store.guard.change(marked, sealed, 2_000)).toBe(true);
  await query(
    `UPDATE changeover_guard_source.guard SET role = 'authority', epoch = 3, attempt = NULL`,
  );
  const back: GuardState = { role: 'authority', epoch: 3, attempt: null };
  expect(await store.guard.change(sealed, back, 2_000)).toBe(true);
  expect(await triggers()).toBe(0);
  await foreign.query("INSERT INTO plain (name) VALUES ('x')");
});

test('numbers are raised past the other side and past the rows, and never lowered', async () => {
  await foreign.query("INSERT INTO plain (id, name) VALUES (500, 'copied')");
  await foreign.query('ALTER TABLE parted AUTO_INCREMENT = 71');
  expect(await store.guard.sequenceValues()).toEqual(
    new Map([
      ['plain.id', 500n],
      ['parted.id', 70n],
    ]),
  );
  await store.guard.raiseSequences(
    new Map([
      ['parted.id', 60n],
      ['other.id', 9n],
    ]),
  );
  const next = async (table: string): Promise<unknown> => {
    await foreign.query(`INSERT INTO ${table} (name) VALUES ('n')`);
    const [rows] = await foreign.query({ sql: 'SELECT LAST_INSERT_ID()', rowsAsArray: true });
    return (rows as unknown[][])[0]?.[0];
  };
  expect(await next('plain')).toBe(501);
  expect(await next('parted')).toBe(71);
  await store.guard.raiseSequences(new Map([['parted.id', 9_007_199_254_740_993n]]));
  await foreign.query("INSERT INTO parted (name) VALUES ('n')");
  expect(await query('SELECT MAX(id) AS id FROM parted')).toEqual([{ id: '9007199254740994' }]);
});
