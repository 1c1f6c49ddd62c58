import { afterEach, beforeEach, expect, test } from 'vitest';
import { recordChange } from '../../src/adapters/postgres/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { withClient, withDatabases } from '../support/databases.ts';
import { aWrite, storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1, { scope: 'test' });
const stores = storesOn(() => databases.url(0));
afterEach(() => stores.closeAll());

const shapes = {
  orders: {
    table: 'orders',
    key: ['shop', 'placed'],
    children: { lines: { table: 'lines', key: ['id'], parent: ['shop', 'placed'] } },
  },
};
let store: MigrationStore;

beforeEach(async () => {
  await databases.query(
    0,
    `CREATE TABLE orders (shop text, placed timestamptz, total numeric, PRIMARY KEY (shop, placed));
     CREATE TABLE lines (id int PRIMARY KEY, shop text, placed timestamptz, sku text,
       FOREIGN KEY (shop, placed) REFERENCES orders ON UPDATE CASCADE ON DELETE CASCADE);
     CREATE ROLE app_${process.pid} LOGIN`.replace(/CREATE ROLE.*/, ''),
  );
  store = await stores.open(shapes);
  await store.setup.install('authority', 1);
  await store.setup.installCapture('orders');
  await store.setup.installCapture('orders');
});

const at = '2024-01-01 10:00:00.5+00';
const key = (shop: string): string => JSON.stringify([shop, at]);

/** Encoded keys in the queue, in the order of their numbers; the queue is empty afterwards. */
async function captured(): Promise<readonly string[]> {
  const entries = await databases.query<{ id: string; key: string }>(
    0,
    'DELETE FROM changeover_shop_source.queue RETURNING id, key',
  );
  return entries.sort((a, b) => Number(a.id) - Number(b.id)).map((entry) => entry.key);
}

test('every change by a foreign writer is captured, whatever its session settings', async () => {
  await withClient(databases.url(0), async (client) => {
    await client.query(
      `SET DateStyle = 'German'; SET TimeZone = 'Asia/Kathmandu'; SET search_path = pg_temp`,
    );
    await client.query(`INSERT INTO public.orders VALUES ('a"\\', '${at}', 1), ('b', '${at}', 2)`);
    expect(await captured()).toEqual([key('a"\\'), key('b')]);
    await client.query(`UPDATE public.orders SET total = 3 WHERE shop = 'b'`);
    expect(await captured()).toEqual([key('b')]);
    await client.query(`UPDATE public.orders SET shop = 'c' WHERE shop = 'b'`);
    expect(await captured()).toEqual([key('c'), key('b')]);
    await client.query(`INSERT INTO public.lines VALUES (1, 'c', '${at}', 'x')`);
    expect(await captured()).toEqual([key('c')]);
    await client.query(`UPDATE public.lines SET shop = $1`, ['a"\\']);
    expect(await captured()).toEqual([key('c'), key('a"\\')]);
    await client.query(`DELETE FROM public.lines`);
    expect(await captured()).toEqual([key('a"\\')]);
    await client.query(`INSERT INTO public.lines VALUES (2, 'c', '${at}', 'x')`);
    await captured();
    await client.query(`DELETE FROM public.orders WHERE shop = 'c'`);
    expect(new Set(await captured())).toEqual(new Set([key('c')]));
    await client.query(`TRUNCATE public.orders CASCADE`);
    expect(await captured()).toEqual([key('a"\\')]);
  });
});

test('a rolled back change leaves nothing in the queue', async () => {
  await withClient(databases.url(0), async (client) => {
    await client.query('BEGIN');
    await client.query(`INSERT INTO orders VALUES ('a', '${at}', 1)`);
    await client.query('ROLLBACK');
  });
  expect(await captured()).toEqual([]);
});

