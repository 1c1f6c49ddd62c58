import { expect, test } from 'vitest';
import {
  collectionOptions,
  type DefinedMigration,
  defineMigration,
  gateProfileOf,
  type MigrationConfig,
  optionsReference,
  optionTable,
  resolveShape,
  routerOptionsOf,
} from '../../../src/config/index.ts';
import { isChangeoverError } from '../../../src/errors/index.ts';
import { routerDefaults } from '../../../src/router/index.ts';
import type { StoreConnector, TableDescription } from '../../../src/store/index.ts';
import { workerDefaults } from '../../../src/worker/index.ts';

const store: StoreConnector = {
  engine: 'none',
  display: 'none:',
  connect: () => Promise.reject(new Error('not here')),
};
const minimal: MigrationConfig = {
  name: 'shop',
  source: store,
  target: store,
  collections: { customers: {} },
};

/** The message of the refusal of a configuration with these fields. */
function refusal(change: Readonly<Record<string, unknown>>): string {
  try {
    defineMigration({ ...minimal, ...change } as MigrationConfig);
  } catch (error) {
    if (isChangeoverError(error, 'CONFIG_INVALID')) return error.message;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

const inCollection = (change: Readonly<Record<string, unknown>>): string =>
  refusal({ collections: { customers: change } });

test('what is left out has its default, and everything is frozen', () => {
  const defined: DefinedMigration = defineMigration(minimal);
  const customers = defined.collections.get('customers');
  expect(customers).toMatchObject({
    source: { table: 'customers' },
    target: { table: 'customers' },
    identity: true,
    capture: 'app',
    write: 'serial',
    failureMode: 'fail-open',
    latencyBudgetMs: 50,
    shadowReadSample: 1,
    transformVersion: 1,
  });
  expect(defined.options.backfill.chunkTargetMs).toBe(500);
  expect(defined.control).toBeNull();
  expect(Object.isFrozen(defined)).toBe(true);
  expect(Object.isFrozen(customers)).toBe(true);
  expect(Object.isFrozen(defined.options.switch)).toBe(true);
});

test('defaults are those of the engines', () => {
  const { options } = defineMigration(minimal);
  const { label: _, shadow, ...router } = routerOptionsOf(options, 'x');
  expect(routerDefaults).toMatchObject(router);
  expect(routerDefaults.shadow).toMatchObject({ ...shadow });
  expect(workerDefaults.applier).toMatchObject({ batch: options.worker.batch });
  expect(gateProfileOf(options).name).toBe('default');
});

test.each([
  [{ colections: {} }, '"colections" is not known. Did you mean "collections"?'],
  [{ backfill: { chunkRow: 5 } }, '"backfill.chunkRow" is not known. Did you mean "chunkRows"?'],
  [{ switch: { hold: 5 } }, '"switch.hold" is not known.'],
  [{ customGates: { readswitch: [] } }, 'Did you mean "read-switch"?'],
  [{ traffic: { hold: () => {} } }, '"traffic" has to be pgbouncer({ … })'],
  [{ traffic: [{ hold: () => {}, release: () => {} }, null] }, '"traffic" has to be'],
  [{ trafic: [] }, 'Did you mean "traffic"?'],
  [{ name: 'Shop' }, '"name" has to begin with a letter'],
  [{ name: 'a'.repeat(31) }, 'at most 30'],
  [{ name: undefined }, '"name" is missing'],
  [{ source: 'postgres://x' }, '"source" has to be a store, for example postgres({ url })'],
  [{ control: {} }, '"control" has to be a control store'],
  [{ collections: {} }, 'at least one collection'],
  [{ backfill: { chunkRows: 0 } }, '"backfill.chunkRows" has to be at least 1 (rows)'],
  [{ backfill: { chunkRows: 1.5 } }, 'whole number'],
  [{ backfill: { chunkRows: '7' } }, '"backfill.chunkRows" has to be a number (rows, 1 … 1000000)'],
  [{ gates: { parity: 1 } }, '"gates.parity" may be at most 0.999999999'],
  [{ gates: { profile: 'prod' } }, 'has to be one of default, demo'],
  [{ switch: { ackTimeoutMs: 6000 } }, '"switch.ackTimeoutMs" may not be above "switch.holdMs"'],
  [{ switch: { holdMs: 9000 } }, '"writes.holdMs" may not be below "switch.holdMs"'],
])('a configuration with %j is refused', (change, message) => {
  expect(refusal(change)).toContain(message);
});

test.each([
  [{ fordward: (x: unknown) => x }, 'Did you mean "forward"?'],
  [{ source: { tabel: 'x' } }, 'Did you mean "table"?'],
  [{ source: { table: 'x', children: { a: { table: 'b', perent: ['x'] } } } }, '"parent"'],
  [{ source: { table: 'x', key: [] } }, '"collections.customers.source.key" may not be empty'],
  [{ source: { table: 'x', key: ['a', 'a'] } }, 'names a column twice'],
  [{ forward: 'x' }, '"collections.customers.forward" has to be a function'],
  [{ forward: (x: unknown) => x }, 'no "backward"'],
  [{ backward: (x: unknown) => x }, 'no "forward"'],
  [{ capture: 'logs' }, 'has to be one of app, outbox, log'],
  [{ capture: 'outbox', failureMode: 'fail-closed' }, 'cannot be fail-closed'],
  [{ write: 'deferred', failureMode: 'fail-closed' }, 'cannot be fail-closed and deferred'],
  [{ ignore: { name: { reason: 'x', until: 'soon' } } }, 'ISO date'],
  [
    { ignore: { name: { until: '2026-01-31' } } },
    '"collections.customers.ignore.name.reason" is missing',
  ],
])('a collection with %j is refused', (change, message) => {
  expect(inCollection(change)).toContain(message);
});

test('a bare and a qualified name that the log could not tell apart are refused', () => {
  const capture = 'log';
  const logged = { capture, source: { table: 'a', children: { lines: { table: 'line' } } } };
  const other = { capture, source: 'public.line', target: 'b' };
  const message = 'The source has the tables "public.line" and "line", both captured from the log';
  expect(refusal({ collections: { one: logged, two: other } })).toContain(message);
  const outbox = { ...other, capture: 'outbox' };
  expect(() =>
    defineMigration({ ...minimal, collections: { one: logged, two: outbox } } as MigrationConfig),
  ).not.toThrow();
});

test('every wrong value is named at once', () => {
  const message = refusal({ name: 7, worker: { pollMs: -1 }, extra: 1 });
  expect(message).toContain('"name" has to be a text');
  expect(message).toContain('"worker.pollMs" has to be at least 1');
  expect(message).toContain('"extra" is not known');
});

test('a demo profile is named, and a changed one says so', () => {
  const profile = (gates: MigrationConfig['gates']) =>
    gateProfileOf(defineMigration({ ...minimal, ...(gates && { gates }) }).options);
  expect(profile({ profile: 'demo' })).toMatchObject({ name: 'demo profile', parity: 0.99 });
  expect(profile({ profile: 'demo', parity: 0.5 })).toMatchObject({
    name: 'demo profile, adjusted',
    parity: 0.5,
  });
  expect(profile({ parity: 0.9 })).toMatchObject({ name: 'default, adjusted' });
});

test('the reference lists every option with unit, range and effect', async () => {
  const text = optionsReference();
  // `npx vitest run test/unit/config -u` writes it anew.
  await expect(text).toMatchFileSnapshot('../../../docs/reference/options.md');
  for (const [group, entries] of Object.entries({
    ...optionTable,
    'collections.<name>': collectionOptions,
  })) {
    for (const [name, entry] of Object.entries(entries)) {
      expect(text).toContain(`\`${group}.${name}\``);
      expect(entry.effect.length).toBeGreaterThan(20);
    }
  }
});

const table = (name: string, change: Partial<TableDescription> = {}): TableDescription => ({
  schema: 'public',
  name,
  visible: true,
  columns: ['id', 'name', 'customer_id'],
  primaryKey: ['id'],
  foreignKeys: [],
  estimatedRows: 1,
  ...change,
});
const toCustomers = {
  columns: ['customer_id'],
  schema: 'public',
  table: 'customers',
  references: ['id'],
};
const place = { collection: 'customers', side: 'source' } as const;

test('keys come from primary keys, parents from the one foreign key', () => {
  const tables = [table('customers'), table('orders', { foreignKeys: [toCustomers] })];
  const draft = { table: 'customers', children: { orders: { table: 'orders' } } };
  expect(resolveShape(draft, tables, place)).toEqual({
    table: 'customers',
    key: ['id'],
    children: { orders: { table: 'orders', key: ['id'], parent: ['customer_id'] } },
  });
});

test('composite parents follow the order of the root key, not of the foreign key', () => {
  const tables = [
    table('customers', { columns: ['tenant', 'no'], primaryKey: ['tenant', 'no'] }),
    table('orders', {
      columns: ['id', 'c_no', 'c_tenant'],
      foreignKeys: [
        {
          schema: 'public',
          table: 'customers',
          columns: ['c_no', 'c_tenant'],
          references: ['no', 'tenant'],
        },
      ],
    }),
  ];
  const draft = { table: 'customers', children: { orders: { table: 'orders' } } };
  expect(resolveShape(draft, tables, place).children?.['orders']?.parent).toEqual([
    'c_tenant',
    'c_no',
  ]);
});

test('what the catalog cannot answer is asked for', () => {
  const orders = table('orders', {
    foreignKeys: [toCustomers, { ...toCustomers, columns: ['name'] }],
  });
  const tables = [table('customers'), orders, table('logs', { primaryKey: null })];
  const refused = (draft: Parameters<typeof resolveShape>[0]): unknown => {
    try {
      return resolveShape(draft, tables, place);
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refused({ table: 'custmers' })).toContain('Did you mean "customers"?');
  expect(refused({ table: 'logs' })).toContain('state "key"');
  expect(refused({ table: 'customers', key: ['nam'] })).toContain('Did you mean "name"?');
  expect(refused({ table: 'customers', children: { o: { table: 'orders' } } })).toContain(
    'state "parent"',
  );
});

test('a traffic hook may stand alone or in a list, and is what was given', () => {
  const hook = { hold: async () => {}, release: async () => {} };
  expect(defineMigration(minimal).traffic).toEqual([]);
  expect(defineMigration({ ...minimal, traffic: hook }).traffic).toEqual([hook]);
  expect(defineMigration({ ...minimal, traffic: [hook, hook] }).traffic[1]).toBe(hook);
});
