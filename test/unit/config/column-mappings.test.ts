import { describe, expect, test } from 'vitest';
import { memoryControl } from '../../../src/adapters/memory/index.ts';
import {
  type CollectionConfig,
  defineMigration,
  type OpenedMigration,
  openMigration,
  unreachableStore,
} from '../../../src/config/index.ts';
import type { ColumnType } from '../../../src/mapping/index.ts';
import { collectionOf, toFollower } from '../../../src/migration/index.ts';
import type { StoreConnector, TableDescription } from '../../../src/store/index.ts';

type Types = Readonly<Record<string, ColumnType>>;

const type = (kind: ColumnType['kind'], parts: Partial<ColumnType> = {}): ColumnType => ({
  kind,
  declared: kind,
  nullable: true,
  ...parts,
});

const table = (
  name: string,
  types: Types,
  more: Partial<TableDescription> = {},
): TableDescription => ({
  schema: 'shop',
  name,
  visible: true,
  columns: Object.keys(types),
  types,
  primaryKey: ['id'],
  foreignKeys: [],
  estimatedRows: 0,
  ...more,
});

interface Looks {
  count: number;
  down: boolean;
}

function connector(
  engine: string,
  tables: readonly TableDescription[],
  looks: Looks = { count: 0, down: false },
): StoreConnector {
  return {
    engine,
    display: `${engine}:`,
    connect: async ({ side }) => unreachableStore(side, engine, new Error('not for this test')),
    describeTables: async () => {
      looks.count += 1;
      if (looks.down) throw new Error('down');
      return tables;
    },
  };
}

const big = type('integer', { bits: 64, nullable: false });
const mysqlTables = [
  table('people', {
    id: big,
    active: type('integer', { bits: 8 }),
    born: type('date'),
    seen: type('date-time', { fraction: 6 }),
  }),
  table(
    'addresses',
    { id: big, person: big, main: type('integer', { bits: 8 }) },
    {
      foreignKeys: [{ columns: ['person'], schema: 'shop', table: 'people', references: ['id'] }],
    },
  ),
];
const postgresTables = [
  table('people', {
    id: big,
    active: type('boolean'),
    born: type('date'),
    seen: type('date-time', { fraction: 6 }),
  }),
  table(
    'addresses',
    { id: big, person: big, main: type('boolean') },
    {
      foreignKeys: [{ columns: ['person'], schema: 'shop', table: 'people', references: ['id'] }],
    },
  ),
];

const shape = { table: 'people', children: { addresses: { table: 'addresses' } } };

const opened = (
  people: CollectionConfig,
  options: { readonly unreachable?: 'tolerate' } = {},
  source = connector('mariadb', mysqlTables),
  target = connector('postgres', postgresTables),
): Promise<OpenedMigration> =>
  openMigration(
    defineMigration({
      name: 'shop',
      source,
      target,
      control: memoryControl(),
      collections: { people },
    }),
    options,
  );

const there = ({ migration }: OpenedMigration, record: Parameters<typeof toFollower>[2]) =>
  toFollower(collectionOf(migration, 'people'), 'target', record);
const back = ({ migration }: OpenedMigration, record: Parameters<typeof toFollower>[2]) =>
  toFollower(collectionOf(migration, 'people'), 'source', record);

const mysqlRecord = {
  id: '1',
  active: '1',
  born: null,
  seen: '2024-01-02 03:04:05.500000',
  addresses: [{ id: '7', person: '1', main: '0' }],
};
const postgresRecord = {
  id: '1',
  active: 't',
  born: null,
  seen: '2024-01-02 03:04:05.5',
  addresses: [{ id: '7', person: '1', main: 'f' }],
};

