import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LogMark } from '../../src/log/index.ts';
import { withDatabases } from '../support/databases.ts';
import { type LogRig, logRig } from '../support/postgres-log.ts';

const databases = withDatabases(1, { scope: 'test' });
let rig: LogRig;
let other: pg.Client;

beforeEach(async () => {
  rig = await logRig(
    databases.url(0),
    `CREATE TABLE items (id int PRIMARY KEY, name text);
     CREATE TABLE orders (id int PRIMARY KEY);
     CREATE TABLE lines (line int PRIMARY KEY, "order" int NOT NULL REFERENCES orders);
     ALTER TABLE lines REPLICA IDENTITY FULL;
     INSERT INTO items VALUES (1, 'a'), (2, 'b');
     INSERT INTO orders VALUES (1); INSERT INTO lines VALUES (1, 1), (2, 1)`,
    {
      items: { table: 'items', key: ['id'] },
      orders: {
        table: 'orders',
        key: ['id'],
        children: { lines: { table: 'lines', key: ['line'], parent: ['order'] } },
      },
    },
  );
  other = new pg.Client({ connectionString: rig.url });
  await other.connect();
});
afterEach(async () => {
  await other.end();
  await rig.close();
});

/** What `look` says when it began while somebody rewrote the table, and went on when that had committed. */
async function besideRewriteOf<T>(table: string, look: () => Promise<T>): Promise<T> {
  await other.query(
    `BEGIN; ALTER TABLE ${table} ADD COLUMN rewritten uuid DEFAULT gen_random_uuid()`,
  );
  const looking = look();
  looking.catch(() => {});
  await sleep(200);
  await other.query('COMMIT');
  return looking;
}

/** PostgreSQL: "a table will appear empty to concurrent transactions, if they are using a snapshot taken before the rewrite occurred". */
describe('a table that is rewritten meanwhile is never taken for an empty one', () => {
  test('by a snapshot for a comparison', async () => {
    const range = { after: null, until: null };
    const found = await besideRewriteOf('items', async () => {
      const snapshot = await rig.store.snapshots?.open({
        collections: ['items'],
        placed: false,
        openMs: 5_000,
        ageMs: 10_000,
      });
      try {
        return await snapshot?.scan('items', range, 10);
      } finally {
        await snapshot?.close();
      }
    });
    expect(found?.map(({ key }) => key)).toEqual([['1'], ['2']]);
  });

  test('by a re-read for a change of the log', async () => {
    const from = await rig.install();
    await rig.sql(`UPDATE items SET name = 'c' WHERE id = 1`);
    const reader = await rig.open(from);
    const batches = await rig.toEnd(reader);
    const mark = batches.find(({ changes }) => changes.length > 0)?.mark as LogMark;
    const [found] = await besideRewriteOf('items', () =>
      rig.store.records.reread('items', [['1']], 1, mark),
    );
    expect(found).toMatchObject({ record: { id: '1', name: 'c' } });
  });

  test('by a read of a record with its children', async () => {
    const [found] = await besideRewriteOf('lines', () => rig.store.records.read('orders', [['1']]));
    expect(found?.record?.['lines']).toHaveLength(2);
  });
});
