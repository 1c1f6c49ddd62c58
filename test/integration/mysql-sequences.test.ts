import { createConnection } from 'mysql2/promise';
import { afterEach, expect, test } from 'vitest';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1, { scope: 'test' });
const stores = mysqlStoresOn(() => databases.url(0));
afterEach(() => stores.closeAll());

test('raising waits for a table in short turns: an application that works goes on', async () => {
  await databases.query(0, 'CREATE TABLE plain (id int AUTO_INCREMENT PRIMARY KEY, name text)');
  const store = await stores.open(
    { plain: { table: 'plain', key: ['id'] } },
    { migration: 'sequences' },
  );
  const report = await createConnection(databases.url(0));
  const application = await createConnection(databases.url(0));
  try {
    await report.query('START TRANSACTION');
    await report.query('SELECT * FROM plain');
    const raised = store.guard.raiseSequences(new Map([['plain.id', 500n]]));
    let longestMs = 0;
    for (const until = Date.now() + 3_500; Date.now() < until; ) {
      const began = Date.now();
      await application.query('SELECT * FROM plain');
      longestMs = Math.max(longestMs, Date.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(longestMs).toBeLessThan(2_500);
    await report.query('COMMIT');
    await raised;
    await application.query("INSERT INTO plain (name) VALUES ('next')");
    expect(await databases.query(0, 'SELECT id FROM plain')).toMatchObject([{ id: '501' }]);
  } finally {
    await Promise.all([report.end(), application.end()]);
  }
}, 60_000);
