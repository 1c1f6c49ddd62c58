import { afterEach, expect, test } from 'vitest';
import { systemRuntime } from '../../src/runtime/index.ts';
import { query, withDatabases } from '../support/databases.ts';
import { storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1, { scope: 'test' });
const url = (): string => databases.url(0);
const context = { epoch: 1, timeoutMs: 20_000 };
const stores = storesOn(url);
afterEach(() => stores.closeAll());

test.each([
  ['is there', ['7']],
  ['comes into being', []],
])(
  'a child row that %s while it moves is not taken back by an older change',
  async (_how, before) => {
    await query(
      url(),
      `CREATE TABLE carts (id int PRIMARY KEY);
     CREATE TABLE lines (id int PRIMARY KEY, cart int REFERENCES carts, sku text);
     CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END$$;
     CREATE TRIGGER linger AFTER INSERT OR UPDATE ON lines FOR EACH ROW WHEN (NEW.cart = 2) EXECUTE FUNCTION linger()`,
    );
    const lines = { table: 'lines', key: ['id'], parent: ['cart'] };
    const store = await stores.open(
      { carts: { table: 'carts', key: ['id'], children: { lines } } },
      { side: 'target' },
    );
    await store.setup.install('follower', 1);
    const send = (id: string, sequence: number, ids: readonly string[]) =>
      store.door.apply(
        [
          {
            collection: 'carts',
            key: [id],
            version: { epoch: 1, sequence: BigInt(sequence) },
            value: { id, lines: ids.map((line) => ({ id: line, sku: 's' })) },
            origin: 'retry',
          },
        ],
        context,
      );
    await send('1', 1, before);
    await send('2', 2, []);
    const moved = send('2', 12, ['7']);
    await systemRuntime.clock.sleep(200);
    // Read before the move, and slower than it.
    await send('1', 10, ['7']);
    await moved;
    await send('1', 11, []);
    expect(await query(url(), 'SELECT id, cart FROM lines')).toEqual([{ id: 7, cart: 2 }]);
  },
);

test('an open change gives way where a child row moves, because it has no version yet', async () => {
  await query(
    url(),
    `CREATE TABLE carts (id int PRIMARY KEY); CREATE TABLE lines (id int PRIMARY KEY, cart int, sku text)`,
  );
  const lines = { table: 'lines', key: ['id'], parent: ['cart'] };
  const store = await stores.open(
    { carts: { table: 'carts', key: ['id'], children: { lines } } },
    { side: 'target' },
  );
  await store.setup.install('follower', 1);
  const cart = (id: string) => ({
    collection: 'carts',
    key: [id],
    value: { id, lines: [{ id: '7', sku: 's' }] },
    origin: 'live' as const,
  });
  await store.door.apply([{ ...cart('2'), version: { epoch: 1, sequence: 12n } }], context);
  await expect(store.door.open(cart('1'), context)).rejects.toMatchObject({
    code: 'STORE_CONFLICT',
  });
  const again = await store.door.open(cart('2'), context);
  expect(await again.commit({ epoch: 1, sequence: 13n })).toBe('applied');
});
