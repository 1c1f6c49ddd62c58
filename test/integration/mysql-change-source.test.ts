import { describe, expect, test } from 'vitest';
import type { ChangeStream, LogCheckpoint, OpenStream } from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import { seededRandom } from '../../src/runtime/index.ts';
import { checkpointAt, collect, type MysqlLog, openMysqlLog, told } from '../support/mysql-log.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const STREAM = 'changeover_log_s_1';
const shapes: readonly Shape[] = [
  {
    table: 'orders',
    key: ['id'],
    children: { lines: { table: 'order_lines', key: ['id'], parent: ['order_id'] } },
  },
];

describe.skipIf(missingMariadb())('the log of MariaDB', () => {
  const databases = withMariadb(1, { scope: 'test' });
  const run = (sql: string): Promise<unknown> => databases.query(0, sql);
  /** Statements on one connection. */
  const session = (...statements: readonly string[]): Promise<unknown> =>
    run(`BEGIN NOT ATOMIC ${statements.join('; ')}; END`);

  interface Rig {
    readonly log: MysqlLog;
    readonly start: LogCheckpoint;
    open(from?: LogCheckpoint, options?: Partial<OpenStream>): Promise<ChangeStream>;
  }

  async function withLog(body: (rig: Rig) => Promise<void>): Promise<void> {
    await run('CREATE TABLE orders (id int PRIMARY KEY, note varchar(40))');
    await run(
      'CREATE TABLE order_lines (id int PRIMARY KEY, order_id int NOT NULL, amount decimal(8,2), KEY (order_id))',
    );
    await run('CREATE TABLE other (id int PRIMARY KEY, note varchar(40))');
    const log = openMysqlLog(databases.url(0), shapes);
    const streams: ChangeStream[] = [];
    try {
      const start = checkpointAt(await log.source.install(STREAM, 5_000));
      const open: Rig['open'] = async (from = start, options = {}) => {
        const stream = await log.source.open({
          stream: STREAM,
          from,
          changesMax: 1_000,
          bytesMax: 1_000_000,
          whole: false,
          ...options,
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

  test('tells inserts, updates, deletes and moved rows in commit order', async () => {
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'one'), (2, NULL)");
      await run("UPDATE orders SET note = 'two' WHERE id = 2");
      await run('UPDATE orders SET id = 3 WHERE id = 2');
      await run('INSERT INTO order_lines VALUES (7, 1, 1.5)');
      await run('UPDATE order_lines SET order_id = 3 WHERE id = 7');
      await run("INSERT INTO other VALUES (1, 'not ours')");
      await run('DELETE FROM orders WHERE id = 1');
      await run('TRUNCATE TABLE order_lines');
      await run('TRUNCATE other');
      const { changes } = await collect(log, stream);
      expect(changes.map(told)).toEqual([
        'insert orders (id=1 note=one)',
        'insert orders (id=2 note=null)',
        'update orders (id=2 note=two)',
        'update orders from (id=2) (id=3 note=two)',
        'insert order_lines (id=7 order_id=1 amount=1.50)',
        'update order_lines from (id=7 order_id=1) (id=7 order_id=3 amount=1.50)',
        'delete orders from (id=1 note=one)',
        'truncate order_lines',
      ]);
      const sequences = changes.map(({ sequence }) => sequence);
      expect(sequences).toEqual([...sequences].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
      expect(new Set(sequences).size).toBe(7);
    });
  });

  test('gives one object for a table as long as its form is the same', async () => {
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'one')");
      await run('FLUSH TABLES');
      await run('FLUSH BINARY LOGS');
      await run("INSERT INTO orders VALUES (2, 'two')");
      await run('ALTER TABLE orders ADD KEY (note)');
      await run("INSERT INTO orders VALUES (3, 'three')");
      const { changes } = await collect(log, stream);
      expect(changes).toHaveLength(3);
      expect(new Set(changes.map(({ table }) => table)).size).toBe(1);
      expect(changes[0]?.table.columns).toEqual([
        { name: 'id', type: 'int', key: true },
        { name: 'note', type: 'varchar', key: false },
      ]);
    });
  });

  test('goes on from every checkpoint that it ever gave, whatever the batches were', async () => {
    await withLog(async ({ log, open, start }) => {
      const random = seededRandom(7);
      let id = 0;
      for (let transaction = 0; transaction < 20; transaction++) {
        const rows = Array.from(
          { length: 1 + Math.floor(random.next() * 12) },
          () => `(${id++}, 'x')`,
        );
        const table = random.next() < 0.2 ? 'other' : 'orders';
        const statements = [`INSERT INTO ${table} VALUES ${rows.join(', ')}`];
        if (random.next() < 0.5)
          statements.push(`UPDATE orders SET note = 'y' WHERE id > ${id - 5}`);
        await session('START TRANSACTION', ...statements, 'COMMIT');
        if (transaction === 10) await run('FLUSH BINARY LOGS');
      }
      const small = { changesMax: 3, bytesMax: 2_000 };
      const first = await open(start, small);
      const { batches } = await collect(log, first);
      await first.close();
      const all = batches.flatMap(({ changes }) => changes.map(told));
      expect(all.length).toBeGreaterThan(100);
      expect(batches.every(({ changes }) => changes.length <= 3)).toBe(true);
      expect(batches.some(({ checkpoint }) => checkpoint.skip > 0)).toBe(true);
      let handed = 0;
      for (const { changes, checkpoint } of batches) {
        handed += changes.length;
        const again = await open(checkpoint, { changesMax: 7 });
        const rest = await collect(log, again);
        await again.close();
        expect(rest.changes.map(told)).toEqual(all.slice(handed));
      }
    });
  });

  test('does not divide a transaction when it is to stay whole', async () => {
    await withLog(async ({ log, open, start }) => {
      const rows = Array.from({ length: 5_000 }, (_, id) => `(${id}, REPEAT('x', 40))`);
      await run(`INSERT INTO orders VALUES ${rows.join(', ')}`);
      await run("INSERT INTO orders VALUES (9001, 'a')");
      await run("INSERT INTO orders VALUES (9002, 'b')");
      const limits = { changesMax: 100, bytesMax: 10_000 };
      const whole = await open(start, { ...limits, whole: true });
      const { batches } = await collect(log, whole);
      await whole.close();
      expect(batches[0]?.changes).toHaveLength(5_000);
      expect(batches[0]?.checkpoint.skip).toBe(0);
      const divided = await open(start, limits);
      const parts = await collect(log, divided);
      expect(parts.changes).toHaveLength(5_002);
      expect(Math.max(...parts.batches.map(({ changes }) => changes.length))).toBe(100);
    });
  });

  test('leaves out what the door wrote, and only that', async () => {
    await withLog(async ({ log, open }) => {
      const own = log.layout.quotedDatabase;
      await run(`CREATE TABLE ${own}.gate (id int AUTO_INCREMENT PRIMARY KEY)`);
      await run(`CREATE TABLE ${own}.queue (id int AUTO_INCREMENT PRIMARY KEY)`);
      await run('CREATE TABLE gate (id int AUTO_INCREMENT PRIMARY KEY)');
      const stream = await open();
      const transaction = (first: string, id: number): Promise<unknown> =>
        session('START TRANSACTION', first, `INSERT INTO orders VALUES (${id}, 'x')`, 'COMMIT');
      await transaction(`INSERT INTO ${own}.gate VALUES ()`, 1);
      await transaction(`INSERT INTO ${own}.queue VALUES ()`, 2);
      await transaction('INSERT INTO gate VALUES ()', 3);
      await session(
        'START TRANSACTION',
        "INSERT INTO orders VALUES (4, 'x')",
        `INSERT INTO ${own}.gate VALUES ()`,
        'COMMIT',
      );
      const { changes } = await collect(log, stream);
      expect(changes.map(({ after }) => after?.[0])).toEqual(['2', '3', '4']);
    });
  });

  test('tells a prepared transaction when it is decided, and keeps its place until then', async () => {
    await withLog(async ({ log, open, start }) => {
      const stream = await open();
      const prepare = (name: string, id: number): Promise<unknown> =>
        databases.query(0, `SELECT 1`).then(async () => {
          await session(
            `XA START '${name}'`,
            `INSERT INTO orders VALUES (${id}, '${name}')`,
            `XA END '${name}'`,
            `XA PREPARE '${name}'`,
          );
        });
      await run("INSERT INTO orders VALUES (1, 'before')");
      await prepare('stays', 2);
      await prepare('goes', 3);
      await run("INSERT INTO orders VALUES (4, 'meanwhile')");
      const first = await collect(log, stream);
      expect(first.changes.map(({ after }) => after?.[1])).toEqual(['before', 'meanwhile']);
      expect(first.checkpoint.skip).toBe(1);
      await stream.close();
      await run("XA COMMIT 'stays'");
      await run("XA ROLLBACK 'goes'");
      await run("INSERT INTO orders VALUES (5, 'after')");
      const again = await open(first.checkpoint);
      const rest = await collect(log, again);
      expect(rest.changes.map(({ after }) => after?.[1])).toEqual(['stays', 'after']);
      expect(rest.checkpoint.skip).toBe(0);
      await again.close();
      const all = await collect(log, await open(start));
      const sequences = all.changes.map(({ sequence }) => sequence);
      expect(sequences).toEqual([...sequences].sort((a, b) => (a < b ? -1 : 1)));
    });
  });

  test('leaves out what was rolled back to a savepoint, and whole rolled-back transactions', async () => {
    await withLog(async ({ log, open }) => {
      await run('CREATE TABLE plain (id int) ENGINE=MyISAM');
      await run('CREATE TABLE audit (id int) ENGINE=Aria');
      const stream = await open();
      await session(
        'START TRANSACTION',
        "INSERT INTO orders VALUES (1, 'kept')",
        'SAVEPOINT one',
        "INSERT INTO orders VALUES (2, 'gone')",
        'INSERT INTO plain VALUES (1)',
        'ROLLBACK TO one',
        "INSERT INTO orders VALUES (3, 'kept')",
        'COMMIT',
      );
      await session(
        'START TRANSACTION',
        "INSERT INTO orders VALUES (4, 'gone')",
        'INSERT INTO plain VALUES (2)',
        'CREATE TEMPORARY TABLE t (id int)',
        'DROP TEMPORARY TABLE t',
        'ROLLBACK',
      );
      await session('START TRANSACTION', "INSERT INTO orders VALUES (5, 'kept')", 'COMMIT');
      const { changes } = await collect(log, stream);
      const present = await databases.query<{ id: string }>(0, 'SELECT id FROM orders');
      expect(changes.map(({ after }) => after?.[0])).toEqual(['1', '3', '5']);
      expect(present.map(({ id }) => id)).toEqual(['1', '3', '5']);
    });
  });

  test('reads events that are larger than a packet', async () => {
    await withLog(async ({ log, open }) => {
      await run('ALTER TABLE orders MODIFY note longtext');
      await run('SET GLOBAL max_allowed_packet = 134217728');
      const stream = await open(undefined, { bytesMax: 1_000_000 });
      await run("INSERT INTO orders VALUES (1, REPEAT('ab', 20000000))");
      await run("INSERT INTO orders VALUES (2, 'small')");
      await run("UPDATE orders SET note = CONCAT(note, 'c')");
      const { changes } = await collect(log, stream);
      expect(changes.map(({ after }) => String(after?.[1]).length)).toEqual([
        40_000_000, 5, 40_000_001, 6,
      ]);
    });
  });

  test('moves its place over what others write, and over new files', async () => {
    await withLog(async ({ log, open, start }) => {
      const stream = await open();
      await run("INSERT INTO other VALUES (1, 'not ours')");
      await run('FLUSH BINARY LOGS');
      await run('FLUSH BINARY LOGS');
      await run("INSERT INTO other VALUES (2, 'not ours')");
      const end = await log.source.end();
      let batch = await stream.next(100);
      while (batch.checkpoint.position.sequence < end.sequence) batch = await stream.next(100);
      expect(batch.changes).toEqual([]);
      expect(batch.checkpoint.position.sequence).toBe(end.sequence);
      expect(batch.checkpoint.position.sequence >> 32n).toBe((start.position.sequence >> 32n) + 2n);
      expect(batch.committedAtMs).toBeGreaterThan(Date.now() - 60_000);
    });
  });

  test('leaves out generated columns', async () => {
    await withLog(async ({ log, open }) => {
      await run(
        'ALTER TABLE orders ADD v int AS (id + 1) VIRTUAL FIRST, ADD s int AS (id * 2) STORED AFTER id, ADD c int INVISIBLE DEFAULT 5',
      );
      const stream = await open();
      await run("INSERT INTO orders (id, note) VALUES (1, 'x')");
      await run('UPDATE orders SET id = 2');
      const { changes } = await collect(log, stream);
      expect(changes.map(told)).toEqual([
        'insert orders (id=1 note=x c=5)',
        'update orders from (id=1) (id=2 note=x c=5)',
      ]);
    });
  });

  test('fills rows up that a session logs in part', async () => {
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'x')");
      await session(
        "SET binlog_row_image = 'MINIMAL'",
        "UPDATE orders SET note = 'y' WHERE id = 1",
      );
      await session("SET binlog_row_image = 'MINIMAL'", 'DELETE FROM orders WHERE id = 1');
      const { changes } = await collect(log, stream);
      expect(changes.map(told)).toEqual([
        'insert orders (id=1 note=x)',
        'update orders from (id=1) (id=1 note=y)',
        'delete orders from (id=1)',
      ]);
    });
  });

  test('installs a stream once, lists it, and ends its reader when it goes', async () => {
    await withLog(async ({ log, open, start }) => {
      await run("INSERT INTO orders VALUES (1, 'x')");
      expect(await log.source.install(STREAM, 5_000)).toEqual({
        identity: start.identity,
        position: start.position,
      });
      expect(await log.source.installed()).toEqual([STREAM]);
      expect(await log.source.retention(STREAM)).toMatchObject({ state: 'kept' });
      const stream = await open();
      await collect(log, stream);
      await log.source.remove(STREAM);
      await expect(readOn(stream)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      expect(await log.source.installed()).toEqual([]);
      expect(await log.source.retention(STREAM)).toMatchObject({ state: 'lost' });
      await log.source.remove(STREAM);
      await expect(open()).rejects.toMatchObject({ code: 'LOG_LOST' });
    });
  });

  test('a second reader of a stream ends the first', async () => {
    await withLog(async ({ log, open }) => {
      const first = await open();
      await collect(log, first);
      const second = await open();
      await run("INSERT INTO orders VALUES (1, 'x')");
      await expect(readOn(first)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      const { changes } = await collect(log, second);
      expect(changes.map(told)).toEqual(['insert orders (id=1 note=x)']);
    });
  });

  test('a reader that was closed refuses, and is gone from the server', async () => {
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await collect(log, stream);
      const waiting = expect(stream.next(60_000)).rejects.toMatchObject({ code: 'CLOSED' });
      await Promise.all([stream.close(), stream.close()]);
      await waiting;
      await expect(stream.next(10)).rejects.toMatchObject({ code: 'CLOSED' });
      const readers =
        "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'";
      await expect.poll(() => databases.query(0, readers)).toEqual([]);
    });
  });
});

async function readOn(stream: ChangeStream): Promise<void> {
  for (let left = 100; left > 0; left--) await stream.next(200);
}
