import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MigrationStore, SwitchSurvey } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(2, { scope: 'test' });
const stores = mysqlStoresOn(() => databases.url(0));
let store: MigrationStore;
let survey: SwitchSurvey;
const open: Connection[] = [];

beforeEach(async () => {
  for (const side of [0, 1])
    await databases.query(side, 'CREATE TABLE orders (id int PRIMARY KEY) ENGINE = InnoDB');
  store = await stores.open({ orders: { table: 'orders', key: ['id'] } });
  await store.setup.install('authority', 1);
  if (!store.survey) throw new Error('no survey');
  survey = store.survey;
});
afterEach(async () => {
  for (const client of open.splice(0)) await client.end();
  await store.setup.uninstall();
  await stores.closeAll();
});

/** A transaction that stays open; its connection's id. */
async function transaction(index: number, statement: string): Promise<string> {
  const client = await createConnection({ uri: databases.url(index) });
  open.push(client);
  await client.query('START TRANSACTION');
  await client.query(statement);
  return String(client.threadId);
}

test('with nobody there, nobody is in the way', async () => {
  const facts = await survey.look(5_000);
  expect(facts).toMatchObject({ tables: 1, transactions: [], problems: [], unseen: [] });
  expect(facts.guardMs).toBeGreaterThanOrEqual(0);
});

test('names transactions that use our tables, writers and readers, oldest first; not those of other databases', async () => {
  const writer = await transaction(0, 'INSERT INTO orders VALUES (1)');
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  const reader = await transaction(0, 'SELECT * FROM orders');
  await transaction(1, 'INSERT INTO orders VALUES (1)');
  const { transactions } = await survey.look(5_000);
  expect(transactions.map(({ id }) => id)).toEqual([writer, reader]);
  expect(transactions[0]).toMatchObject({ kind: 'session', user: 'root' });
  expect(transactions[0]?.ageMs).toBeGreaterThanOrEqual(1_000);
});

test('says what the user may not see or do', async () => {
  await databases.query(0, "CREATE OR REPLACE USER surveyor@'%' IDENTIFIED BY 'x'");
  const [row] = await databases.query(0, 'SELECT DATABASE() AS name');
  await databases.query(
    0,
    `GRANT SELECT, INSERT, UPDATE, DELETE ON ${row?.['name']}.* TO surveyor@'%'`,
  );
  await databases.query(0, "GRANT ALL ON changeover_shop_source.* TO surveyor@'%'");
  const url = new URL(databases.url(0));
  url.username = 'surveyor';
  url.password = 'x';
  const poor = await stores.open({ orders: { table: 'orders', key: ['id'] } }, { url: url.href });
  const { problems, unseen } = (await poor.survey?.look(5_000)) ?? { problems: [], unseen: [] };
  expect(problems.join('\n')).toMatch(/lacks TRIGGER/);
  expect(unseen.join('\n')).toMatch(/GRANT PROCESS/);
  await databases.query(0, "DROP USER surveyor@'%'");
});

test('the lock of the guard is tried and given back; an open write keeps it', async () => {
  const row = await store.guard.read();
  expect(await survey.tryLock(500)).toEqual(row);
  const client = await createConnection({ uri: databases.url(0) });
  open.push(client);
  await client.query('START TRANSACTION');
  await client.query("CALL changeover_shop_source.enter('authority', 1, 0)");
  await expect(survey.tryLock(500)).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
  await client.query('COMMIT');
  expect(await survey.tryLock(500)).toEqual(row);
});

test('a transaction that has ended is in nobody’s way, however often its server is asked', async () => {
  const look = async (): Promise<readonly string[]> =>
    (await survey.look(5_000)).transactions.map(({ id }) => id);
  const writer = await transaction(0, 'INSERT INTO orders VALUES (1)');
  expect(await look()).toEqual([writer]);
  const ended = open.pop();
  await ended?.query('ROLLBACK');
  await ended?.end();
  const seen = await Promise.all([look(), look()]);
  expect([...seen, await look()]).toEqual([[], [], []]);
});

test('a session that goes on after its transaction is in nobody’s way either', async () => {
  const look = async (): Promise<readonly string[]> =>
    (await survey.look(5_000)).transactions.map(({ id }) => id);
  const writer = await transaction(0, 'INSERT INTO orders VALUES (1)');
  expect(await look()).toEqual([writer]);
  await open[0]?.query('COMMIT');
  expect(await look()).toEqual([]);
  await open[0]?.query('START TRANSACTION');
  await open[0]?.query('INSERT INTO orders VALUES (2)');
  expect(await look()).toEqual([writer]);
});

test.each(["'money'", "X'00ff','ünd',7"])(
  'a prepared transaction (%s) counts, also when the session that has prepared it is gone',
  async (name) => {
    const client = await createConnection({ uri: databases.url(0) });
    await client.query(`XA START ${name}`);
    await client.query('INSERT INTO orders VALUES (1)');
    await client.query(`XA END ${name}`);
    await client.query(`XA PREPARE ${name}`);
    await client.end();
    const { transactions } = await survey.look(5_000);
    const [prepared] = transactions;
    // It can be decided by the name that is told.
    await databases.query(0, `XA ROLLBACK ${prepared?.id}`);
    expect(transactions).toMatchObject([{ kind: 'prepared' }]);
  },
);

test('says so where somebody else keeps the list of transactions old', async () => {
  let reading = true;
  const readers = Array.from({ length: 3 }, async () => {
    const client = await createConnection({ uri: databases.url(0) });
    while (reading) await client.query('SELECT COUNT(*) FROM information_schema.INNODB_TRX');
    await client.end();
  });
  const { unseen } = await survey.look(5_000);
  reading = false;
  await Promise.all(readers);
  expect(unseen.join('\n')).toMatch(/somebody reads information_schema.INNODB_TRX all the time/);
});
