import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encodeKey } from '../../src/record/index.ts';
import type { AuthorityWrite, MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1, { scope: 'test' });
const stores = mysqlStoresOn(() => databases.url(0));

const shapes = {
  orders: {
    table: 'orders',
    key: ['shop', 'placed'],
    children: { lines: { table: 'order lines', key: ['id'], parent: ['shop', 'placed'] } },
  },
};
const at = '2024-10-27 00:30:00.500000';
const key = (shop: string): string => encodeKey([shop, at]);

let store: MigrationStore;
let foreign: Connection;

const query = (sql: string): Promise<Record<string, string | null>[]> => databases.query(0, sql);

/** Encoded keys in the queue, in the order of their numbers; the queue is empty afterwards. */
async function captured(): Promise<readonly (string | null | undefined)[]> {
  const entries = await query('SELECT key_text FROM changeover_shop_source.queue ORDER BY id');
  await query('DELETE FROM changeover_shop_source.queue');
  return entries.map((entry) => entry['key_text']);
}

const write = (more: Partial<AuthorityWrite>): Promise<unknown> =>
  store.records.write({
    collection: 'orders',
    key: ['a', at],
    action: 'put',
    record: {},
    epoch: 1,
    journal: 'change',
    graceMs: 0,
    timeoutMs: 5_000,
    ...more,
  });

beforeEach(async () => {
  await query(
    'CREATE TABLE orders (shop varchar(40) CHARACTER SET latin1, placed timestamp(6), total decimal(8,2), PRIMARY KEY (shop, placed))',
  );
  await query(
    'CREATE TABLE `order lines` (id int PRIMARY KEY, shop varchar(40), placed timestamp(6) NULL, sku text, KEY (shop, placed))',
  );
  store = await stores.open(shapes);
  await store.setup.install('authority', 1);
  await store.setup.installCapture('orders');
  await store.setup.installCapture('orders');
  foreign = await createConnection(databases.url(0));
  await foreign.query(`SET time_zone = '+00:00'`);
});

afterEach(async () => {
  await foreign.end();
  await stores.closeAll();
  await query('DROP DATABASE IF EXISTS changeover_shop_source');
});

test('every change by a foreign writer is captured, whatever its session settings', async () => {
  const mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH';
  await foreign.query(`SET time_zone = '+05:45', sql_mode = '${mode}'`);
  await foreign.query('SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci');
  const local = '2024-10-27 06:15:00.5';
  // Prepared: the client's own escaping does not know NO_BACKSLASH_ESCAPES.
  await foreign.execute('INSERT INTO orders VALUES (?, ?, 1), (?, ?, 2)', [
    'ä"',
    local,
    'b',
    local,
  ]);
  expect(await captured()).toEqual([key('ä"'), key('b')]);
  await foreign.query(`UPDATE orders SET total = 3 WHERE shop = 'b'`);
  expect(await captured()).toEqual([key('b')]);
  await foreign.query(`UPDATE orders SET shop = 'B' WHERE shop = 'b'`);
  expect(await captured()).toEqual([key('B'), key('b')]);
  await foreign.query(`INSERT INTO "order lines" VALUES (1, ?, ?, ?)`, ['B', local, 'x']);
  expect(await captured()).toEqual([key('B')]);
  await foreign.query(`UPDATE "order lines" SET shop = 'ä"'`);
  expect(await captured()).toEqual([key('ä"'), key('B')]);
  await foreign.query('DELETE FROM "order lines"');
  expect(await captured()).toEqual([key('ä"')]);
  await foreign.query(`INSERT INTO "order lines" VALUES (2, NULL, NULL, 'nobody')`);
  expect(await captured()).toEqual([]);
  await foreign.query('DELETE FROM orders');
  expect(new Set(await captured())).toEqual(new Set([key('ä"'), key('B')]));
});

