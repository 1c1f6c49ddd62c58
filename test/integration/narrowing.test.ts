import { afterEach, describe, expect, test } from 'vitest';
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { runBackfill } from '../../src/backfill/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import type { ColumnType } from '../../src/mapping/index.ts';
import { initialState, type MigrationState } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import {
  digestEncoding,
  type KeyRange,
  type RecordDigests,
  type StoreConnector,
} from '../../src/store/index.ts';
import { openNarrowing } from '../../src/verify/narrowing.ts';
import type { PageReaders } from '../../src/verify/pages.ts';
import { verifyScope } from '../../src/verify/verify-scope.ts';
import { withDatabases } from '../support/databases.ts';
import { typePairs } from '../support/golden-values.ts';
import { aWrite } from '../support/postgres-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const never = new AbortController().signal;
const everything: KeyRange = { after: null, until: null };
const state: MigrationState = { ...initialState('narrow'), phase: 'backfill' };
const opened: OpenedMigration[] = [];
/** Behind the databases: hooks at the end run in reverse order. */
const closes = (): void =>
  afterEach(async () => {
    for (const one of opened.splice(0)) {
      await Promise.all([one.stores.source.setup.uninstall(), one.stores.target.setup.uninstall()]);
      await one.close();
    }
  });

/** Source and target with the rows of the source in both. */
async function copied(
  source: StoreConnector,
  target: StoreConnector,
  table: string,
  key: readonly string[] = ['id'],
): Promise<OpenedMigration> {
  const shape = { table, key };
  const migration = await openMigration(
    defineMigration({
      name: 'narrow',
      source,
      target,
      control: memoryControl(),
      collections: { [table]: { source: shape, target: shape } },
    }),
  );
  opened.push(migration);
  const { stores } = migration;
  await stores.source.setup.install('authority', 1);
  await stores.target.setup.install('follower', 1);
  const { outcome } = await runBackfill(migration, table, { currentState: () => state }, never);
  expect(outcome).toBe('finished');
  return migration;
}

async function named(
  migration: OpenedMigration,
  table: string,
  readers?: Pick<PageReaders, 'authority' | 'follower'>,
) {
  const scope = verifyScope(migration, table, { currentState: () => state }, never);
  const { source, target } = migration.stores;
  const narrowing = await openNarrowing(
    scope,
    {
      collection: table,
      ...(readers ?? { authority: source.records, follower: target.records }),
      ask: (work) => work(),
    },
    { leafRows: 100, segments: { firstRows: 500, hashedRows: 1_000 } },
  );
  const keys: string[] = [];
  let compared = 0;
  for await (const step of narrowing.walk(everything)) {
    compared += step.compared;
    keys.push(...step.differing.map(({ pair, difference }) => `${difference.kind} ${pair.key}`));
  }
  return { keys: keys.sort(), compared, way: narrowing.way, why: narrowing.why };
}

