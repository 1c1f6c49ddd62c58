import { afterEach, describe, expect, test } from 'vitest';
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import { initialState, type MigrationState } from '../../src/migration/index.ts';
import type { StoreConnector } from '../../src/store/index.ts';
import {
  createModifiedSweeper,
  createParityWorker,
  recheckSuspects,
  repair,
} from '../../src/verify/index.ts';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const never = new AbortController().signal;
const rows = 400;
const currentState = (): MigrationState => ({
  ...initialState('shop'),
  phase: 'shadow-read',
  generation: 1,
  epoch: 1,
});
const options = { currentState };

let opened: OpenedMigration | undefined;
afterEach(async () => {
  await opened?.close();
  opened = undefined;
});

const targets = withDatabases(2);
const target = (sql: string): Promise<object[]> => targets.query(1, sql);

async function open(source: StoreConnector): Promise<OpenedMigration> {
  opened = await openMigration(
    defineMigration({
      name: 'shop',
      source,
      target: postgres({ url: targets.url(1) }),
      control: memoryControl(),
      collections: {
        items: {
          parity: { mode: 'sweep', periodMinutes: 1, recordsPerSecondMax: 100_000 },
          modified: { source: 'updated_at', overlapSeconds: 0 },
        },
      },
    }),
  );
  await opened.stores.source.setup.install('authority', 1);
  await opened.stores.target.setup.install('follower', 1);
  return opened;
}

const suspects = async (detector: string): Promise<readonly string[]> => {
  const { control } = opened as OpenedMigration;
  const lines = await control.mismatches.list('shop', { status: 'suspect', limit: 99 });
  return lines.filter((line) => line.detector === detector).map(({ key }) => key);
};

/** `id`, `name`, `updated_at` a second apart, alike on both sides, but for one missing, one different and one extra record. */
async function damage(): Promise<void> {
  await target(`DELETE FROM items WHERE id = 77`);
  await target(`UPDATE items SET name = 'wrong' WHERE id = 300`);
  await target(`INSERT INTO items VALUES (900, 'extra', '2026-01-01 00:00:00')`);
}

/** The same for each engine of a source. `run`: a statement on the source. */
async function looksAndRepairs(
  context: OpenedMigration,
  run: (sql: string) => Promise<unknown>,
): Promise<void> {
  const setting = context.migration.collections.get('items');
  if (!setting?.parity || !setting.modified) throw new Error('not configured');
  // A sweep over both stores.
  const worker = createParityWorker(context, 'items', setting.parity, options, never);
  let compared = 0;
  for (let turn = 0; turn < 200 && compared < rows + 1; turn++)
    compared += (await worker.turn()).compared;
  expect(new Set(await suspects('parity'))).toEqual(new Set(['["77"]', '["300"]', '["900"]']));
  // A sample: each key comes back as a key of the collection.
  const sample = { ...setting.parity, mode: 'sample' as const, share: 1 };
  const sampler = createParityWorker(context, 'items', sample, options, never);
  for (let turn = 0; turn < 10; turn++) expect((await sampler.turn()).compared).toBeGreaterThan(0);

  // The sweeper: the mark first, then what was changed behind it.
  const sweeper = createModifiedSweeper(
    context,
    'items',
    { ...setting.modified, everySeconds: 0 },
    options,
    never,
  );
  expect((await sweeper.turn()).compared).toBe(0);
  await run(`UPDATE items SET name = 'newer', updated_at = '2026-01-02 00:00:00.5' WHERE id = 5`);
  expect(await sweeper.turn()).toMatchObject({ suspects: 1 });
  expect(await suspects('modified')).toEqual(['["5"]']);
  const { modified } = context.stores.source;
  expect(await modified?.check('items', 'updated_at')).toEqual([]);
  expect(await modified?.check('items', 'name')).toMatchObject([{ severity: 'fail' }]);
  expect(await modified?.check('items', 'gone')).toMatchObject([{ severity: 'fail' }]);
  await run('DROP INDEX by_time ON items').catch(() => run('DROP INDEX by_time'));
  expect(await modified?.check('items', 'updated_at')).toMatchObject([{ severity: 'warn' }]);
  const horizon = await modified?.horizon('items', 'updated_at');
  expect(horizon?.openMs).not.toBeNull();

  // A key that is held: its record, a version, and writers that wait until it is let go.
  const { records } = context.stores.source;
  const limits = { waitMs: 1_000, holdMs: 1_000 };
  const order: string[] = [];
  let waiting: Promise<unknown> | undefined;
  const held = await records.holdKey?.('items', ['9'], 1, limits, async (seen) => {
    waiting = run(`UPDATE items SET name = 'name 9' WHERE id = 9`).then(() => order.push('write'));
    await new Promise((resolve) => setTimeout(resolve, 150));
    order.push('let go');
    return seen;
  });
  await waiting;
  expect(order).toEqual(['let go', 'write']);
  expect(held).toMatchObject({ state: 'read', key: ['9'], record: { name: 'name 9' } });
  expect(
    await records.holdKey?.('items', ['40000'], 1, limits, async (seen) => seen.record),
  ).toBeNull();

  // One recheck for all of them, and a repair that proves the absence of the extra one.
  const quick = { delaysMs: [1, 5], hotDelayMs: 5 };
  const report = await recheckSuspects(context, { ...options, recheck: quick }, never);
  expect(report).toMatchObject({ opened: 4 });
  const mend = { ...options, mode: 'apply' as const, deleteExtras: true, recheck: quick };
  const repaired = await repair(context, 'items', 'open', mend, never);
  expect(repaired.counts).toMatchObject({ repaired: 4 });
  expect(await target('SELECT id FROM items WHERE id IN (77, 900)')).toEqual([{ id: 77 }]);
}