test('the caller keeps its own last number, and a rolled back change leaves nothing in the queue', async () => {
  await query('CREATE TABLE counted (id int AUTO_INCREMENT PRIMARY KEY, name text)');
  const other = await stores.open(
    { counted: { table: 'counted', key: ['id'] } },
    { migration: 'counted' },
  );
  await other.setup.install('authority', 1);
  await other.setup.installCapture('counted');
  await foreign.query('BEGIN');
  await foreign.query("INSERT INTO counted (name) VALUES ('a')");
  const [rows] = await foreign.query({ sql: 'SELECT LAST_INSERT_ID()', rowsAsArray: true });
  expect(rows).toEqual([[1]]);
  await foreign.query('ROLLBACK');
  expect(await other.queue.claim(10, 'w', 1_000)).toEqual([]);
  await other.setup.uninstall();
});

test('keys of every kind are captured as they are read', async () => {
  const types: Readonly<Record<string, readonly [type: string, literal: string]>> = {
    big: ['bigint unsigned', '18446744073709551615'],
    filled: ['int(6) zerofill', '42'],
    money: ['decimal(20,6)', '-1.5'],
    bits: ['bit(10)', "b'101'"],
    raw: ['varbinary(20)', "X'00ff5c22'"],
    padded: ['binary(4)', "X'01'"],
    text: ['varchar(50)', String.raw`'q"\\u001f \n\t ${'\u001f\u0001'} /é😀'`],
    fixed: ['char(10)', "'ab  '"],
    label: ["enum('a','b\"')", "'b\"'"],
    several: ["set('x','y','z')", "'x,z'"],
    year: ['year', '2024'],
    day: ['date', "'2024-02-29'"],
    span: ['time(3)', "'-101:02:03.5'"],
    moment: ['datetime(2)', "'2024-01-01 10:00:00.5'"],
    instant: ['timestamp', "'2024-01-01 10:00:00'"],
    folding: ['varchar(50) COLLATE utf8mb4_general_ci', "'Ada'"],
    id: ['uuid', "'A0000000-0000-4000-8000-00000000000F'"],
  };
  const all = Object.fromEntries(
    Object.keys(types).map((name) => [name, { table: `t_${name}`, key: ['k'] }]),
  );
  for (const [name, [type]] of Object.entries(types))
    await query(`CREATE TABLE t_${name} (k ${type} NOT NULL PRIMARY KEY, v int) CHARSET utf8mb4`);
  const other = await stores.open(all, { migration: 'kinds' });
  await other.setup.install('authority', 1);
  for (const name of Object.keys(types)) await other.setup.installCapture(name);
  for (const [name, [, literal]] of Object.entries(types))
    await foreign.query(`INSERT INTO t_${name} (k, v) VALUES (${literal}, 1)`);
  const entries = await other.queue.claim(100, 'w', 60_000);
  const found = new Map(entries.map((entry) => [entry.collection, entry.key]));
  for (const name of Object.keys(types)) {
    const [row] = await other.records.scan(name, { after: null, until: null }, 2);
    expect([name, found.get(name)]).toEqual([name, row?.key]);
  }
  await other.setup.uninstall();
});

test('a child is captured under the key of its root, however it spells it; once in an own write', async () => {
  const folding = 'varchar(20) COLLATE utf8mb4_general_ci';
  await query(`CREATE TABLE prices (id ${folding} PRIMARY KEY, v int)`);
  await query(`CREATE TABLE tags (id int PRIMARY KEY, price ${folding})`);
  await query(`INSERT INTO prices VALUES ('abc', 1), ('def', 1)`);
  await query(`INSERT INTO tags VALUES (1, 'Abc')`);
  const children = { tags: { table: 'tags', key: ['id'], parent: ['price'] } };
  const other = await stores.open({ prices: { table: 'prices', key: ['id'], children } });
  await other.setup.installCapture('prices');
  const spelled = (...ids: string[]): readonly string[] => ids.map((id) => encodeKey([id]));
  const [told] = await foreign.query(`INSERT INTO tags VALUES (2, 'ABC'), (3, 'XYZ')`);
  expect(told).toMatchObject({ affectedRows: 2, warningStatus: 0 });
  expect(await captured()).toEqual(spelled('abc', 'XYZ'));
  await foreign.query(`UPDATE tags SET price = 'DEF' WHERE id = 2`);
  expect(await captured()).toEqual(spelled('def', 'abc'));
  await other.records.write({
    ...{ collection: 'prices', key: ['abc'], record: { v: '2', tags: [{ id: '4' }] } },
    ...{ action: 'put', epoch: 1, journal: 'change', graceMs: 0, timeoutMs: 5_000 },
  });
  expect(await captured()).toEqual(spelled('abc'));
});

