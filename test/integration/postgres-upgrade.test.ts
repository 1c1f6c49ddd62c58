import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { withDatabases } from '../support/databases.ts';
import { storesOn } from '../support/postgres-store.ts';
import { WholeMigration } from '../support/whole-migration.ts';

const databases = withDatabases(2, { scope: 'test' });
const stores = storesOn(() => databases.url(0));
let migration: WholeMigration | undefined;
afterEach(async () => {
  await stores.closeAll();
  await migration?.close();
  migration = undefined;
});

const SHAPES = { items: { table: 'items', key: ['id'] } };
const SCHEMA = 'changeover_shop_source';
const tables = async (): Promise<number> =>
  (await databases.query(0, `SELECT 1 FROM pg_tables WHERE schemaname = '${SCHEMA}'`)).length;
/** What installations had before there was capture from the log, and before indexes were deferred. */
const asBefore = (schema: string): string =>
  `DROP TABLE IF EXISTS ${schema}.log_checkpoint, ${schema}.deferred`;

test('what an older version has installed is completed, and nothing is made where nothing is', async () => {
  await databases.query(0, 'CREATE TABLE items (id int PRIMARY KEY)');
  const store = await stores.open(SHAPES);
  await store.setup.upgrade?.();
  expect(await tables()).toBe(0);
  await store.setup.install('authority', 1);
  const complete = await tables();
  for (const again of [() => store.setup.install('authority', 1), () => store.setup.upgrade?.()]) {
    await databases.query(0, asBefore(SCHEMA));
    expect(await tables()).toBe(complete - 2);
    await again();
    expect(await tables()).toBe(complete);
  }
  expect(await store.guard.read()).toMatchObject({ role: 'authority', epoch: 1 });
});

test('a format of another version is told with what to do', async () => {
  await databases.query(0, 'CREATE TABLE items (id int PRIMARY KEY)');
  const store = await stores.open(SHAPES);
  await store.setup.install('authority', 1);
  const refusals = async (): Promise<readonly unknown[]> =>
    Promise.all(
      [store.setup.upgrade?.(), store.setup.install('authority', 1)].map((one) =>
        one?.catch((error: unknown) => error),
      ),
    );
  await databases.query(0, `UPDATE ${SCHEMA}.meta SET format = 99`);
  for (const error of await refusals())
    expect(error).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('newer version'),
    });
  await databases.query(0, `UPDATE ${SCHEMA}.meta SET format = 0`);
  for (const error of await refusals())
    expect(error).toMatchObject({
      code: 'LEFTOVERS_FOUND',
      message: expect.stringContaining('the version that began it'),
    });
});

test('a migration that an older version began is copied to its end by a worker of this one', async () => {
  for (const side of [0, 1])
    await databases.query(side, 'CREATE TABLE items (id int PRIMARY KEY, name text)');
  await databases.query(
    0,
    "INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 50) i",
  );
  const from = (path: string): string =>
    JSON.stringify(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)));
  const store = (side: number): string =>
    `postgres({ url: ${JSON.stringify(databases.url(side))} })`;
  const whole = new WholeMigration(`
import { defineMigration } from ${from('index.ts')};
import { postgres } from ${from('adapters/postgres/index.ts')};
export default defineMigration({
  name: 'shop', source: ${store(0)}, target: ${store(1)}, gates: { profile: 'demo' }, collections: { items: { capture: 'outbox' } },
});`);
  migration = whole;
  await whole.start();
  await whole.stopWorker();
  await databases.query(0, asBefore(SCHEMA));
  await databases.query(1, asBefore('changeover_shop_target'));
  await whole.reopen();
  await whole.advance();
  await expect
    .poll(() => databases.query(1, 'SELECT count(*)::int AS n FROM items'), { timeout: 20_000 })
    .toEqual([{ n: 50 }]);
});
