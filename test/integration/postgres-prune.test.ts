import { afterEach, expect, test } from 'vitest';
import { postgresLayout } from '../../src/adapters/postgres/postgres-schema.ts';
import { withDatabases } from '../support/databases.ts';
import { storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1, { scope: 'test' });
const stores = storesOn(() => databases.url(0));
afterEach(() => stores.closeAll());

test('more fences than one batch are pruned, and those that are not older stay', async () => {
  await databases.query(0, 'CREATE TABLE items (id text PRIMARY KEY, name text)');
  const store = await stores.open({ items: { table: 'items', key: ['id'] } }, { side: 'target' });
  await store.setup.install('follower', 1);
  const { fence } = postgresLayout('shop', 'target');
  await databases.query(
    0,
    `INSERT INTO ${fence} SELECT 'items', json_build_array(i::text)::text, 1, i, false FROM generate_series(1, 25000) AS i`,
  );
  expect(await store.door.pruneFences({ epoch: 1, sequence: 24_001n })).toBe(24_000);
  expect(await databases.query(0, `SELECT min(sequence)::int AS n FROM ${fence}`)).toEqual([
    { n: 24_001 },
  ]);
  expect(await store.door.pruneFences({ epoch: 2, sequence: 0n })).toBe(1_000);
  expect(await store.door.pruneFences({ epoch: 2, sequence: 0n })).toBe(0);
});
