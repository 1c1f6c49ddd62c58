import { postgres } from '../../src/adapters/postgres/index.ts';
import type { Collection, Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import {
  type EngineFixture,
  type EngineFixtureOptions,
  engineFixture,
  itemsCollection,
} from './engine-fixture.ts';

/** A wide `customers` table that becomes `customers` with child rows in `contact_points`. */
export const customersDdl = {
  source: `CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email text, phone text,
    balance text NOT NULL, changed timestamp NOT NULL)`,
  target: `CREATE TABLE customers (id bigint PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL,
      balance numeric(12,2) NOT NULL CHECK (balance >= 0), changed timestamptz NOT NULL);
    CREATE TABLE contact_points (customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE, kind text NOT NULL,
      value text NOT NULL, PRIMARY KEY (customer_id, kind))`,
} as const;

/** `count` customers with ids 1 … count. */
export function customersSeed(count: number): string {
  return `INSERT INTO customers SELECT i, 'First' || i || ' Łast 😀' || i, CASE WHEN i % 3 > 0 THEN 'c' || i || '@example.org' END,
    CASE WHEN i % 5 > 0 THEN '+49 30 ' || i END, (i % 1000) || '.5', timestamp '2020-01-01 12:00:00.000001' + i * interval '1 second'
    FROM generate_series(1, ${count}) AS i`;
}

/** Name split, money and time made exact types, contact points made rows. */
export const customers: Collection = itemsCollection({
  name: 'customers',
  source: { table: 'customers', key: ['id'] },
  target: {
    table: 'customers',
    key: ['id'],
    children: {
      contacts: {
        table: 'contact_points',
        key: ['customer_id', 'kind'],
        parent: ['customer_id'],
      },
    },
  },
  identity: false,
  forward(record) {
    const { id = null, email, phone } = record;
    const name = String(record['name']);
    if (name === 'unsplittable') throw new Error('the name has one part');
    const contacts: { customer_id: string; kind: string; value: string }[] = [];
    if (typeof email === 'string')
      contacts.push({ customer_id: String(id), kind: 'email', value: email });
    if (typeof phone === 'string')
      contacts.push({ customer_id: String(id), kind: 'phone', value: phone });
    return {
      id,
      first_name: name.split(' ')[0] ?? '',
      last_name: name.split(' ').slice(1).join(' '),
      balance: record['balance'] ?? null,
      changed: `${String(record['changed'])}+00`,
      contacts,
    };
  },
  backward: (record) => record,
});

/** The fixture over two PostgreSQL databases whose tables exist. */
export async function postgresFixture(
  urls: Readonly<Record<Side, string>>,
  collection: Collection,
  options: EngineFixtureOptions = {},
): Promise<EngineFixture> {
  const connect = (side: Side): Promise<MigrationStore> =>
    postgres({ url: urls[side] }).connect({
      migration: 'fixture',
      side,
      shapes: new Map([[collection.name, collection[side]]]),
      runtime: systemRuntime,
    });
  const stores = { source: await connect('source'), target: await connect('target') };
  return engineFixture(stores, collection, options);
}
