import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { ChangeStream, LogCheckpoint, OpenStream } from '../../src/log/index.ts';
import { checkpointAt, collect, type MysqlLog, openMysqlLog, told } from '../support/mysql-log.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const STREAM = 'changeover_log_s_1';
const orders = [{ table: 'orders', key: ['id'] }];

interface Rig {
  readonly log: MysqlLog;
  readonly start: LogCheckpoint;
  open(from?: LogCheckpoint, options?: Partial<OpenStream>): Promise<ChangeStream>;
}

describe.skipIf(missingMariadb())('a log of MariaDB that goes, and a server that goes', () => {
  const databases = withMariadb(1, { scope: 'test' });
  const run = (sql: string): Promise<unknown> => databases.query(0, sql);
  const session = (...statements: readonly string[]): Promise<unknown> =>
    run(`BEGIN NOT ATOMIC ${statements.join('; ')}; END`);

  async function withLog(
    body: (rig: Rig) => Promise<void>,
    options: { url?: (url: string) => string } = {},
  ): Promise<void> {
    await run('CREATE TABLE orders (id int PRIMARY KEY, note varchar(40))');
    const url = databases.url(0);
    const log = openMysqlLog(options.url?.(url) ?? url, orders);
    const streams: ChangeStream[] = [];
    try {
      const start = checkpointAt(await log.source.install(STREAM, 5_000));
      const open: Rig['open'] = async (from = start, limits = {}) => {
        const stream = await log.source.open({
          stream: STREAM,
          from,
          changesMax: 1_000,
          bytesMax: 1_000_000,
          whole: false,
          ...limits,
        });
        streams.push(stream);
        return stream;
      };
      await body({ log, start, open });
    } finally {
      for (const stream of streams) await stream.close();
      if (databases.server.pid !== undefined)
        await run(`DROP DATABASE IF EXISTS ${log.layout.quotedDatabase}`);
      await log.close();
    }
  }

  const lost = (message: RegExp): object => ({
    code: 'LOG_LOST',
    message: expect.stringMatching(message),
  });

  test('a purged file is a lost log', async () => {
    await withLog(async ({ log, start, open }) => {
      await run("INSERT INTO orders VALUES (1, 'x')");
      await run('FLUSH BINARY LOGS');
      await run('FLUSH BINARY LOGS');
      const [now] = await databases.query<{ File: string }>(0, 'SHOW MASTER STATUS');
      // A file is kept while a reader of it is leaving, and until the engine has caught up with it.
      const kept = async (): Promise<number> => {
        await run(`PURGE BINARY LOGS TO '${now?.File}'`);
        return (await databases.query(0, 'SHOW BINARY LOGS')).length;
      };
      await expect.poll(kept, { timeout: 10_000 }).toBe(1);
      await expect(open(start)).rejects.toMatchObject(lost(/purged|cannot be read on/));
      expect(await log.source.retention(STREAM)).toMatchObject({ state: 'lost', leftBytes: 0 });
    });
  });

  test('a log that was reset is another log, however long it has become', async () => {
    await withLog(async ({ log, start, open }) => {
      const first = await open();
      await run("INSERT INTO orders VALUES (1, 'x')");
      const { checkpoint } = await collect(log, first);
      await first.close();
      // Files are told apart by the second in which they were begun.
      await sleep(1_100);
      await run('RESET MASTER');
      await expect(open(checkpoint)).rejects.toMatchObject({ code: 'LOG_LOST' });
      expect(await log.source.retention(STREAM)).toMatchObject({ state: 'lost' });
      for (let id = 10; id < 60; id++)
        await run(`INSERT INTO orders VALUES (${id}, REPEAT('x', 40))`);
      await expect(open(checkpoint)).rejects.toMatchObject({ code: 'LOG_LOST' });
      await expect(open(start)).rejects.toMatchObject({ code: 'LOG_LOST' });
      // A file of that name that has grown beyond the place is another one all the same.
      expect(await log.source.retention(STREAM)).toMatchObject({ state: 'lost' });
    });
  });

  test('a log that is reset under a reader ends the reader', async () => {
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'x')");
      const { checkpoint } = await collect(log, stream);
      await sleep(1_100);
      await run('RESET MASTER');
      await run("INSERT INTO orders VALUES (2, 'y')");
      await expect(readOn(stream)).rejects.toMatchObject({
        code: expect.stringMatching(/LOG_LOST|STORE_UNAVAILABLE/),
      });
      await stream.close();
      await expect(open(checkpoint)).rejects.toMatchObject({ code: 'LOG_LOST' });
    });
  });

  test('a place where no event begins, or beyond the end, is one of another log', async () => {
    await withLog(async ({ start, open }) => {
      await run("INSERT INTO orders VALUES (1, 'x')");
      const moved = (by: number): LogCheckpoint => {
        const [, file, offset, stamp] = /^(.*):(\d+)(@.*)$/.exec(start.position.text) ?? [];
        const text = `${file}:${Number(offset) + by}${stamp}`;
        return { ...start, position: { sequence: start.position.sequence + BigInt(by), text } };
      };
      const read = async (from: LogCheckpoint): Promise<void> => readOn(await open(from));
      await expect(read(moved(1))).rejects.toMatchObject({ code: 'LOG_LOST' });
      await expect(read(moved(19))).rejects.toMatchObject({ code: 'LOG_LOST' });
      await expect(read(moved(1_000_000))).rejects.toMatchObject({ code: 'LOG_LOST' });
      const elsewhere = { ...start, position: { ...start.position, text: 'nowhere' } };
      await expect(read(elsewhere)).rejects.toMatchObject({ code: 'LOG_LOST' });
    });
  });

  test('a stream of another identity is not read', async () => {
    await withLog(async ({ log, start, open }) => {
      await expect(open({ ...start, identity: 'mysql 4711' })).rejects.toMatchObject(lost(/4711/));
      await run(`DELETE FROM ${log.layout.quotedDatabase}.log_stream`);
      await expect(open(start)).rejects.toMatchObject(lost(/does not know/));
    });
  });

  test('rows that a statement changed stop the reader, if they may be ours', async () => {
    await withLog(async ({ log, open }) => {
      await run('CREATE TABLE plain (id int PRIMARY KEY)');
      await run('CREATE TABLE fires (id int PRIMARY KEY)');
      await run(
        'CREATE TRIGGER fired AFTER INSERT ON fires FOR EACH ROW INSERT INTO orders VALUES (NEW.id, NULL)',
      );
      const stream = await open();
      const statement = (sql: string): Promise<unknown> =>
        session("SET binlog_format = 'STATEMENT'", sql);
      await statement('INSERT INTO plain VALUES (1)');
      await statement('UPDATE plain SET id = 2 WHERE id = 1');
      await statement('DELETE FROM plain WHERE id = 2');
      await run("INSERT INTO orders VALUES (1, 'x')");
      const first = await collect(log, stream);
      expect(first.changes.map(told)).toEqual(['insert orders (id=1 note=x)']);
      await stream.close();
      let from = first.checkpoint;
      for (const sql of [
        'INSERT INTO fires VALUES (77)',
        "UPDATE orders SET note = 'y'",
        'DELETE o FROM orders o JOIN plain p ON o.id = p.id',
        '/* comment */ REPLACE INTO orders SELECT id, NULL FROM plain',
        "WITH one AS (SELECT 1) SELECT 1; INSERT IGNORE INTO `orders` VALUES (5, 'z')",
      ]) {
        await statement(sql);
        const next = await open(from);
        await expect(readOn(next), sql).rejects.toMatchObject(lost(/STATEMENT format/));
        await next.close();
        const { sequence, text } = await log.source.end();
        from = { ...from, position: { sequence, text }, skip: 0 };
      }
    });
  });

  test('reads on after the connection was cut, where it stood', async () => {
    const proxy = await startTcpProxy({ port: databases.server.port });
    try {
      await withLog(
        async ({ log, open }) => {
          const stream = await open();
          await run("INSERT INTO orders VALUES (1, 'x')");
          const { checkpoint } = await collect(log, stream);
          proxy.cut();
          await run("INSERT INTO orders VALUES (2, 'y')");
          await expect(readOn(stream)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
          await stream.close();
          const again = await open(checkpoint);
          const rest = await collect(log, again);
          expect(rest.changes.map(told)).toEqual(['insert orders (id=2 note=y)']);
          await again.close();
        },
        { url: (url) => proxy.url(url) },
      );
    } finally {
      await proxy.close();
    }
  });

  test('a network that swallows everything is noticed', async () => {
    const proxy = await startTcpProxy({ port: databases.server.port });
    try {
      await withLog(
        async ({ open }) => {
          const stream = await open();
          proxy.freeze();
          const error = expect(readOn(stream, 60_000)).rejects.toMatchObject({
            code: 'STORE_UNAVAILABLE',
            message: expect.stringMatching(/nothing was heard/),
          });
          await error;
          proxy.resume();
        },
        { url: (url) => proxy.url(url) },
      );
    } finally {
      await proxy.close();
    }
  });

  test('a server that is killed and comes back has kept its log', async () => {
    await withLog(async ({ log, open }) => {
      const stream = await open();
      await run("INSERT INTO orders VALUES (1, 'x')");
      const { checkpoint } = await collect(log, stream);
      await run("INSERT INTO orders VALUES (2, 'y')");
      await databases.server.kill();
      await expect(readOn(stream)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await stream.close();
      await databases.server.start();
      await run("INSERT INTO orders VALUES (3, 'z')");
      const again = await open(checkpoint);
      const rest = await collect(log, again);
      expect(rest.changes.map(told)).toEqual([
        'insert orders (id=2 note=y)',
        'insert orders (id=3 note=z)',
      ]);
    });
  });

  test('reads ahead only so far: the server waits while nobody takes', async () => {
    const proxy = await startTcpProxy({ port: databases.server.port });
    try {
      await withLog(
        async ({ log, open, start }) => {
          await run('CREATE TABLE numbers (id int PRIMARY KEY)');
          for (let part = 0; part < 16; part++)
            await run(
              `INSERT INTO orders SELECT ${part} * 65536 + seq, REPEAT('x', 40) FROM seq_0_to_65535`,
            );
          const before = proxy.bytes('down');
          const stream = await open(start, { bytesMax: 1_000_000 });
          await sleep(1_500);
          const ahead = proxy.bytes('down') - before;
          expect(ahead).toBeLessThan(20_000_000);
          const { changes } = await collect(log, stream);
          expect(changes).toHaveLength(16 * 65_536);
          expect(proxy.bytes('down') - before).toBeGreaterThan(45_000_000);
          await stream.close();
        },
        { url: (url) => proxy.url(url) },
      );
    } finally {
      await proxy.close();
    }
  });

  test('settings and privileges that are missing are named with what to do', async () => {
    await run('CREATE TABLE orders (id int PRIMARY KEY)');
    await databases.server.query('SET GLOBAL binlog_row_image = MINIMAL');
    const log = openMysqlLog(databases.url(0), orders);
    await expect(log.source.install(STREAM, 1_000)).rejects.toMatchObject({
      code: 'LOG_UNSUPPORTED',
      message: expect.stringMatching(/binlog_row_image=MINIMAL.*SET GLOBAL binlog_row_image=FULL/),
    });
    await databases.server.query('SET GLOBAL binlog_row_image = FULL');
    await log.close();
    const user = await databases.server.createUser('reader', ['GRANT ALL ON *.*']);
    await databases.server.query(
      `REVOKE BINLOG MONITOR, SUPER, REPLICATION SLAVE ON *.* FROM '${user.name}'@'%'`,
    );
    // Sessions keep the privileges with which they came.
    const install = async (): Promise<void> => {
      const poor = openMysqlLog(databases.server.url(databases.name(0), user), orders);
      await poor.source.install(STREAM, 1_000).finally(() => poor.close());
    };
    await expect(install()).rejects.toMatchObject({
      code: 'LOG_UNSUPPORTED',
      message: expect.stringMatching(/GRANT BINLOG MONITOR/),
    });
    await databases.server.query(`GRANT BINLOG MONITOR ON *.* TO '${user.name}'@'%'`);
    await expect(install()).rejects.toMatchObject({
      code: 'LOG_UNSUPPORTED',
      message: expect.stringMatching(/GRANT REPLICATION SLAVE/),
    });
    await databases.server.query(`GRANT REPLICATION SLAVE ON *.* TO '${user.name}'@'%'`);
    await install();
    await databases.query(0, `DROP DATABASE ${log.layout.quotedDatabase}`);
  });

  test('capture does not begin while a transaction is prepared', async () => {
    await run('CREATE TABLE orders (id int PRIMARY KEY, note varchar(40))');
    await session(
      "XA START 'one'",
      "INSERT INTO orders VALUES (1, 'x')",
      "XA END 'one'",
      "XA PREPARE 'one'",
    );
    const log = openMysqlLog(databases.url(0), orders);
    await expect(log.source.install(STREAM, 200)).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    expect(await log.source.installed()).toEqual([]);
    await run("XA COMMIT 'one'");
    await log.source.install(STREAM, 5_000);
    await run(`DROP DATABASE ${log.layout.quotedDatabase}`);
    await log.close();
  });

  test('the age and the size of what is kept are told', async () => {
    await withLog(async ({ log, start }) => {
      await run('SET GLOBAL binlog_expire_logs_seconds = 10');
      await run("INSERT INTO orders VALUES (1, REPEAT('x', 40))");
      const young = await log.source.retention(STREAM);
      expect(young.state).toBe('kept');
      expect(young.retainedBytes).toBeGreaterThan(100);
      expect(start.position.text).toMatch(/^[^:]+\.\d{6}:\d+@\d+-\d+ 0-\d+-\d+$/);
      await run('SET GLOBAL expire_logs_days = 0');
      await run('SET GLOBAL binlog_expire_logs_seconds = 2');
      await session("SET STATEMENT binlog_format='ROW' FOR INSERT INTO orders VALUES (2, 'x')");
      // A reader keeps the file from going; its age counts all the same.
      const stream = await log.source.open({
        stream: STREAM,
        from: start,
        changesMax: 1,
        bytesMax: 1,
        whole: false,
      });
      await run('FLUSH BINARY LOGS');
      await sleep(2_500);
      expect(['at-risk', 'lost']).toContain((await log.source.retention(STREAM)).state);
      await stream.close();
      await run('SET GLOBAL binlog_expire_logs_seconds = 0');
    });
  });
});

async function readOn(stream: ChangeStream, limitMs = 20_000): Promise<void> {
  const until = performance.now() + limitMs;
  while (performance.now() < until) await stream.next(200);
}
