import pg from 'pg';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { MigrationStore } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1);
const stores = storesOn(() => databases.url(0));
afterAll(() => stores.closeAll());

const shapes = {
  orders: {
    table: 'orders',
    key: ['id'],
    children: { lines: { table: 'lines', key: ['id'], parent: ['order_id'] } },
  },
  events: { table: 'events', key: ['id'] },
};
let store: MigrationStore;
const context = { epoch: 1, timeoutMs: 5_000 };
const query = (text: string) => databases.query(0, text);
/** What psql would do: a session that knows nothing of us. */
async function stranger(...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({
    connectionString: databases.url(0),
    application_name: 'psql',
  });
  await client.connect();
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
const noted = async () =>
  (await look()).writes.map(({ table, operation }) => `${operation} ${table}`).sort();

beforeEach(async () => {
  await store?.setup.uninstall();
  await stores.closeAll();
  await query(`
    DROP TABLE IF EXISTS lines, orders, events, parents CASCADE;
    CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE orders (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE, note text);
    CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE, amount int);
    CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
    INSERT INTO parents VALUES (1);
    INSERT INTO orders VALUES (1, 1, 'one'), (2, NULL, 'two');
    INSERT INTO lines VALUES (10, 1, 5);`);
  store = await stores.open(
    { ...shapes, events: { table: 'events', key: ['id', 'at'] } },
    { side: 'target' },
  );
  await store.setup.install('follower', 1);
});

describe('a session that is not the door', () => {
  test('is noted by table, kind, user, name and process, and never by value', async () => {
    expect(await look()).toEqual({ blind: null, total: 0, writes: [] });
    await stranger("UPDATE orders SET note = 'secret' WHERE id = 1");
    const { total, writes } = await look();
    expect(total).toBe(1);
    expect(writes[0]).toMatchObject({
      table: 'public.orders',
      operation: 'UPDATE',
      user: 'postgres',
      application: 'psql',
      process: expect.stringMatching(/^\d+$/),
    });
    expect(writes[0]?.agoMs).toBeLessThan(10_000);
    expect(JSON.stringify(await query('SELECT * FROM changeover_shop_target.rogue'))).not.toContain(
      'secret',
    );
  });

  test.each([
    ['INSERT', "INSERT INTO orders VALUES (9, NULL, 'x')"],
    ['DELETE', 'DELETE FROM lines'],
    ['TRUNCATE', 'TRUNCATE lines'],
  ])('%s', async (operation, statement) => {
    await stranger(statement);
    expect((await look()).writes.map((write) => write.operation)).toEqual([operation]);
  });

  test('through a partition, through a foreign key, and with triggers off for others', async () => {
    await stranger("INSERT INTO events_old VALUES (1, '2010-01-01')");
    expect(await noted()).toEqual(['INSERT public.events_old']);
    await stranger('DELETE FROM parents');
    expect(await noted()).toEqual([
      'DELETE public.lines',
      'DELETE public.orders',
      'INSERT public.events_old',
    ]);
    await stranger(
      'SET session_replication_role = replica',
      "INSERT INTO orders VALUES (7, NULL, 'x')",
    );
    expect(await noted()).toContain('INSERT public.orders');
  });

  test('once a transaction and minute, not with every statement; and not when it is rolled back', async () => {
    await stranger('BEGIN', "UPDATE orders SET note = 'a'", 'ROLLBACK');
    expect((await look()).total).toBe(0);
    const many = Array.from({ length: 50 }, () => "UPDATE orders SET note = 'b'");
    await stranger('BEGIN', ...many, 'COMMIT');
    // Two when the minute has turned meanwhile.
    expect((await look()).total).toBeLessThanOrEqual(2);
    expect((await look()).total).toBeGreaterThan(0);
    // What was rolled back is forgotten by the session as well.
    await store.rogues?.forget((await look()).writes);
    await stranger(
      'BEGIN',
      "UPDATE orders SET note = 'c'",
      'ROLLBACK',
      "UPDATE orders SET note = 'd'",
    );
    expect((await look()).total).toBe(1);
  });

  test('with every transaction, also of one session: each may commit behind a comparison', async () => {
    const client = new pg.Client({ connectionString: databases.url(0) });
    await client.connect();
    try {
      await client.query("UPDATE orders SET note = 'first'");
      expect((await look()).total).toBe(1);
      await client.query('BEGIN');
      await client.query("UPDATE orders SET note = 'second'");
      expect((await look()).total).toBe(1);
      await client.query('COMMIT');
      expect((await look()).total).toBe(2);
    } finally {
      await client.end();
    }
  });

  test('needs no rights of its own on our schema, and works under every isolation', async () => {
    await query(`CREATE ROLE app LOGIN; GRANT UPDATE, SELECT ON orders TO app`);
    try {
      await stranger('SET ROLE app', "UPDATE orders SET note = 'e'");
      await stranger(
        'BEGIN ISOLATION LEVEL SERIALIZABLE',
        "UPDATE orders SET note = 'f'",
        'COMMIT',
      );
      expect((await look()).total).toBe(2);
    } finally {
      await query('DROP OWNED BY app; DROP ROLE app');
    }
  });

  test('is forgotten when its note is taken away', async () => {
    await stranger('DELETE FROM lines');
    const { writes } = await look();
    expect(await store.rogues?.forget(writes)).toBe(1);
    expect(await look()).toMatchObject({ total: 0 });
  });
});

describe('the door', () => {
  test('is not noted: changes, deletes with cascades, chunks, repairs, the emptying of a table', async () => {
    const value = {
      id: '1',
      parent: null,
      note: 'door',
      lines: [{ id: '10', order_id: '1', amount: '1' }],
    };
    const version = (sequence: bigint) => ({ epoch: 1, sequence });
    const change = { collection: 'orders', key: ['1'], value, origin: 'live' } as const;
    await store.door.apply([{ ...change, version: version(5n) }], context);
    await store.door.apply([{ ...change, version: version(6n), origin: 'repair' }], context);
    const open = await store.door.open(change, context);
    await open.commit(version(7n));
    await store.door.apply([{ ...change, value: null, version: version(8n) }], context);
    const range = { after: null, until: null };
    const ticket = await store.door.beginChunk('events', 1, range, 'test');
    const record = { id: '3', at: '2011-01-01' };
    await store.door.writeChunk(ticket, [{ key: ['3', '2011-01-01'], record }], context);
    await store.setup.truncate('orders');
    expect(await look()).toEqual({ blind: null, total: 0, writes: [] });
  });

  test('of another migration is a stranger here', async () => {
    await query(`SELECT set_config('x.y', 'z', false)`);
    await stranger(
      "SET changeover.mark = 'door:1'",
      "SET changeover.owner = 'changeover_other_target'",
      "UPDATE orders SET note = 'other'",
    );
    expect((await look()).total).toBe(1);
  });
});

test('nobody is noted once this store is the authority, nor where nothing is installed', async () => {
  const row = await store.guard.read();
  await store.guard.change(row, { ...row, role: 'authority' }, 2_000);
  await stranger("UPDATE orders SET note = 'now mine'");
  expect((await look()).total).toBe(0);
  await store.setup.uninstall();
  expect(await query("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'changeover%'")).toEqual([]);
  expect((await look()).blind).toMatch(/installed/);
});

test('a trigger that somebody has taken away is missed', async () => {
  await query('ALTER TABLE lines DISABLE TRIGGER ALL');
  expect((await look()).blind).toMatch(/lines/);
});
