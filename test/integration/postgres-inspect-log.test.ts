import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Shape } from '../../src/migration/index.ts';
import type { Finding } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { type LogRig, logRig, stream } from '../support/postgres-log.ts';
import { useServer } from '../support/private-postgres.ts';

const databases = withDatabases(1, { scope: 'test' });
let rig: LogRig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

const items = { items: { table: 'items', key: ['id'] } };
const orders: Readonly<Record<string, Shape>> = {
  orders: {
    table: 'orders',
    key: ['id'],
    children: { lines: { table: 'lines', key: ['line'], parent: ['order_id'] } },
  },
};

/** What is wrong, without `pass` and what has nothing to do with the log. */
async function problems(
  ddl: string,
  shapes: Readonly<Record<string, Shape>>,
  role: 'authority' | 'follower' = 'authority',
): Promise<readonly Finding[]> {
  rig = await logRig(databases.url(0), ddl, shapes);
  const found = await rig.store.setup.inspect(role);
  return found.filter(
    ({ id, verdict }) => verdict !== 'pass' && !/prepared|key-order|key-spelling|clock/.test(id),
  );
}

const ids = (found: readonly Finding[]): readonly string[] =>
  found.map(({ id, verdict }) => `${verdict} ${id.replace('postgres/', '')}`);

test('a usable table passes, and its cascades are no matter', async () => {
  const found = await problems(
    `CREATE TABLE parents (id int PRIMARY KEY);
     CREATE TABLE items (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE)`,
    items,
  );
  expect(ids(found)).toEqual([]);
});

test('foreign keys of a follower are no matter when parents come first, and told when they do not', async () => {
  const ddl = `CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE items (id int PRIMARY KEY, parent int REFERENCES parents)`;
  const parents = { parents: { table: 'parents', key: ['id'] } };
  expect(ids(await problems(ddl, { ...parents, ...items }, 'follower'))).toEqual([]);
  await rig?.close();
  const found = await problems('', { ...items, ...parents }, 'follower');
  expect(ids(found)).toEqual(['warn foreign-key']);
  await rig?.sql(/ALTER TABLE.*DEFERRED/.exec(found[0]?.fix ?? '')?.[0] ?? '');
  const again = await rig?.store.setup.inspect('follower');
  expect(again?.filter(({ id }) => id === 'postgres/foreign-key')).toEqual([]);
});

describe('an identity that does not tell old rows', () => {
  test.each([
    ['REPLICA IDENTITY NOTHING', 'ALTER TABLE items REPLICA IDENTITY NOTHING'],
    [
      'an index on something else',
      'CREATE UNIQUE INDEX i ON items (name); ALTER TABLE items REPLICA IDENTITY USING INDEX i',
    ],
    [
      'a primary key that is checked late',
      'ALTER TABLE items DROP CONSTRAINT items_pkey; CREATE UNIQUE INDEX u ON items (id); ALTER TABLE items ADD PRIMARY KEY (id) DEFERRABLE',
    ],
    [
      'a primary key on other columns',
      'ALTER TABLE items DROP CONSTRAINT items_pkey; ALTER TABLE items ADD PRIMARY KEY (name), ADD UNIQUE (id)',
    ],
  ])('%s fails, with a statement that repairs it', async (_, ddl) => {
    const found = await problems(
      `CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL); ${ddl}`,
      items,
    );
    expect(ids(found)).toEqual(['fail replica-identity']);
    await rig?.sql(found[0]?.fix ?? '');
    const again = await rig?.store.setup.inspect('authority');
    expect(
      again?.filter(({ id }) => id.includes('identity')).map(({ verdict }) => verdict),
    ).toEqual(['pass']);
    await rig?.install();
  });

  test('child rows have to tell their parent', async () => {
    const found = await problems(
      `CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE lines (line int PRIMARY KEY, order_id int)`,
      orders,
    );
    expect(ids(found)).toEqual(['fail replica-identity']);
    expect(found[0]?.message).toMatch(/lines.*order_id/);
    await expect(rig?.log.install(stream, 1_000)).rejects.toThrow(/LOG_UNSUPPORTED.*order_id/);
    await rig?.sql(found[0]?.fix ?? '');
    const from = await rig!.install();
    await rig?.sql('INSERT INTO lines VALUES (1, 5); DELETE FROM lines');
    const changes = await rig!.changes(from);
    expect(changes.at(-1)?.before).toEqual(['1', '5']);
  });

  test('a partition that has another one than its root fails', async () => {
    const found = await problems(
      `CREATE TABLE items (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
       CREATE TABLE items_a PARTITION OF items FOR VALUES FROM (0) TO (100);
       ALTER TABLE items_a REPLICA IDENTITY FULL`,
      items,
    );
    expect(ids(found)).toEqual([
      'warn partitions',
      'fail partition-identity',
      'warn partition-detach',
    ]);
  });
});

test('unlogged tables and generated columns are refused', async () => {
  const found = await problems(
    'CREATE UNLOGGED TABLE items (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)',
    { items: { table: 'items', key: ['id'], columns: ['id', 'twice'] } },
  );
  expect(ids(found)).toEqual(['fail unlogged', 'fail generated-column']);
});

test('for a follower the same is a warning', async () => {
  const found = await problems(
    'CREATE UNLOGGED TABLE items (id int PRIMARY KEY)',
    items,
    'follower',
  );
  expect(ids(found)).toEqual(['warn unlogged']);
});

describe('a server that is not made for it', () => {
  const starting = useServer({
    settings: {
      wal_level: 'replica',
      max_replication_slots: '1',
      max_slot_wal_keep_size: '1GB',
      synchronous_standby_names: '',
    },
  });
  let url = '';
  beforeAll(async () => {
    const server = await starting;
    url = await server.createDatabase('plain');
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(`CREATE ROLE mover LOGIN; CREATE TABLE items (id int PRIMARY KEY);
      GRANT ALL ON items TO mover; SELECT pg_create_physical_replication_slot('taken')`);
    await client.query('GRANT CREATE ON DATABASE plain TO mover');
    await client.end();
  });
  afterAll(async () => (await starting).stop());

  test('every reason is told, each with what to do', async () => {
    const own = await logRig(url, '', items);
    rig = own;
    const asMover = new URL(url);
    asMover.username = 'mover';
    const { postgres } = await import('../../src/adapters/postgres/index.ts');
    const { systemRuntime } = await import('../../src/runtime/index.ts');
    const store = await postgres({ url: asMover.href }).connect({
      migration: 'another',
      side: 'source',
      shapes: new Map(Object.entries(items)),
      logged: new Set(['items']),
      runtime: systemRuntime,
    });
    const found = await store.setup.inspect('authority');
    expect(ids(found)).toEqual(
      expect.arrayContaining([
        'fail wal-level',
        'fail replication-slots',
        'fail replication-attribute',
        'fail log-connection',
        'fail publication-owner',
        'warn wal-retention',
      ]),
    );
    expect(found.every(({ verdict, fix }) => verdict === 'pass' || fix !== '')).toBe(true);
    await store.close();
    await expect(own.log.install(stream, 2_000)).rejects.toMatchObject({ code: 'LOG_UNSUPPORTED' });
    expect(await own.log.installed()).toEqual([]);
  });
});
