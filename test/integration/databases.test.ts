import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabases, dropDatabases, query, withDatabases } from '../support/databases.ts';

const databases = withDatabases(2);

test('each database is fresh and apart from the other', async () => {
  await databases.query(0, 'CREATE TABLE a (id int)');
  const tables = "SELECT count(*)::int AS n FROM pg_tables WHERE schemaname = 'public'";
  expect(await databases.query(0, tables)).toEqual([{ n: 1 }]);
  expect(await databases.query(1, tables)).toEqual([{ n: 0 }]);
});

test('a connection that is left open is reported, and the database is dropped all the same', async () => {
  const [url] = await createDatabases(1);
  const leaked = new pg.Client({ connectionString: url, application_name: 'the-leak' });
  leaked.on('error', () => {});
  await leaked.connect();
  await expect(dropDatabases([url as string])).rejects.toThrow(/the-leak/);
  await expect(query(url as string, 'SELECT 1')).rejects.toThrow(/does not exist/);
});

test('a replication slot does not keep a database from being dropped', async () => {
  const [url] = await createDatabases(1);
  await query(
    url as string,
    "SELECT pg_create_logical_replication_slot('slot_of_test', 'pgoutput')",
  );
  await dropDatabases([url as string]);
  const slots = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'slot_of_test'";
  expect(await databases.query(0, slots)).toEqual([]);
});