describe('between stores of different engines', () => {
  test('columns of the same name are converted, there and back, children too', async () => {
    const migration = await opened({ source: shape, target: shape });
    expect(there(migration, mysqlRecord)).toEqual(postgresRecord);
    expect(back(migration, postgresRecord)).toEqual(mysqlRecord);
    expect(collectionOf(migration.migration, 'people').identity).toBe(false);
  });

  test('what a transform returns is brought to the spelling of the other side', async () => {
    const migration = await opened({
      source: shape,
      target: shape,
      forward: ({ active, ...rest }) =>
        active === null ? null : { ...rest, active: active === '1' ? 'true' : '0' },
      backward: ({ active, ...rest }) => ({ ...rest, active: active ?? null }),
    });
    expect(there(migration, mysqlRecord)).toEqual(postgresRecord);
    expect(back(migration, postgresRecord)).toEqual(mysqlRecord);
    expect(there(migration, { ...mysqlRecord, active: null })).toBeNull();
  });

  test('a value that the other side cannot hold is refused with its column and what to do', async () => {
    const migration = await opened({ source: shape, target: shape });
    expect(() => there(migration, { ...mysqlRecord, born: '0000-00-00' })).toThrow(
      /^MAPPING_REFUSED: Column "born": date has no zero dates: set "zeroDate"/,
    );
    expect(() => there(migration, { ...mysqlRecord, addresses: [{ id: '7', main: '5' }] })).toThrow(
      /Column "addresses\.main"/,
    );
  });

  test('options of a column change what becomes of it', async () => {
    const columns = { born: { zeroDate: 'null' }, 'addresses.main': { convert: false } } as const;
    const migration = await opened({ source: shape, target: shape, columns });
    const record = { ...mysqlRecord, born: '0000-00-00' };
    expect(there(migration, record)).toMatchObject({ born: null, addresses: [{ main: '0' }] });
  });

  test('a column without mapping is refused value by value; NULL passes', async () => {
    const strange = [table('people', { id: big, active: type('bytes') })];
    const migration = await opened(
      {},
      {},
      connector('mysql', mysqlTables),
      connector('postgres', strange),
    );
    expect(() => there(migration, { id: '1', active: '1' })).toThrow(/nothing in common/);
    expect(there(migration, { id: '1', active: null })).toEqual({ id: '1', active: null });
    expect(migration.mappings.get('people')?.alone.source).toEqual(['born', 'seen']);
  });

  test('an option of a column that neither side has is refused, with a suggestion', async () => {
    const columns = { bron: { zeroDate: 'null' } } as const;
    await expect(opened({ columns })).rejects.toThrow(
      /"collections\.people\.columns\.bron".*"born"/,
    );
    await expect(opened({ columns }, { unreachable: 'tolerate' })).resolves.toBeDefined();
  });

  test('a store that is down does not keep the way back from opening', async () => {
    const looks = { count: 0, down: true };
    const target = connector('postgres', postgresTables, looks);
    const whole = { table: 'people', key: ['id'] };
    const config = { source: whole, target: whole };
    await expect(opened(config, {}, undefined, target)).rejects.toThrow('down');
    const migration = await opened(config, { unreachable: 'tolerate' }, undefined, target);
    expect(migration.mappings.size).toBe(0);
    expect(collectionOf(migration.migration, 'people').target.key).toEqual(['id']);
    await expect(migration.stores.target.door.fences('people', [])).rejects.toThrow('down');
  });
});

describe('between stores of one engine', () => {
  test('nothing is looked up and nothing is converted', async () => {
    const looks = { count: 0, down: false };
    const store = connector('postgres', postgresTables, looks);
    const whole = { table: 'people', key: ['id'] };
    const migration = await opened({ source: whole, target: whole }, {}, store, store);
    expect(looks.count).toBe(0);
    expect(migration.mappings.size).toBe(0);
    const record = { id: '1', active: 'yes' };
    expect(there(migration, record)).toBe(record);
    expect(collectionOf(migration.migration, 'people').identity).toBe(true);
  });

  test('only columns with options are converted', async () => {
    const texts = [table('people', { id: big, active: type('text'), born: type('date') })];
    const migration = await opened(
      { columns: { active: { truth: { true: 'Y', false: 'N' } } } },
      {},
      connector('postgres', texts),
      connector('postgres', postgresTables),
    );
    const record = { id: '1', active: 'Y', born: '0000-00-00' };
    expect(there(migration, record)).toEqual({ ...record, active: 't' });
    expect(collectionOf(migration.migration, 'people').identity).toBe(false);
  });
});

test('wrong options of columns are refused by name', () => {
  const define = (columns: unknown) => () =>
    defineMigration({
      name: 'shop',
      source: connector('mysql', []),
      target: connector('postgres', []),
      collections: { people: { columns: columns as never } },
    });
  expect(define({ born: { zeroDat: 'null' } })).toThrow(
    /zeroDat" is not known\. Did you mean "zeroDate"/,
  );
  expect(define({ born: { zeroDate: 'nil' } })).toThrow(/refuse, null/);
  expect(define({ born: { offset: 'Berlin' } })).toThrow(/offset, for example/);
  expect(define({ born: { truth: { true: 'Y' } } })).toThrow(/truth\.false" is missing/);
});