describe('between two PostgreSQL servers', () => {
  const databases = withDatabases(2, { scope: 'test' });
  closes();
  const table = `CREATE TABLE items (id bigint PRIMARY KEY, name text, code char(6), amount numeric(12,2),
    score float8, seen timestamptz, doc jsonb, tags text[], raw bytea, flag boolean)`;
  const fill = `INSERT INTO items SELECT i * 3, CASE WHEN i % 7 > 0 THEN 'name|' || i END, 'c' || i % 9, i * 1.25,
    CASE i % 5 WHEN 0 THEN 'NaN'::float8 WHEN 1 THEN '-0'::float8 ELSE i / 7.0 END, '2024-01-01Z'::timestamptz + i * interval '1 s',
    jsonb_build_object('n', i), ARRAY['a', 'b,' || i], int4send(i), i % 2 = 0 FROM generate_series(1, 6000) i`;
  const changes = `DELETE FROM items WHERE id IN (3, 9000, 18000);
    INSERT INTO items (id, name) VALUES (1, 'x'), (-5, 'x'), (9001, 'x'), (50000, 'x');
    UPDATE items SET score = 0 WHERE id = 18 AND score = 0; UPDATE items SET name = '' WHERE id = 21;
    UPDATE items SET seen = seen + interval '1 us' WHERE id = 12000; UPDATE items SET tags = '{a}' WHERE id = 12003;`;
  const wrong = [
    'different 12000',
    'different 12003',
    'different 18',
    'different 21',
    'extra -5',
    'extra 1',
    'extra 50000',
    'extra 9001',
    'missing 18000',
    'missing 3',
    'missing 9000',
  ];
  const both = async () => {
    await databases.query(0, `${table}; ${fill}`);
    await databases.query(1, table);
    const [source, target] = [0, 1].map((at) => postgres({ url: databases.url(at) }));
    return copied(source as StoreConnector, target as StoreConnector, 'items');
  };

  test('exactly the rows that were changed, taken or added are named', async () => {
    const migration = await both();
    expect(await named(migration, 'items')).toMatchObject({
      keys: [],
      compared: 6_000,
      way: 'digest',
    });
    await databases.query(1, changes);
    const { keys, way, why } = await named(migration, 'items');
    expect({ keys, way }).toEqual({ keys: wrong, way: 'digest' });
    expect(why).toContain('sum64');
  });

  test('a snapshot digests what it sees', async () => {
    const migration = await both();
    const options = { collections: ['items'], placed: false, openMs: 5_000, ageMs: 60_000 };
    const { source, target } = migration.stores;
    const authority = await source.snapshots?.open(options);
    const follower = await target.snapshots?.open(options);
    if (!authority || !follower) throw new Error('there are no snapshots');
    await databases.query(1, changes);
    const seen = await named(migration, 'items', { authority, follower });
    await Promise.all([authority.close(), follower.close()]);
    expect(seen).toMatchObject({ keys: [], compared: 6_000, way: 'digest' });
    expect((await named(migration, 'items')).keys).toEqual(wrong);
  });
});

