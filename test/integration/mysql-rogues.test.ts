import { createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1, { scope: 'test' });
const stores = mysqlStoresOn(() => databases.url(0));
const shapes = {
  orders: {
    table: 'orders',
    key: ['id'],
    children: { rows: { table: 'rows_of', key: ['id'], parent: ['order_id'] } },
  },
};
const context = { epoch: 1, timeoutMs: 10_000 };
const query = (sql: string) => databases.query(0, sql);
let store: MigrationStore;

beforeEach(async () => {
  await query('CREATE TABLE orders (id int PRIMARY KEY, note varchar(50)) ENGINE = InnoDB');
  await query(
    'CREATE TABLE rows_of (id int PRIMARY KEY, order_id int, amount int, FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE) ENGINE = InnoDB',
  );
  await query("INSERT INTO orders VALUES (1, 'one'), (2, 'two')");
  await query('INSERT INTO rows_of VALUES (10, 1, 5)');
  store = await stores.open(shapes, { side: 'target' });
  await store.setup.install('follower', 1);
  expect((await look()).blind).toContain('orders');
  await store.rogues?.begin?.();
});
afterEach(async () => {
  await store.setup.uninstall();
  await stores.closeAll();
});

async function stranger(...statements: readonly string[]): Promise<void> {
  const client = await createConnection({ uri: databases.url(0) });
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
const look = async () => {
  const seen = await store.rogues?.look(100);
  if (!seen) throw new Error('not watched');
  return seen;
};

describe('a session that is not the door', () => {
  test.each([
    ['INSERT', "INSERT INTO orders VALUES (9, 'secret')"],
    ['UPDATE', "UPDATE orders SET note = 'secret' WHERE id = 1"],
    ['DELETE', 'DELETE FROM orders WHERE id = 2'],
  ])('is noted by table, kind, user and connection: %s', async (operation, statement) => {
    expect(await look()).toEqual({ blind: null, total: 0, writes: [] });
    await stranger(statement);
    const { total, writes } = await look();
    expect(total).toBe(1);
    expect(writes[0]).toMatchObject({
      operation,
      table: expect.stringMatching(/\.orders$/),
      user: expect.stringContaining('@'),
      process: expect.stringMatching(/^\d+$/),
    });
    expect(writes[0]?.agoMs).toBeLessThan(20_000);
    const notes = await query('SELECT * FROM changeover_shop_target.rogue');
    expect(JSON.stringify(notes)).not.toContain('secret');
  });

  test('not when it is rolled back; once a minute, however many rows', async () => {
    await stranger('START TRANSACTION', "UPDATE orders SET note = 'a'", 'ROLLBACK');
    expect((await look()).total).toBe(0);
    await stranger("UPDATE orders SET note = 'b'", "UPDATE orders SET note = 'c'");
    const { total, writes } = await look();
    expect(writes.length).toBeLessThanOrEqual(2);
    expect(writes.length).toBeGreaterThan(0);
    // Every row counts: each may commit behind a comparison.
    expect(total).toBeGreaterThan(writes.length);
  });

  test('does not wait for others whose notes are not committed', async () => {
    const first = await createConnection({ uri: databases.url(0) });
    await first.query('START TRANSACTION');
    await first.query("UPDATE orders SET note = 'first' WHERE id = 1");
    await stranger(
      'SET innodb_lock_wait_timeout = 1',
      "UPDATE orders SET note = 'second' WHERE id = 2",
    );
    await first.query('COMMIT');
    await first.end();
    expect((await look()).total).toBe(2);
  });

  test('is forgotten with its note; a note that has grown since stays', async () => {
    await stranger("UPDATE orders SET note = 'd' WHERE id = 1");
    const { writes } = await look();
    await query('UPDATE changeover_shop_target.rogue SET amount = amount + 1');
    expect(await store.rogues?.forget(writes)).toBe(0);
    expect(await store.rogues?.forget((await look()).writes)).toBe(1);
    expect(await look()).toMatchObject({ total: 0 });
  });
});

test('the door is not noted: changes, deletes, chunks, the emptying of a table', async () => {
  const value = { id: '1', note: 'door', rows: [{ id: '10', order_id: '1', amount: '1' }] };
  const change = { collection: 'orders', key: ['1'], value, origin: 'live' } as const;
  const version = (sequence: bigint) => ({ epoch: 1, sequence });
  await store.door.apply([{ ...change, version: version(5n) }], context);
  const open = await store.door.open(change, context);
  await open.commit(version(7n));
  await store.door.apply([{ ...change, value: null, version: version(8n) }], context);
  const range = { after: null, until: null };
  const ticket = await store.door.beginChunk('orders', 1, range, 'test');
  const record = { id: '3', note: 'chunk', rows: [] };
  await store.door.writeChunk(ticket, [{ key: ['3'], record }], context);
  await store.setup.truncate('orders');
  expect(await look()).toEqual({ blind: null, total: 0, writes: [] });
});

test('nobody is noted any more once that has ended, and nothing is left behind', async () => {
  await stranger("UPDATE orders SET note = 'e'");
  await store.rogues?.end?.();
  await stranger("UPDATE orders SET note = 'f'");
  expect(await look()).toMatchObject({ total: 0, blind: expect.stringContaining('orders') });
  await store.rogues?.begin?.();
  await store.rogues?.begin?.();
  expect((await look()).blind).toBeNull();
  await store.setup.uninstall();
  const left = await query(
    "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_NAME LIKE 'changeover%'",
  );
  expect(left).toEqual([]);
  expect((await look()).blind).toMatch(/installed/);
});

test('where the guard refuses foreign writes there is nothing to note', async () => {
  const row = await store.guard.read();
  await store.guard.change(row, { ...row, role: 'authority', epoch: 2 }, 5_000);
  await store.rogues?.end?.();
  const authority = await store.guard.read();
  await store.guard.change(authority, { ...authority, role: 'sealed' }, 5_000);
  const sealed = await store.guard.read();
  await store.guard.change(sealed, { ...sealed, role: 'follower', epoch: 3 }, 5_000);
  await expect(stranger("UPDATE orders SET note = 'x'")).rejects.toThrow();
  expect(await look()).toEqual({ blind: null, total: 0, writes: [] });
});
