import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Finding, InspectPlan, MigrationStore } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1, { scope: 'test' });
const stores = storesOn(() => databases.url(0));
const owner = `owner_${process.pid}`;
const mover = `mover_${process.pid}`;
const run = (sql: string): Promise<object[]> => databases.query(0, sql);

/** A table with a partition, of another role, and a role that may do everything but own it. */
beforeEach(async () => {
  await run(
    `CREATE ROLE ${owner}; CREATE ROLE ${mover} LOGIN;
     CREATE TABLE items (id int, name text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
     CREATE TABLE part PARTITION OF items DEFAULT;
     CREATE TABLE plain (id int PRIMARY KEY, name text);
     CREATE INDEX names ON plain (name);
     GRANT ALL ON items, plain TO ${mover};
     ALTER TABLE items OWNER TO ${owner}; ALTER TABLE part OWNER TO ${owner}; ALTER TABLE plain OWNER TO ${owner};
     DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ${mover}', current_database()); END $$`,
  );
});
afterEach(async () => {
  await stores.closeAll();
  await run(`DROP OWNED BY ${mover}, ${owner} CASCADE; DROP ROLE ${mover}, ${owner}`);
});

const open = (table: string, role = mover): Promise<MigrationStore> => {
  const url = new URL(databases.url(0));
  url.username = role;
  url.password = '';
  const side = 'target';
  return stores.open({ items: { table, key: ['id'] } }, { url: url.href, side });
};
const found = async (store: MigrationStore, plan?: InspectPlan): Promise<readonly Finding[]> =>
  (await store.setup.inspect('follower', plan)).filter(({ id }) => /owner|defer/.test(id));
const ids = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ verdict, id }) => `${verdict} ${id}`);

test('what belongs to others fails the check, as it would fail the start', async () => {
  const store = await open('items');
  const [root, partition, ...rest] = await found(store);
  expect(rest).toEqual([]);
  expect(root).toMatchObject({ id: 'postgres/ownership', verdict: 'fail' });
  expect(partition?.message).toContain('"public"."part"');
  await expect(store.setup.install('follower', 1)).rejects.toMatchObject({
    code: 'STORE_REJECTED',
    data: { sqlState: '42501' },
  });
  await run(`GRANT ${owner} TO ${mover}`);
  const member = await open('items');
  expect(await found(member)).toEqual([]);
  await member.setup.install('follower', 1);
  await run(`REVOKE ${owner} FROM ${mover}`);
  // The start has happened: another one finds its triggers.
  expect(ids(await found(member))).toEqual(['warn postgres/ownership', 'warn postgres/ownership']);
  await member.setup.install('follower', 1);
  await run(`GRANT ${owner} TO ${mover}`);
  await member.setup.uninstall();
});

test('indexes that could not be made again are told, and stay up', async () => {
  const plan = { deferIndexes: 'secondary' } as const;
  expect(ids(await found(await open('plain'), plan))).toEqual([
    'fail postgres/ownership',
    'fail postgres/defer-indexes',
  ]);
  await run(`GRANT ${owner} TO ${mover}; REVOKE CREATE ON SCHEMA public FROM PUBLIC`);
  const member = await open('plain');
  expect(await found(member)).toEqual([]);
  expect(ids(await found(member, plan))).toEqual(['warn postgres/defer-indexes']);
  await member.setup.install('follower', 1);
  expect(await member.setup.deferIndexes?.('items', 'all')).toEqual({ indexes: 0, key: false });
  await run(`GRANT CREATE ON SCHEMA public TO ${mover}`);
  expect(await found(member, plan)).toEqual([]);
  expect(await member.setup.deferIndexes?.('items', 'all')).toEqual({ indexes: 2, key: true });
  await member.setup.restoreIndexes?.('items');
  await member.setup.uninstall();
});
