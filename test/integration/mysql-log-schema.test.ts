import { describe, expect, test } from 'vitest';
import type { ChangeStream, LogCheckpoint } from '../../src/log/index.ts';
import { checkpointAt, collect, type MysqlLog, openMysqlLog, told } from '../support/mysql-log.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const STREAM = 'changeover_log_s_1';
const orders = [{ table: 'orders', key: ['id'] }];

interface Rig {
  readonly log: MysqlLog;
  readonly start: LogCheckpoint;
  open(from?: LogCheckpoint): Promise<ChangeStream>;
}

describe.skipIf(missingMariadb())('tables of MariaDB that change under the log', () => {
  const databases = withMariadb(1, { scope: 'test' });
  const run = (sql: string): Promise<unknown> => databases.query(0, sql);

  async function withLog(body: (rig: Rig) => Promise<void>): Promise<void> {
    await run('CREATE TABLE orders (id int PRIMARY KEY, a varchar(40), b varchar(40))');
    const log = openMysqlLog(databases.url(0), orders);
    const streams: ChangeStream[] = [];
    try {
      const start = checkpointAt(await log.source.install(STREAM, 5_000));
      const open: Rig['open'] = async (from = start) => {
        const stream = await log.source.open({
          stream: STREAM,
          from,
          changesMax: 1_000,
          bytesMax: 1_000_000,
          whole: false,
        });
        streams.push(stream);
        return stream;
      };
      await body({ log, start, open });
    } finally {
      for (const stream of streams) await stream.close();
      await log.source.remove(STREAM);
      await run(`DROP DATABASE IF EXISTS ${log.layout.quotedDatabase}`);
      await log.close();
    }
  }

  const metadata = (value: string): Promise<unknown> =>
    databases.server.query(`SET GLOBAL binlog_row_metadata = '${value}'`);

  const alterations = [
    'ALTER TABLE orders ADD c int FIRST',
    'ALTER TABLE orders CHANGE a z varchar(40)',
    'ALTER TABLE orders RENAME COLUMN b TO y',
    'ALTER TABLE orders DROP COLUMN z',
    'ALTER TABLE orders MODIFY y varchar(50) AFTER id',
  ];
  const history = [
    'insert orders (id=0 a=x b=y)',
    'insert orders (c=1 id=0 a=x b=y)',
    'insert orders (c=2 id=0 z=x b=y)',
    'insert orders (c=3 id=0 z=x y=y)',
    'insert orders (c=4 id=0 y=y)',
    'insert orders (c=5 id=0 y=y)',
  ];
  const rows = [
    "INSERT INTO orders (id, a, b) VALUES (0, 'x', 'y')",
    "INSERT INTO orders (c, id, a, b) VALUES (1, 0, 'x', 'y')",
    "INSERT INTO orders (c, id, z, b) VALUES (2, 0, 'x', 'y')",
    "INSERT INTO orders (c, id, z, y) VALUES (3, 0, 'x', 'y')",
    "INSERT INTO orders (c, id, y) VALUES (4, 0, 'y')",
    "INSERT INTO orders (c, id, y) VALUES (5, 0, 'y')",
  ];

  test.for(['FULL', 'NO_LOG'])(
    'columns that are added, renamed and dropped are followed as they happen (%s)',
    async (mode) => {
      await metadata(mode);
      await withLog(async ({ log, open }) => {
        const stream = await open();
        const seen: string[] = [];
        for (const [index, row] of rows.entries()) {
          const alteration = alterations[index - 1];
          await run('DELETE FROM orders');
          if (alteration !== undefined) await run(alteration);
          await run(row);
          const { changes } = await collect(log, stream);
          seen.push(...changes.filter(({ kind }) => kind === 'insert').map(told));
        }
        expect(seen).toEqual(history);
      });
    },
  );

  test('with names in the log, a history of alterations is read exactly afterwards', async () => {
    await metadata('FULL');
    await withLog(async ({ log, open }) => {
      for (const [index, row] of rows.entries()) {
        const alteration = alterations[index - 1];
        await run('DELETE FROM orders');
        if (alteration !== undefined) await run(alteration);
        await run(row);
      }
      const { changes } = await collect(log, await open());
      expect(changes.filter(({ kind }) => kind === 'insert').map(told)).toEqual(history);
    });
  });

  test('without names, what lies before a rename keeps its names, and what lies behind the last one has them', async () => {
    await metadata('NO_LOG');
    await withLog(async ({ log, open, start }) => {
      await run("INSERT INTO orders VALUES (1, 'x', 'y')");
      await run('ALTER TABLE orders CHANGE a t varchar(40), CHANGE b a varchar(40)');
      await run("INSERT INTO orders VALUES (2, 'x', 'y')");
      const stream = await open();
      const { changes, checkpoint } = await collect(log, stream);
      await stream.close();
      const expected = ['insert orders (id=1 a=x b=y)', 'insert orders (id=2 t=x a=y)'];
      expect(changes.map(told)).toEqual(expected);
      // What was learnt outlives the reader.
      expect((await collect(log, await open(start))).changes.map(told)).toEqual(expected);
      await run("INSERT INTO orders VALUES (3, 'x', 'y')");
      const later = await collect(log, await open(checkpoint));
      expect(later.changes.map(told)).toEqual(['insert orders (id=3 t=x a=y)']);
    });
  });

  test('without names, rows between two alterations that were not read in time are not guessed', async () => {
    await metadata('NO_LOG');
    await withLog(async ({ log, open }) => {
      await run("INSERT INTO orders VALUES (1, 'x', 'y')");
      await run('ALTER TABLE orders CHANGE a t varchar(40)');
      await run("INSERT INTO orders VALUES (2, 'x', 'y')");
      await run('ALTER TABLE orders CHANGE b u varchar(40)');
      await run("INSERT INTO orders VALUES (3, 'x', 'y')");
      const stream = await open();
      const first = await stream.next(5_000);
      expect(first.changes.map(told)).toEqual(['insert orders (id=1 a=x b=y)']);
      await expect(stream.next(5_000)).rejects.toMatchObject({
        code: 'SCHEMA_CHANGED',
        message: expect.stringMatching(/binlog_row_metadata=FULL/),
      });
      await log.source.end();
    });
  });

  test('without names, two alterations with nothing in between are followed', async () => {
    await metadata('NO_LOG');
    await withLog(async ({ log, open }) => {
      await run('ALTER TABLE orders CHANGE a t varchar(40)');
      await run('ALTER TABLE orders CHANGE b u varchar(40)');
      await run("INSERT INTO orders VALUES (3, 'x', 'y')");
      const { changes } = await collect(log, await open());
      expect(changes.map(told)).toEqual(['insert orders (id=3 t=x u=y)']);
    });
  });

  test('a setting that changes in between changes no name and no type', async () => {
    await metadata('NO_LOG');
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'x', 'y')");
      await metadata('MINIMAL');
      await run("INSERT INTO orders VALUES (2, 'x', 'y')");
      await metadata('FULL');
      await run("INSERT INTO orders VALUES (3, 'x', 'y')");
      const { changes } = await collect(log, stream);
      const [one, two, three] = changes.map(({ table }) => table.columns);
      expect(changes).toHaveLength(3);
      expect(two).toEqual(one);
      expect(three).toEqual(one);
    });
  });

  test.for([
    'DROP TABLE orders',
    'DROP TABLE IF EXISTS nothing, orders',
    'RENAME TABLE orders TO gone',
    'RENAME TABLE orders TO old, fresh TO orders',
    'ALTER TABLE orders RENAME TO gone',
    'CREATE OR REPLACE TABLE orders (id int PRIMARY KEY)',
    'DROP DATABASE this',
  ])('%s: what has the name now is another table', async (sql) => {
    await run('CREATE TABLE fresh (id int PRIMARY KEY, a varchar(40), b varchar(40))');
    await withLog(async ({ open }) => {
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'x', 'y')");
      await run(sql.replace('this', databases.name(0)));
      const read = async (): Promise<void> => {
        for (let left = 50; left > 0; left--) await stream.next(200);
      };
      await expect(read()).rejects.toMatchObject({
        code: 'SCHEMA_CHANGED',
        message: expect.stringMatching(/orders was/),
      });
      if (sql.startsWith('DROP DATABASE')) await databases.server.createDatabase(databases.name(0));
    });
  });

  test('rows that go with a partition are not missed in silence', async () => {
    await withLog(async ({ log, open }) => {
      await run(
        'ALTER TABLE orders PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))',
      );
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'x', 'y'), (11, 'x', 'y')");
      const { changes } = await collect(log, stream);
      expect(changes).toHaveLength(2);
      await run('ALTER TABLE orders DROP PARTITION p0');
      const read = async (): Promise<void> => {
        for (let left = 50; left > 0; left--) await stream.next(200);
      };
      await expect(read()).rejects.toMatchObject({ code: 'LOG_LOST' });
    });
  });

  test('other tables may come and go', async () => {
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await run('CREATE TABLE other AS SELECT * FROM orders');
      await run('CREATE TEMPORARY TABLE t (id int)');
      await run('RENAME TABLE other TO another');
      await run('TRUNCATE another');
      await run('DROP TABLE another');
      await run('CREATE TABLE IF NOT EXISTS orders (id int)');
      await run("INSERT INTO orders VALUES (1, 'x', 'y')");
      const { changes } = await collect(log, stream);
      expect(changes.map(told)).toEqual(['insert orders (id=1 a=x b=y)']);
    });
  });
});
