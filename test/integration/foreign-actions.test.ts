import mysql from 'mysql2/promise';
import { afterEach, describe, expect, test } from 'vitest';
import { Touches } from '../../src/adapters/mysql/mysql-touches.ts';
import type { ChangeStream } from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import { checkpointAt, collect, type MysqlLog, openMysqlLog } from '../support/mysql-log.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

/** What foreign keys do inside InnoDB, as the log tells it: by the names of the records. */
describe.skipIf(missingMariadb())('what foreign keys do by themselves is told by the log', () => {
  const databases = withMariadb(2, { scope: 'test' });
  let log: MysqlLog | null = null;
  let stream: ChangeStream | null = null;
  const clients: mysql.Connection[] = [];
  const connect = async (uri: string): Promise<mysql.Connection> => {
    const client = await mysql.createConnection(uri);
    clients.push(client);
    return client;
  };
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end();
    await stream?.close();
    if (log) await query(`DROP DATABASE IF EXISTS ${log.layout.quotedDatabase}`);
    await log?.close();
    log = null;
    stream = null;
  });

  const query = (sql: string): Promise<Record<string, string | null>[]> => databases.query(0, sql);
  const all = async (...statements: readonly string[]): Promise<void> => {
    for (const one of statements) await query(one);
  };
  const open = async (...shapes: readonly Shape[]): Promise<void> => {
    log = openMysqlLog(databases.url(0), shapes);
    const start = await log.source.install('changeover_log_s_1', 5_000);
    const from = checkpointAt(start);
    const limits = { changesMax: 10_000, bytesMax: 1 << 20, whole: false };
    stream = await log.source.open({ stream: 'changeover_log_s_1', from, ...limits });
  };
  /** `c1 ["2"]` in the order of the log; `c0` is the first shape. */
  const touched = async (): Promise<readonly string[]> => {
    const { changes } = await collect(log as MysqlLog, stream as ChangeStream);
    return changes.flatMap(({ table, kind, after }) => {
      const { touches } = table;
      if (touches === undefined || kind !== 'insert') return [];
      return [`${String(after?.[touches.collection])} ${String(after?.[touches.key])}`];
    });
  };
  const key = (table: string, ...columns: readonly string[]): Shape => ({
    table,
    key: columns.length === 0 ? ['id'] : columns,
  });
  const triggers = () => query('SELECT TRIGGER_NAME FROM information_schema.TRIGGERS');

  test('records go through a chain of cascades, and those that only lose their reference', async () => {
    await all(
      'CREATE TABLE a (id int PRIMARY KEY)',
      'CREATE TABLE b (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)',
      'CREATE TABLE c (id int PRIMARY KEY, b int, FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE)',
      'CREATE TABLE d (id int PRIMARY KEY, c int, FOREIGN KEY (c) REFERENCES c (id) ON DELETE SET NULL)',
      'CREATE TABLE e (id int PRIMARY KEY, d int, FOREIGN KEY (d) REFERENCES d (id) ON DELETE CASCADE)',
      'INSERT INTO a VALUES (1), (2)',
      'INSERT INTO b VALUES (10, 1), (20, 2)',
      'INSERT INTO c VALUES (100, 10), (200, 20)',
      'INSERT INTO d VALUES (1000, 100), (2000, 200)',
      'INSERT INTO e VALUES (10000, 1000)',
    );
    await open(key('b'), key('c'), key('d'), key('e'));
    await query('DELETE FROM a WHERE id = 1');
    // `a` is not migrated at all; e stays as it is, because d does.
    expect(await touched()).toEqual(['c2 ["1000"]', 'c1 ["100"]', 'c0 ["10"]']);
    expect(await query('SELECT c FROM d WHERE id = 1000')).toEqual([{ c: null }]);
    await all('DELETE FROM b WHERE id = 20', 'UPDATE a SET id = 3 WHERE id = 2');
    expect(await touched()).toEqual(['c2 ["2000"]', 'c1 ["200"]']);
  });

  test('a changed key is told under the old name and under the new one, where the key is handed on', async () => {
    await all(
      'CREATE TABLE a (id int PRIMARY KEY, name text)',
      'CREATE TABLE b (a int, n int, PRIMARY KEY (a, n), FOREIGN KEY (a) REFERENCES a (id) ON UPDATE CASCADE ON DELETE CASCADE)',
      'CREATE TABLE c (id int PRIMARY KEY, a int, n int, FOREIGN KEY (a, n) REFERENCES b (a, n) ON UPDATE CASCADE)',
      'CREATE TABLE d (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id) ON UPDATE SET NULL)',
      "INSERT INTO a VALUES (1, 'x'), (2, 'y')",
      'INSERT INTO b VALUES (1, 1), (1, 2), (2, 1)',
      'INSERT INTO c VALUES (7, 1, 2), (8, 2, 1)',
      'INSERT INTO d VALUES (9, 1)',
    );
    await open(key('a'), key('b', 'a', 'n'), key('c'), key('d'));
    await query("UPDATE a SET name = 'z'");
    expect(await touched()).toEqual([]);
    await query('UPDATE a SET id = 5 WHERE id = 1');
    expect((await touched()).toSorted()).toEqual(
      [
        'c1 ["1","1"]',
        'c1 ["1","2"]',
        'c1 ["5","1"]',
        'c1 ["5","2"]',
        'c2 ["7"]',
        'c3 ["9"]',
      ].toSorted(),
    );
  });

  test('a table that refers to itself, whole trees of it', async () => {
    await all(
      'CREATE TABLE staff (id int PRIMARY KEY, boss int, FOREIGN KEY (boss) REFERENCES staff (id) ON DELETE CASCADE)',
      'INSERT INTO staff VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, 4), (6, 1), (7, NULL)',
    );
    await open(key('staff'));
    await query('DELETE FROM staff WHERE id = 1');
    expect((await touched()).toSorted()).toEqual([2, 3, 4, 5, 6].map((id) => `c0 ["${id}"]`));
    expect(await query('SELECT id FROM staff')).toEqual([{ id: '7' }]);
  });

  test('rows of a record are its own: nothing is told of them but what is not its root’s', async () => {
    await all(
      'CREATE TABLE orders (id int PRIMARY KEY)',
      'CREATE TABLE products (id int PRIMARY KEY)',
      'CREATE TABLE order_lines (id int PRIMARY KEY, order_id int, product int, FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE, FOREIGN KEY (product) REFERENCES products (id) ON DELETE SET NULL)',
      'INSERT INTO orders VALUES (1), (2)',
      'INSERT INTO products VALUES (1)',
      'INSERT INTO order_lines VALUES (1, 1, 1), (2, 1, 1), (3, 2, NULL), (4, NULL, 1)',
    );
    const lines = { table: 'order_lines', key: ['id'], parent: ['order_id'] };
    await open({ ...key('orders'), children: { lines } });
    await query('DELETE FROM products');
    expect(await touched()).toEqual(['c0 ["1"]', 'c0 ["1"]']);
    await query('DELETE FROM orders');
    expect(await touched()).toEqual([]);
  });

  test('rows of another transaction that come in while a DELETE waits for it are told, under READ COMMITTED too', async () => {
    await all(
      'CREATE TABLE a (id int PRIMARY KEY)',
      'CREATE TABLE b (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)',
      'INSERT INTO a VALUES (1), (2)',
      'INSERT INTO b VALUES (1, 1)',
    );
    await open(key('a'), key('b'));
    const writer = await connect(databases.url(0));
    await writer.query('BEGIN');
    await writer.query('INSERT INTO b VALUES (2, 2)');
    const deleter = await connect(databases.url(0));
    await deleter.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
    const deleted = deleter.query('DELETE FROM a');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await writer.query('COMMIT');
    await deleted;
    expect((await touched()).toSorted()).toEqual(['c1 ["1"]', 'c1 ["2"]']);
  });

  test('statements that use the referring table too, and REPLACE, work as before', async () => {
    await all(
      'CREATE TABLE a (id int PRIMARY KEY, n int)',
      'CREATE TABLE b (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE ON UPDATE CASCADE)',
      'INSERT INTO a VALUES (1, 0), (2, 0), (3, 0), (4, 0)',
      'INSERT INTO b VALUES (1, 1), (2, 2), (3, 3), (4, 4)',
    );
    await open(key('a'), key('b'));
    await query('DELETE a, b FROM a JOIN b ON b.a = a.id WHERE a.id = 1');
    await query('DELETE FROM a WHERE id IN (SELECT a FROM b WHERE id = 2)');
    await query('UPDATE a JOIN b ON b.a = a.id SET a.id = 30 WHERE a.id = 3');
    await query('REPLACE INTO a VALUES (4, 1)');
    await query('INSERT INTO a VALUES (30, 1) ON DUPLICATE KEY UPDATE id = 31');
    expect(await touched()).toEqual([1, 2, 3, 4, 3].map((id) => `c1 ["${id}"]`));
    expect(await query('SELECT * FROM b')).toEqual([{ id: '3', a: '31' }]);
  });

  test('writers need no right on our tables, nor any SQL mode; another spelling of a key is told', async () => {
    await all(
      'CREATE TABLE a (id varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY)',
      'CREATE TABLE b (id int PRIMARY KEY, a varchar(20) COLLATE utf8mb4_general_ci, FOREIGN KEY (a) REFERENCES a (id) ON UPDATE CASCADE ON DELETE CASCADE)',
      "INSERT INTO a VALUES ('Ada'), ('Bob')",
      "INSERT INTO b VALUES (1, 'ADA'), (2, 'bob')",
    );
    await open(key('a'), key('b'));
    const user = await databases.server.createUser('small', [
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ${databases.name(0)}.*`,
    ]);
    const small = await connect(databases.server.url(databases.name(0), user));
    await small.query("SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'");
    // The same text to the collation, another one to InnoDB.
    await small.query("UPDATE a SET id = 'ada' WHERE id = 'Ada'");
    await small.query("DELETE FROM a WHERE id = 'BOB'");
    expect(await touched()).toEqual(['c1 ["1"]', 'c1 ["2"]']);
  });

  test('five thousand rows at once; what was named is pruned, and the triggers go with the last stream', async () => {
    await all(
      'CREATE TABLE a (id int PRIMARY KEY)',
      'CREATE TABLE b (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)',
      'INSERT INTO a VALUES (1)',
      'INSERT INTO b SELECT seq, 1 FROM seq_1_to_5000',
    );
    await open(key('a'), key('b'));
    expect(await triggers()).toHaveLength(1);
    await query('DELETE FROM a');
    expect(new Set(await touched()).size).toBe(5_000);
    const { session, layout } = log as MysqlLog;
    await new Touches(session, layout, async () => []).prune();
    expect(await query(`SELECT * FROM ${layout.touched}`)).toEqual([]);
    expect(await touched()).toEqual([]);
    await (log as MysqlLog).source.install('changeover_log_s_1', 5_000);
    expect(await triggers()).toHaveLength(1);
    await (log as MysqlLog).source.install('changeover_log_s_2', 5_000);
    await (log as MysqlLog).source.remove('changeover_log_s_1');
    expect(await triggers()).toHaveLength(1);
    await (log as MysqlLog).source.remove('changeover_log_s_2');
    expect(await triggers()).toEqual([]);
  });

  test('a foreign key that is added later is told from the next opening on', async () => {
    await all(
      'CREATE TABLE a (id int PRIMARY KEY)',
      'CREATE TABLE b (id int PRIMARY KEY, a int, KEY (a))',
      'INSERT INTO a VALUES (1), (2)',
      'INSERT INTO b VALUES (1, 1), (2, 2)',
    );
    await open(key('a'), key('b'));
    await query(
      'ALTER TABLE b ADD CONSTRAINT late FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE',
    );
    const { checkpoint } = await collect(log as MysqlLog, stream as ChangeStream);
    await stream?.close();
    const limits = { changesMax: 10_000, bytesMax: 1 << 20, whole: false };
    stream = await (log as MysqlLog).source.open({
      stream: 'changeover_log_s_1',
      from: checkpoint,
      ...limits,
    });
    await query('DELETE FROM a WHERE id = 1');
    expect(await touched()).toEqual(['c1 ["1"]']);
    // And another action of the same key.
    await query('ALTER TABLE b DROP FOREIGN KEY late');
    await query(
      'ALTER TABLE b ADD CONSTRAINT late FOREIGN KEY (a) REFERENCES a (id) ON UPDATE CASCADE',
    );
    await stream.close();
    stream = await (log as MysqlLog).source.open({
      stream: 'changeover_log_s_1',
      from: checkpoint,
      ...limits,
    });
    expect((await triggers()).map(({ TRIGGER_NAME }) => TRIGGER_NAME)).toEqual([
      expect.stringContaining('_moved_UPDATE_'),
    ]);
  });

  test('keys that form too many chains are refused with a word', async () => {
    await all(
      `CREATE TABLE a (id int PRIMARY KEY, ${['p', 'q', 'r', 's'].map((one) => `${one} int, FOREIGN KEY (${one}) REFERENCES a (id) ON DELETE CASCADE`).join(', ')})`,
    );
    await expect(open(key('a'))).rejects.toThrow(/LOG_UNSUPPORTED.*chains/);
    expect(await triggers()).toEqual([]);
  });
});