test('an instant in the hour that an autumn has twice keeps its place', async () => {
  await foreign.query(`SET time_zone = '+02:00'`);
  await foreign.query(`INSERT INTO orders VALUES ('a', '2024-10-27 02:30:00', 1)`);
  await foreign.query(`SET time_zone = '+01:00'`);
  await foreign.query(`INSERT INTO orders VALUES ('a', '2024-10-27 02:30:00', 2)`);
  expect(await captured()).toEqual([
    encodeKey(['a', '2024-10-27 00:30:00.000000']),
    encodeKey(['a', '2024-10-27 01:30:00.000000']),
  ]);
});

test('an application needs no rights on our database', async () => {
  const user = await databases.server.createUser('app', [
    `GRANT INSERT ON \`${databases.name(0)}\`.orders`,
  ]);
  const client = await createConnection(databases.server.url(databases.name(0), user));
  try {
    await client.query(`INSERT INTO orders VALUES ('a', '2024-01-01', 1)`);
    await expect(client.query('SELECT * FROM changeover_shop_source.queue')).rejects.toThrow(
      /denied/,
    );
  } finally {
    await client.end();
    await databases.server.query('DROP USER app');
  }
  expect(await captured()).toHaveLength(1);
});

test('own writes with a journal row are not captured again, those without are', async () => {
  await write({ record: { total: '1', lines: [{ id: '1', sku: 'x' }] } });
  expect(await captured()).toEqual([key('a')]);
  await query(`UPDATE changeover_shop_source.guard SET role = 'idle'`);
  await write({ key: ['b', at], record: { total: '1' }, journal: 'none' });
  expect(await captured()).toEqual([key('b')]);
});

test("what other triggers do in the transaction of an own write is captured, the door's work is not", async () => {
  await query(
    `CREATE TRIGGER follow AFTER UPDATE ON orders FOR EACH ROW INSERT INTO \`order lines\` VALUES (9, 'other', '2024-01-01', 'x')`,
  );
  await write({ record: { total: '1' } });
  await captured();
  await write({ record: { total: '2' } });
  expect(new Set(await captured())).toEqual(
    new Set([key('a'), encodeKey(['other', '2024-01-01 00:00:00.000000'])]),
  );
  await query(`UPDATE changeover_shop_source.guard SET role = 'follower'`);
  const version = { epoch: 1, sequence: 10n ** 17n };
  const change = { collection: 'orders', version, origin: 'live' } as const;
  await store.door.apply(
    [{ ...change, key: ['c', at], value: { shop: 'c', placed: at, total: '1' } }],
    { epoch: 1, timeoutMs: 5_000 },
  );
  expect(await captured()).toEqual([]);
});

test('what another migration writes here is news to this one', async () => {
  const other = await stores.open(shapes, { migration: 'other' });
  await other.setup.install('authority', 1);
  await other.records.write({
    ...{ collection: 'orders', key: ['a', at], action: 'put', record: { total: '1' } },
    ...{ epoch: 1, journal: 'change', graceMs: 0, timeoutMs: 5_000 },
  });
  expect(await captured()).toEqual([key('a')]);
  await other.setup.uninstall();
});

test('a write to a child waits for the writer of its root, and its number is drawn after that', async () => {
  await foreign.query('INSERT INTO orders VALUES (?, ?, 1)', ['a', at]);
  await foreign.query('INSERT INTO `order lines` VALUES (1, ?, ?, ?)', ['a', at, 'x']);
  await captured();
  const child = await createConnection(databases.url(0));
  try {
    await foreign.query('BEGIN');
    await foreign.query('UPDATE orders SET total = 2');
    const waiting = child.query("UPDATE `order lines` SET sku = 'y'");
    await new Promise((resolve) => setTimeout(resolve, 150));
    const other = encodeKey(['z', '2024-01-01 00:00:00.000000']);
    await foreign.query(`INSERT INTO orders VALUES ('z', '2024-01-01', 3)`);
    await foreign.query('COMMIT');
    await waiting;
    expect(await captured()).toEqual([key('a'), other, key('a')]);
  } finally {
    await child.end();
  }
});

