import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { repair } from '../../src/verify/index.ts';
import { withDatabases } from '../support/databases.ts';
import { type EngineFixture, itemsCollection } from '../support/engine-fixture.ts';
import { postgresFixture } from '../support/postgres-fixture.ts';
import { aWrite } from '../support/postgres-store.ts';

const databases = withDatabases(2, { scope: 'test' });
const id = 'aaaaaaaa-0000-0000-0000-000000000001';
let fixture: EngineFixture;
let stores: MigrationContext['stores'];

beforeEach(async () => {
  for (const index of [0, 1])
    await databases.query(index, 'CREATE TABLE items (id uuid PRIMARY KEY, name text)');
  const urls = { source: databases.url(0), target: databases.url(1) };
  fixture = await postgresFixture(urls, itemsCollection({ write: 'parallel' }));
  stores = fixture.context.stores;
});
afterEach(() => fixture.close());

test('a parallel delete under another spelling of the key keeps an older write out', async () => {
  const older = await stores.source.records.write(
    aWrite('items', [id], { id, name: 'old' }, { graceMs: 60_000 }),
  );
  const router = await createRouter(fixture.context);
  await router.collection('items').delete(id.toUpperCase());
  await router.settle(2_000);
  await router.close();
  const late = {
    collection: 'items',
    key: older.key,
    version: older.version ?? { epoch: 1, sequence: 0n },
    value: older.record,
    origin: 'live' as const,
  };
  const verdicts = await stores.target.door.apply([late], { epoch: 1, timeoutMs: 5_000 });
  expect(verdicts).toEqual(['stale']);
  expect(await fixture.all('target')).toEqual(new Map());
});

test('a repair of a key under another spelling is fenced as the authority spells it', async () => {
  await databases.query(0, 'INSERT INTO items VALUES ($1, $2)', [id, 'right']);
  const currentState = fixture.state;
  const options = { currentState, mode: 'apply' as const };
  const { signal } = new AbortController();
  const report = await repair(fixture.context, 'items', [[id.toUpperCase()]], options, signal);
  expect(report.keys).toMatchObject([{ outcome: 'repaired' }]);
  expect(await stores.target.door.fences('items', [[id]])).not.toEqual([null]);
});