describe('continuous checks', () => {
  test('of a PostgreSQL source find, decide and repair', async () => {
    const source = (sql: string): Promise<object[]> => targets.query(0, sql);
    const ddl = 'CREATE TABLE items (id int PRIMARY KEY, name text, updated_at timestamp(6))';
    const seed = `INSERT INTO items SELECT i, 'name ' || i, timestamp '2026-01-01' + i * interval '1 second' FROM generate_series(1, ${rows}) AS i`;
    for (const run of [source, target]) {
      await run('DROP SCHEMA IF EXISTS public CASCADE');
      await run('CREATE SCHEMA public');
      await run(ddl);
      await run(seed);
    }
    await source('CREATE INDEX by_time ON items (updated_at)');
    await source('ANALYZE items');
    await damage();
    await looksAndRepairs(await open(postgres({ url: targets.url(0) })), source);
  });

  describe.skipIf(missingMariadb())('of MariaDB', () => {
    const sources = withMariadb(1);
    test('find, decide and repair', async () => {
      const source = (sql: string): Promise<object[]> => sources.query(0, sql);
      await target('DROP SCHEMA IF EXISTS public CASCADE');
      await target('DROP SCHEMA IF EXISTS changeover_shop CASCADE');
      await target('CREATE SCHEMA public');
      await target(
        'CREATE TABLE items (id int PRIMARY KEY, name text, updated_at timestamp(6) without time zone)',
      );
      await target(
        `INSERT INTO items SELECT i, 'name ' || i, timestamp '2026-01-01' + i * interval '1 second' FROM generate_series(1, ${rows}) AS i`,
      );
      await source(
        'CREATE TABLE items (id int PRIMARY KEY, name text, updated_at datetime(6), KEY by_time (updated_at))',
      );
      await source(
        `INSERT INTO items SELECT seq, CONCAT('name ', seq), TIMESTAMP'2026-01-01 00:00:00' + INTERVAL seq SECOND FROM seq_1_to_${rows}`,
      );
      await source('ANALYZE TABLE items');
      await damage();
      await looksAndRepairs(await open(mariadb({ url: sources.url(0) })), source);
    });
  });
});