test('two children of one root may be written at the same time', async () => {
  await query('DROP TABLE `order lines`');
  await store.setup.uninstall();
  await query(
    'CREATE TABLE `order lines` (id int PRIMARY KEY, shop varchar(40) CHARACTER SET latin1, placed timestamp(6) NULL, sku text, FOREIGN KEY (shop, placed) REFERENCES orders (shop, placed))',
  );
  await store.setup.install('authority', 1);
  await store.setup.installCapture('orders');
  await foreign.query('INSERT INTO orders VALUES (?, ?, 1)', ['a', at]);
  const second = await createConnection(databases.url(0));
  try {
    await second.query(`SET time_zone = '+00:00'`);
    await foreign.query('BEGIN');
    await second.query('BEGIN');
    await foreign.query('INSERT INTO `order lines` VALUES (1, ?, ?, ?)', ['a', at, 'x']);
    await second.query('INSERT INTO `order lines` VALUES (2, ?, ?, ?)', ['a', at, 'y']);
    await second.query('COMMIT');
    await foreign.query('COMMIT');
  } finally {
    await second.end();
  }
  expect(await captured()).toEqual([key('a'), key('a'), key('a')]);
});

test('removed capture captures nothing more, and removal is idempotent', async () => {
  await store.setup.removeCapture('orders');
  await store.setup.removeCapture('orders');
  await foreign.query('INSERT INTO orders VALUES (?, ?, 1)', ['a', at]);
  expect(await captured()).toEqual([]);
});

test('uninstall leaves nothing of ours behind and may be called twice', async () => {
  await store.guard.change(
    { role: 'authority', epoch: 1, attempt: null },
    { role: 'sealed', epoch: 1, attempt: 'a' },
    5_000,
  );
  const before = await store.setup.objects();
  expect(new Set(before.map(({ kind }) => kind))).toEqual(
    new Set(['schema', 'table', 'function', 'trigger']),
  );
  expect(before.filter(({ kind }) => kind === 'trigger')).toHaveLength(12);
  await store.setup.uninstall();
  await store.setup.uninstall();
  expect(await store.setup.objects()).toEqual([]);
  await foreign.query('INSERT INTO orders VALUES (?, ?, 1)', ['a', at]);
  expect(
    await query(
      `SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()`,
    ),
  ).toEqual([]);
});

test('versions never begin again below those of an earlier installation', async () => {
  const first = (await write({ record: { total: '1' } })) as { version: { sequence: bigint } };
  await store.setup.uninstall();
  await store.setup.install('authority', 1);
  const second = (await write({ record: { total: '2' } })) as { version: { sequence: bigint } };
  expect(second.version.sequence > first.version.sequence).toBe(true);
});

test('an authority is never emptied; a follower is, also where other tables refer to it', async () => {
  await foreign.query('INSERT INTO orders VALUES (?, ?, 1)', ['a', at]);
  await expect(store.setup.truncate('orders')).rejects.toThrow(/AUTHORITY_FENCED/);
  await query(`UPDATE changeover_shop_source.guard SET role = 'follower'`);
  await query(
    'CREATE TABLE other (id int PRIMARY KEY, shop varchar(40) CHARACTER SET latin1, placed timestamp(6) NULL, FOREIGN KEY (shop, placed) REFERENCES orders (shop, placed) ON DELETE SET NULL)',
  );
  await foreign.query('INSERT INTO other VALUES (1, ?, ?)', ['a', at]);
  await store.setup.truncate('orders');
  expect(await store.setup.countUpTo('orders', 10)).toBe(0);
  expect(await query('SELECT shop FROM other')).toEqual([{ shop: null }]);
  await query('DROP TABLE other');
});
