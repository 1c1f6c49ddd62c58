import { afterEach, expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import type { Change, DataRecord } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { LogDoor, MigrationStore } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';

/** Foreign keys of the follower itself, while a log comes in. */
const databases = withDatabases(1, { scope: 'test' });
const query = (sql: string) => databases.query(0, sql);

let store: MigrationStore | null = null;
afterEach(async () => {
  await store?.close();
  store = null;
});

const names = ['regions', 'customers', 'orders'];
const stream = 'changeover_acts_s_1';

async function follower(ddl: string): Promise<LogDoor> {
  await query(ddl);
  store = await postgres({ url: databases.url(0) }).connect({
    migration: 'acts',
    side: 'target',
    shapes: new Map<string, Shape>(names.map((name) => [name, { table: name, key: ['id'] }])),
    logged: new Set(names),
    runtime: systemRuntime,
  });
  await store.setup.install('follower', 1);
  const { log } = store.door;
  if (!log) throw new Error('the store has no door.log');
  await log.begin(stream, { identity: 'one', position: { sequence: 0n, text: '0' } });
  return log;
}

const change = (collection: string, id: number, value: DataRecord | null): Change => ({
  collection,
  key: [String(id)],
  version: { epoch: 1, sequence: 1n },
  value: value === null ? null : { id: String(id), ...value },
  origin: 'log',
});
const at = (sequence: number) => ({
  identity: 'one',
  position: { sequence: BigInt(sequence), text: String(sequence) },
  skip: 0,
});
/** What is left of the log of `UPDATE regions SET id = 9 WHERE id = 1` with ON UPDATE CASCADE. */
const moved = [
  change('regions', 1, null),
  change('regions', 9, { name: 'north' }),
  change('customers', 10, { region: '9' }),
];
const tables = (unique: string, action: string): string => `
  CREATE TABLE regions (id int PRIMARY KEY, name text ${unique});
  CREATE TABLE customers (id int PRIMARY KEY, region int REFERENCES regions ${action});
  CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE);
  INSERT INTO regions VALUES (1, 'north'); INSERT INTO customers VALUES (10, 1); INSERT INTO orders VALUES (100, 10)`;
const rows = () =>
  query(
    'SELECT r.id AS region, c.id AS customer, o.id AS "order" FROM orders o JOIN customers c ON c.id = o.customer JOIN regions r ON r.id = c.region',
  );
const apply = (log: LogDoor) =>
  log.apply({ stream, from: at(0), to: at(1), changes: moved }, { epoch: 1, timeoutMs: 10_000 });

test.each(['ON DELETE CASCADE', 'ON DELETE SET NULL', '', 'ON DELETE RESTRICT', 'DEFERRABLE'])(
  'a changed key takes nothing with it that hangs on it: %s',
  async (action) => {
    const log = await follower(tables('', action));
    expect(await apply(log)).toEqual({ applied: 3, stale: 0, durable: true });
    expect(await rows()).toEqual([{ region: 9, customer: 10, order: 100 }]);
  },
);

test.each(['ON DELETE SET NULL', 'DEFERRABLE'])(
  'also where a unique value has to move with the key: %s',
  async (action) => {
    const log = await follower(tables('UNIQUE', action));
    expect(await apply(log)).toEqual({ applied: 3, stale: 0, durable: true });
    expect(await rows()).toEqual([{ region: 9, customer: 10, order: 100 }]);
  },
);

test('check warns of a cascade that a changed key could set off, where a unique value stands against the other order', async () => {
  await follower(tables('UNIQUE', 'ON DELETE CASCADE'));
  const found = await (store as MigrationStore).setup.inspect('follower');
  const told = found.filter(({ id }) => id === 'postgres/cascade');
  expect(told).toMatchObject([{ verdict: 'warn', fix: expect.stringContaining('DEFERRABLE') }]);
  expect(told[0]?.message).toMatch(/"customers".*"regions"/);
});

test('a unique value that moves, and a key that may not be left, cannot be had at once without DEFERRABLE: refused, nothing is changed', async () => {
  const log = await follower(tables('UNIQUE', ''));
  await expect(apply(log)).rejects.toThrow(/STORE_REJECTED/);
  expect(await rows()).toEqual([{ region: 1, customer: 10, order: 100 }]);
});