describe.skipIf(missingMariadb())('between MariaDB and PostgreSQL', () => {
  const servers = withMariadb(1, { scope: 'test' });
  const databases = withDatabases(1, { scope: 'test' });
  closes();
  const stores = () =>
    [mariadb({ url: servers.url(0) }), postgres({ url: databases.url(0) })] as const;

  test('equal values of the two have equal digests, whatever their types', async () => {
    const of = (side: 'mysql' | 'postgres'): string =>
      `CREATE TABLE kinds (id int PRIMARY KEY, ${typePairs.map((pair, at) => `c${at} ${pair[side]}`).join(', ')})`;
    await servers.query(0, `${of('mysql')} CHARACTER SET utf8mb4`);
    await databases.query(0, of('postgres'));
    const shapes = new Map([['kinds', { table: 'kinds', key: ['id'] }]]);
    const open = await Promise.all(
      stores().map((one) =>
        one.connect({ migration: 'kinds', side: 'source', shapes, runtime: systemRuntime }),
      ),
    );
    try {
      for (const [side, store] of open.entries()) {
        await store.setup.install('authority', 1);
        for (let row = 0; row < 4; row += 1) {
          const values = typePairs.map(({ values: all }, at) => {
            const value = all[row] ?? null;
            return [`c${at}`, typeof value === 'string' || value === null ? value : value[side]];
          });
          await store.records.write(
            aWrite('kinds', [String(row)], Object.fromEntries(values as [string, string][])),
          );
        }
      }
      const digests = open.map(({ records }) => records.digests as RecordDigests);
      const facts = await Promise.all(digests.map((one) => one.facts('kinds')));
      const without: string[] = [];
      for (const [at, pair] of typePairs.entries()) {
        const name = `c${at}`;
        const [a, b] = facts.map(({ columns, spelling }) => ({
          type: columns.get(name) as ColumnType,
          spelling,
        }));
        const encoding = a && b ? digestEncoding(a, b) : null;
        if (encoding === null) {
          without.push(`${pair.mysql}, ${pair.postgres}`);
          continue;
        }
        const plan = { function: 'sha256', columns: [{ name, encoding }] } as const;
        const [one, other] = await Promise.all(
          digests.map((side) => side.rows('kinds', plan, everything, 10)),
        );
        expect(one, `${pair.mysql}, ${pair.postgres}`).toEqual(other);
        const whole = await Promise.all(
          digests.map((side) => side.ranges('kinds', plan, [everything])),
        );
        expect(whole[0]?.[0]).toEqual(whole[1]?.[0]);
      }
      expect(without).toEqual([
        'float, real',
        'double, double precision',
        "set('a','b c','ü'), text[]",
        'point, bytea',
      ]);
    } finally {
      for (const store of open) {
        await store.setup.uninstall();
        await store.close();
      }
    }
  });

  test('exactly the rows that were changed, taken or added are named', async () => {
    await servers.query(
      0,
      `CREATE TABLE items (year smallint NOT NULL, name varchar(30) COLLATE utf8mb4_bin NOT NULL, code char(6), title varchar(30) CHARACTER SET latin1,
       amount decimal(12,2), at datetime(6), seen timestamp(3) NULL, bits bit(5), kind enum('a','b'), doc json, raw varbinary(9), tiny tinyint(1),
       PRIMARY KEY (year, name)) CHARACTER SET utf8mb4`,
    );
    await servers.query(
      0,
      `INSERT INTO items SELECT 1900 + seq % 30, CONCAT('n', seq, IF(seq % 11, '', '|é')), IF(seq % 3, CONCAT('c', seq % 5), ''), IF(seq % 4, 'für €', NULL),
       seq / 8, '2024-01-01' + INTERVAL seq * 1001 MICROSECOND, IF(seq % 6, '2024-06-01' + INTERVAL seq SECOND, NULL), seq % 32, IF(seq % 2, 'a', 'b'),
       CONCAT('{"n":  ', seq, '}'), UNHEX(LPAD(HEX(seq), 8, '0')), seq % 2 FROM seq_1_to_4000`,
    );
    await databases.query(
      0,
      `CREATE TABLE items (year integer NOT NULL, name varchar(30) NOT NULL, code char(6), title text, amount numeric(12,2), at timestamp, seen timestamptz,
       bits bit(5), kind text, doc json, raw bytea, tiny boolean, PRIMARY KEY (year, name))`,
    );
    const migration = await copied(...stores(), 'items', ['year', 'name']);
    expect(await named(migration, 'items')).toMatchObject({
      keys: [],
      compared: 4_000,
      way: 'digest',
    });
    await databases.query(
      0,
      `DELETE FROM items WHERE (year, name) IN ((1900, 'n30'), (1910, 'n1000'));
       INSERT INTO items (year, name) VALUES (1899, 'x'), (1900, ''), (1930, 'x');
       UPDATE items SET title = 'f' || title WHERE (year, name) = (1901, 'n1');
       UPDATE items SET amount = NULL WHERE (year, name) = (1925, 'n2005');
       UPDATE items SET at = at + interval '1 us' WHERE (year, name) = (1907, 'n7');
       UPDATE items SET tiny = NOT tiny WHERE (year, name) = (1908, 'n8')`,
    );
    expect(await named(migration, 'items')).toMatchObject({
      way: 'digest',
      keys: [
        'different 1901,n1',
        'different 1907,n7',
        'different 1908,n8',
        'different 1925,n2005',
        'extra 1899,x',
        'extra 1900,',
        'extra 1930,x',
        'missing 1900,n30',
        'missing 1910,n1000',
      ],
    });
  });

  test('a column that only one of them can write is compared record by record, and named in the reason', async () => {
    await servers.query(0, 'CREATE TABLE items (id int PRIMARY KEY, share double)');
    await servers.query(0, 'INSERT INTO items SELECT seq, seq / 7 FROM seq_1_to_300');
    await databases.query(0, 'CREATE TABLE items (id int PRIMARY KEY, share double precision)');
    const migration = await copied(...stores(), 'items');
    await databases.query(0, 'UPDATE items SET share = share + 1 WHERE id = 77');
    const { keys, way, why } = await named(migration, 'items');
    expect({ keys, way }).toEqual({ keys: ['different 77'], way: 'stream' });
    expect(why).toContain('column "share" (double beside double precision)');
  });
});
