import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runBackfill } from '../../src/backfill/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { verifyCollection } from '../../src/verify/index.ts';
import { withDatabases } from '../support/databases.ts';
import { type EngineFixture, itemsCollection } from '../support/engine-fixture.ts';
import {
  customers,
  customersDdl,
  customersSeed,
  postgresFixture,
} from '../support/postgres-fixture.ts';

const never = new AbortController().signal;

describe('a backfill from PostgreSQL to PostgreSQL', () => {
  const databases = withDatabases(2, { scope: 'test' });
  let fixture: EngineFixture;
  beforeEach(async () => {
    await databases.query(0, customersDdl.source);
    await databases.query(1, customersDdl.target);
  });
  afterEach(() => fixture?.close());
  const open = async (collection = customers): Promise<void> => {
    fixture = await postgresFixture(
      { source: databases.url(0), target: databases.url(1) },
      collection,
    );
  };
  const backfill = (options = {}) =>
    runBackfill(fixture.context, 'customers', { currentState: fixture.state, ...options }, never);
  const verify = () =>
    verifyCollection(fixture.context, 'customers', { currentState: fixture.state }, never);

  test('copies records into several tables, exactly, and verification passes', async () => {
    await databases.query(0, customersSeed(5_000));
    await databases.query(0, 'ANALYZE customers');
    await open();
    const result = await backfill();
    expect(result).toMatchObject({ outcome: 'finished', rowsRead: 5_000, rowsInserted: 5_000 });
    // Counted by the database itself, not by the engine.
    const [{ n } = { n: '' }] = await databases.query(
      1,
      'SELECT count(*) AS n FROM contact_points',
    );
    const [{ m } = { m: '' }] = await databases.query(
      0,
      'SELECT count(email) + count(phone) AS m FROM customers',
    );
    expect(n).toBe(m);
    const report = await verify();
    expect(report).toMatchObject({ outcome: 'passed', compared: 5_000, suspects: 0 });
  });

  test('live writes and deletes of aggregates meanwhile: nothing differs in the end, nothing comes back', async () => {
    await databases.query(0, customersSeed(4_000));
    await open();
    const router = await createRouter(fixture.context, { graceMs: 200 });
    const handle = router.collection('customers');
    let done = false;
    let writes = 0;
    const failures: unknown[] = [];
    const writer = async (offset: number): Promise<void> => {
      for (let turn = 0; !done; turn++) {
        const id = String(1 + ((turn * 131 + offset * 997) % 4_200));
        try {
          if (turn % 3 === 0) await handle.delete([id]);
          else
            await handle.put({
              id,
              name: `Live ${offset} ${turn}`,
              email: turn % 2 ? `live${turn}@example.org` : null,
              phone: null,
              balance: '7.25',
              changed: '2024-05-05 05:05:05.5',
            });
          writes += 1;
        } catch (error) {
          failures.push(error);
        }
      }
    };
    const writers = [0, 1, 2].map(writer);
    const result = await backfill({ chunkRowsInitial: 100, chunkRowsMax: 200, concurrency: 3 });
    done = true;
    await Promise.all(writers);
    await router.settle(5_000);
    const depth = await drainUntilEmpty(
      fixture.context,
      fixture.state(),
      applierDefaults,
      20_000,
      never,
    );
    await router.close();
    expect(failures).toEqual([]);
    expect(result.outcome).toBe('finished');
    expect(writes).toBeGreaterThan(20);
    expect(depth).toMatchObject({ waiting: 0, dead: 0 });
    const ids = (side: number) =>
      databases.query(side, 'SELECT id::text FROM customers ORDER BY customers.id');
    expect(await ids(1)).toEqual(await ids(0));
    expect(await verify()).toMatchObject({ outcome: 'passed', suspects: 0 });
  });

  test('rows that a constraint of the target or the transform refuses become dead letters, the rest goes on', async () => {
    await databases.query(0, customersSeed(3_000));
    await databases.query(
      0,
      `UPDATE customers SET balance = '-1' WHERE id IN (17, 1999);
       UPDATE customers SET balance = 'lots' WHERE id = 1200;
       UPDATE customers SET name = 'unsplittable' WHERE id = 2500`,
    );
    await open();
    expect(await backfill()).toMatchObject({ outcome: 'finished', rowsRead: 3_000, rowsDead: 4 });
    const letters = await fixture.context.stores.source.queue.deadLetters(10);
    const reasons = new Map(letters.map(({ key, reason }) => [key[0], reason]));
    expect([...reasons.keys()].sort()).toEqual(['1200', '17', '1999', '2500']);
    expect(reasons.get('17')).toContain('check');
    expect(reasons.get('2500')).toContain('one part');
    const report = await verify();
    expect(report).toMatchObject({ dead: 4, persistent: { missing: 4, extra: 0, different: 0 } });
  });

  test('equal shapes are copied as bytes, rows that are there already are left alone', async () => {
    const shape = { table: 'customers', key: ['id'] };
    await databases.query(1, 'DROP TABLE contact_points, customers');
    await databases.query(1, customersDdl.source);
    await databases.query(0, customersSeed(20_000));
    await databases.query(0, 'ANALYZE customers');
    await open(itemsCollection({ name: 'customers', source: shape, target: shape }));
    const handle = await createRouter(fixture.context);
    await handle.collection('customers').update(['500'], { name: 'live' });
    await handle.settle(2_000);
    await handle.close();
    const result = await backfill({ chunkRowsInitial: 2_000, chunkRowsMax: 4_000 });
    expect(result).toMatchObject({ outcome: 'finished', rowsRead: 20_000, rowsInserted: 19_999 });
    const digest =
      "SELECT count(*) AS n, md5(string_agg(c::text, ',' ORDER BY id)) AS d FROM customers c";
    expect(await databases.query(1, digest)).toEqual(await databases.query(0, digest));
  });

  test.each([3, 1_500])('of %i deleted records none comes back with the bytes', async (gone) => {
    const shape = { table: 'customers', key: ['id'] };
    await databases.query(1, 'DROP TABLE contact_points, customers');
    await databases.query(1, customersDdl.source);
    await databases.query(0, customersSeed(20_000));
    await open(itemsCollection({ name: 'customers', source: shape, target: shape }));
    const { door } = fixture.context.stores.target;
    const { epoch } = await fixture.state();
    const tombstones = Array.from({ length: gone }, (_, at) => ({
      collection: 'customers',
      key: [String(7 * at + 1)],
      version: { epoch, sequence: 1n },
      value: null,
      origin: 'live' as const,
    }));
    await door.apply(tombstones, { epoch, timeoutMs: 20_000 });
    // A row of somebody else's, whose record was deleted once: not the copy's to remove.
    await databases.query(1, "INSERT INTO customers VALUES (1, 'theirs', NULL, NULL, '0', now())");
    const result = await backfill({ chunkRowsInitial: 2_000, chunkRowsMax: 4_000 });
    const rowsInserted = 20_000 - gone;
    expect(result).toMatchObject({ outcome: 'finished', rowsRead: 20_000, rowsInserted });
    const [row] = await databases.query(
      1,
      "SELECT count(*)::int AS n, count(*) FILTER (WHERE name = 'theirs')::int AS theirs FROM customers",
    );
    expect(row).toEqual({ n: rowsInserted + 1, theirs: 1 });
  });

  test('a row that is there stays, although its key was deleted in another spelling', async () => {
    const shape = { table: 'customers', key: ['id'] };
    await databases.query(1, 'DROP TABLE contact_points, customers');
    for (const at of [0, 1]) {
      await databases.query(at, 'DROP TABLE IF EXISTS customers');
      await databases.query(at, customersDdl.source.replace('id bigint', 'id numeric'));
    }
    await databases.query(0, customersSeed(50));
    await databases.query(0, 'UPDATE customers SET id = 1.00 WHERE id = 1');
    await open(itemsCollection({ name: 'customers', source: shape, target: shape }));
    const { records } = fixture.context.stores.source;
    const [first] = await records.scan('customers', { after: null, until: null }, 1);
    const { door } = fixture.context.stores.target;
    const { epoch } = await fixture.state();
    const origin = 'live' as const;
    const change = { collection: 'customers', origin };
    const apply = (key: string, sequence: bigint, value: DataRecord | null) =>
      door.apply([{ ...change, key: [key], version: { epoch, sequence }, value }], {
        epoch,
        timeoutMs: 20_000,
      });
    await apply('1.0', 1n, null);
    await apply('1.00', 2n, { ...first?.record, name: 'live' });
    const result = await backfill();
    expect(result).toMatchObject({ outcome: 'finished', rowsInserted: 49 });
    const [row] = await databases.query(1, 'SELECT id::text, name FROM customers WHERE id = 1');
    expect(row).toEqual({ id: '1.00', name: 'live' });
  });

  test('a byte copy that meets a refused row falls back to records and finds it', async () => {
    const shape = { table: 'customers', key: ['id'] };
    await databases.query(1, 'DROP TABLE contact_points, customers');
    await databases.query(1, customersDdl.source);
    await databases.query(1, "ALTER TABLE customers ADD CHECK (email <> 'c1000@example.org')");
    await databases.query(0, customersSeed(3_000));
    await open(itemsCollection({ name: 'customers', source: shape, target: shape }));
    expect(await backfill()).toMatchObject({ rowsRead: 3_000, rowsInserted: 2_999, rowsDead: 1 });
  });

  test('composite keys and text keys are copied in the order of their bytes', async () => {
    await databases.query(
      0,
      `CREATE TABLE notes (tenant text, n integer, body text, PRIMARY KEY (tenant, n));
       INSERT INTO notes SELECT (ARRAY['a','B','b','Ä','ß','😀','Z','_a'])[1 + i % 8], i / 8, 'text ' || i
         FROM generate_series(0, 3999) AS i`,
    );
    await databases.query(
      1,
      'CREATE TABLE notes (tenant text, n integer, body text, PRIMARY KEY (tenant, n))',
    );
    const shape = { table: 'notes', key: ['tenant', 'n'] };
    const forward = customersUpper;
    await open(
      itemsCollection({
        name: 'customers',
        source: shape,
        target: shape,
        identity: false,
        forward,
      }),
    );
    const result = await backfill({ chunkRowsInitial: 100, chunkRowsMax: 150 });
    expect(result).toMatchObject({ rowsRead: 4_000, rowsInserted: 4_000 });
    expect(await verify()).toMatchObject({ outcome: 'passed', compared: 4_000 });
  });
});

const customersUpper = (record: Parameters<typeof customers.forward>[0]) => ({
  ...record,
  body: String(record['body']).toUpperCase(),
});