test('an application role needs no rights on our schema', async () => {
  const role = `app_${process.pid}_${Date.now()}`;
  await databases.query(0, `CREATE ROLE ${role}; GRANT INSERT ON orders TO ${role}`);
  try {
    await withClient(databases.url(0), async (client) => {
      await client.query(`SET ROLE ${role}`);
      await client.query(`INSERT INTO orders VALUES ('a', '${at}', 1)`);
      await expect(client.query('SELECT * FROM changeover_shop_source.queue')).rejects.toThrow(
        /denied/,
      );
    });
    expect(await captured()).toEqual([key('a')]);
  } finally {
    await databases.query(0, `DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('own writes with a journal row are not captured again, those without are', async () => {
  await store.records.write(
    aWrite('orders', ['a', at], { total: '1', lines: [{ id: '1', sku: 'x' }] }),
  );
  expect(await captured()).toEqual([key('a')]);
  await databases.query(0, `UPDATE changeover_shop_source.guard SET role = 'idle'`);
  await store.records.write(aWrite('orders', ['b', at], { total: '1' }, { journal: 'none' }));
  expect(await captured()).toEqual([key('b')]);
});

test('what foreign keys delete in the transaction of an own write is captured', async () => {
  await databases.query(
    0,
    `CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff ON DELETE CASCADE);
     CREATE TABLE desks (id int PRIMARY KEY, owner int REFERENCES staff ON DELETE CASCADE);
     INSERT INTO staff VALUES (1, NULL), (2, 1); INSERT INTO desks VALUES (7, 2)`,
  );
  const offices = await stores.open({
    staff: { table: 'staff', key: ['id'] },
    desks: { table: 'desks', key: ['id'] },
  });
  await offices.setup.installCapture('staff');
  await offices.setup.installCapture('desks');
  const { journalId } = await offices.records.write(
    aWrite('staff', ['01'], {}, { action: 'delete' }),
  );
  const entries = await databases.query<{ id: string; entry: string }>(
    0,
    `SELECT id, collection || key AS entry FROM changeover_shop_source.queue ORDER BY entry`,
  );
  // The named record once, by its own journal row.
  expect(entries.map(({ entry }) => entry)).toEqual(['desks["7"]', 'staff["1"]', 'staff["2"]']);
  expect(entries[1]?.id).toBe(String(journalId));
});

test('a write to a child waits for the writer of its root, and its number is drawn after that', async () => {
  await databases.query(0, `INSERT INTO orders VALUES ('a', '${at}', 1)`);
  await databases.query(0, `INSERT INTO lines VALUES (1, 'a', '${at}', 'x')`);
  await captured();
  await withClient(databases.url(0), (root) =>
    withClient(databases.url(0), async (child) => {
      await root.query('BEGIN');
      await root.query(`UPDATE orders SET total = 2`);
      const waiting = child.query(`UPDATE lines SET sku = 'y'`);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await root.query(`UPDATE orders SET total = 3`);
      await root.query('COMMIT');
      await waiting;
    }),
  );
  const order = await databases.query<{ xmin: string }>(
    0,
    'SELECT xmin::text FROM changeover_shop_source.queue ORDER BY id',
  );
  expect(order).toHaveLength(3);
  expect(order[0]?.xmin).toBe(order[1]?.xmin);
  expect(order[2]?.xmin).not.toBe(order[0]?.xmin);
});

test('removed capture captures nothing more, and removal is idempotent', async () => {
  await store.setup.removeCapture('orders');
  await store.setup.removeCapture('orders');
  await databases.query(0, `INSERT INTO orders VALUES ('a', '${at}', 1)`);
  expect(await captured()).toEqual([]);
});

const changed = {
  migration: 'shop',
  side: 'source',
  collection: 'orders',
  key: ['a', '2024-01-01T10:00:00.5Z'],
} as const;

test('recordChange commits and rolls back with the transaction of its caller', async () => {
  await store.setup.removeCapture('orders');
  await withClient(databases.url(0), async (client) => {
    await client.query('BEGIN');
    const recorded = await recordChange(client, changed);
    expect(recorded?.journalId).toBe(recorded?.sequence);
    await client.query('ROLLBACK');
    expect(await captured()).toEqual([]);
    await client.query('BEGIN');
    await recordChange(client, changed);
    await client.query(`INSERT INTO orders VALUES ('a', '${at}', 1)`);
    expect(await store.records.reread('orders', [['a', at]], 1)).toMatchObject([{ state: 'busy' }]);
    await client.query('COMMIT');
    expect(await captured()).toEqual([key('a')]);
    expect(await store.records.reread('orders', [['a', at]], 1)).toMatchObject([{ state: 'read' }]);
  });
});

test('recordChange does nothing where nothing is installed or started, and is fenced on a follower', async () => {
  await withClient(databases.url(0), async (client) => {
    expect(await recordChange(client, { ...changed, migration: 'other' })).toBeNull();
    await expect(recordChange(client, { ...changed, collection: 'nope' })).rejects.toThrow(
      /STORE_REJECTED.*nope/,
    );
    await client.query(`UPDATE changeover_shop_source.guard SET role = 'idle'`);
    expect(await recordChange(client, changed)).toBeNull();
    await client.query(`UPDATE changeover_shop_source.guard SET role = 'follower'`);
    await expect(recordChange(client, changed)).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
  });
});

test('uninstall leaves nothing of ours behind and may be called twice', async () => {
  const before = await store.setup.objects();
  expect(new Set(before.map(({ kind }) => kind))).toEqual(
    new Set(['schema', 'table', 'sequence', 'function', 'trigger']),
  );
  await store.setup.uninstall();
  await store.setup.uninstall();
  expect(await store.setup.objects()).toEqual([]);
  await databases.query(0, `INSERT INTO orders VALUES ('a', '${at}', 1)`);
  expect(await databases.query(0, `SELECT tgname FROM pg_trigger WHERE NOT tgisinternal`)).toEqual(
    [],
  );
});

test('versions never begin again below those of an earlier installation', async () => {
  const first = await store.records.write(aWrite('orders', ['a', at], { total: '1' }));
  await store.setup.uninstall();
  await store.setup.install('authority', 1);
  const second = await store.records.write(aWrite('orders', ['a', at], { total: '2' }));
  expect(second.version!.sequence > first.version!.sequence).toBe(true);
});

test('an authority is never emptied; a follower is, also where other tables refer to it', async () => {
  await databases.query(0, `INSERT INTO orders VALUES ('a', '${at}', 1)`);
  await expect(store.setup.truncate('orders')).rejects.toThrow(/AUTHORITY_FENCED/);
  await databases.query(0, `UPDATE changeover_shop_source.guard SET role = 'follower'`);
  await databases.query(
    0,
    `CREATE TABLE other (shop text, placed timestamptz, FOREIGN KEY (shop, placed) REFERENCES orders ON DELETE SET NULL)`,
  );
  await store.setup.truncate('orders');
  expect(await store.setup.countUpTo('orders', 10)).toBe(0);
});

test('children of numeric keys and rows of partitions are captured under the key as the root spells it', async () => {
  await databases.query(
    0,
    `CREATE TABLE prices (id numeric(8,2) PRIMARY KEY, v int) PARTITION BY RANGE (id);
     CREATE TABLE prices_low PARTITION OF prices FOR VALUES FROM (0) TO (100);
     CREATE TABLE prices_high PARTITION OF prices FOR VALUES FROM (100) TO (1000);
     CREATE TABLE tags (id int PRIMARY KEY, price numeric)`,
  );
  const other = await stores.open(
    {
      prices: {
        table: 'prices',
        key: ['id'],
        children: { tags: { table: 'tags', key: ['id'], parent: ['price'] } },
      },
    },
    { migration: 'prices' },
  );
  await other.setup.install('authority', 1);
  await other.setup.installCapture('prices');
  await databases.query(0, 'INSERT INTO prices_low VALUES (5, 1)');
  await databases.query(0, 'INSERT INTO tags VALUES (1, 5), (2, 7)');
  await databases.query(0, 'UPDATE prices SET id = 500 WHERE id = 5');
  const claimed = await other.queue.claim(10, 'w', 1_000);
  expect(new Set(claimed.map((entry) => entry.key[0]))).toEqual(
    new Set(['5.00', '7.00', '500.00']),
  );
  expect(await other.records.reread('prices', [['7'], ['500']], 1)).toMatchObject([
    { key: ['7.00'], record: null },
    { key: ['500.00'], record: { v: '1', tags: [] } },
  ]);
  const gone = await other.records.write(aWrite('prices', ['7'], {}, { action: 'delete' }));
  expect(gone.key).toEqual(['7.00']);
});

test('what another migration writes here is news to this one', async () => {
  const other = await stores.open(shapes, { migration: 'other' });
  await other.setup.install('authority', 1);
  await other.records.write(aWrite('orders', ['a', at], { total: '1' }));
  expect(await captured()).toEqual([key('a')]);
});

test('a child is captured under the key of its root, however it spells it; once in an own write', async () => {
  await databases.query(
    0,
    `CREATE TABLE prices (id numeric PRIMARY KEY, v int);
     CREATE TABLE tags (id int PRIMARY KEY, price numeric);
     INSERT INTO prices VALUES (1.0, 1), (2.0, 1); INSERT INTO tags VALUES (1, 1.00)`,
  );
  const children = { tags: { table: 'tags', key: ['id'], parent: ['price'] } };
  const other = await stores.open({ prices: { table: 'prices', key: ['id'], children } });
  await other.setup.installCapture('prices');
  const spelled = (...ids: string[]): readonly string[] => ids.map((id) => JSON.stringify([id]));
  const change = (sql: string) => databases.query(0, sql);
  await change('INSERT INTO tags VALUES (2, 1.000), (3, 7.00)');
  expect(await captured()).toEqual(spelled('1.0', '7.00'));
  await change('UPDATE tags SET price = 2.00 WHERE id = 2');
  expect(await captured()).toEqual(spelled('1.0', '2.0'));
  await other.records.write(aWrite('prices', ['1.0'], { v: '2', tags: [{ id: '4' }] }));
  expect(await captured()).toEqual(spelled('1.0'));
  await change('TRUNCATE tags');
  expect(new Set(await captured())).toEqual(new Set(spelled('1.0', '2.0', '7.00')));
});
