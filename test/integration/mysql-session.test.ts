import { afterEach, describe, expect, test, vi } from 'vitest';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import type { MysqlOptions } from '../../src/adapters/mysql/mysql-options.ts';
import { type MysqlSession, openMysqlSession } from '../../src/adapters/mysql/mysql-session.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const sleep = (ms: number): Promise<void> => systemRuntime.clock.sleep(ms);

describe.skipIf(missingMariadb())('a session with MariaDB', () => {
  // Whatever the server is set to, our answers are the same.
  const databases = withMariadb(1, {
    settings: {
      sql_mode: 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH',
      default_time_zone: '-03:00',
      transaction_isolation: 'SERIALIZABLE',
      max_allowed_packet: '1M',
    },
  });
  const stores = mysqlStoresOn(() => databases.url(0));
  const sessions: MysqlSession[] = [];
  function open(options: MysqlOptions = {}): MysqlSession {
    const session = openMysqlSession({ url: databases.url(0), ...options }, systemRuntime, 'ours');
    sessions.push(session);
    return session;
  }
  afterEach(async () => {
    await stores.closeAll();
    await Promise.all(sessions.splice(0).map((session) => session.close()));
  });
  const value = async (session: Pick<MysqlSession, 'query'>, expression: string) =>
    (await session.query(`SELECT ${expression}`)).rows[0]?.[0];

  describe('flights', () => {
    test('the first error skips the rest, and the transaction is rolled back', async () => {
      const session = open();
      await session.query('CREATE TABLE a (i int PRIMARY KEY)');
      const failing = session.transaction(
        (transaction) =>
          transaction.run([
            'INSERT INTO a VALUES (1)',
            'INSERT INTO a VALUES (1)',
            'INSERT INTO a VALUES (2)',
          ]),
        { timeoutMs: 5_000 },
      );
      await expect(failing).rejects.toMatchObject({
        code: 'STORE_REJECTED',
        data: { errno: 1062, constraint: 'PRIMARY', waits: true },
      });
      expect((await session.query('SELECT i FROM a')).rows).toEqual([]);
    });

    test('after a deadlock the transaction sends nothing more: it would commit by itself', async () => {
      const session = open();
      await session.run(['CREATE TABLE d (i int PRIMARY KEY)', 'INSERT INTO d VALUES (1), (2)']);
      const one = await session.begin({ timeoutMs: 10_000 });
      const two = await session.begin({ timeoutMs: 10_000 });
      await one.query('UPDATE d SET i = 1 WHERE i = 1');
      await two.query('UPDATE d SET i = 2 WHERE i = 2');
      await two.query('INSERT INTO d VALUES (3)');
      const crossed = [
        one.query('SELECT * FROM d WHERE i = 2 FOR UPDATE'),
        two.query('SELECT * FROM d WHERE i = 1 FOR UPDATE'),
      ];
      const outcomes = await Promise.allSettled(crossed);
      const loser = outcomes.findIndex(({ status }) => status === 'rejected');
      const failed = [one, two][loser];
      expect((outcomes[loser] as PromiseRejectedResult).reason).toMatchObject({
        code: 'STORE_CONFLICT',
        data: { errno: 1213 },
      });
      await expect(failed?.query('INSERT INTO d VALUES (9)')).rejects.toMatchObject({
        code: 'STORE_CONFLICT',
      });
      await Promise.all([one.rollback(), two.rollback()]);
      expect((await session.query('SELECT i FROM d')).rows).toEqual([['1'], ['2']]);
    });

    test('settings are ours, whatever the server is set to', async () => {
      const session = open();
      const [settings] = (
        await session.query(
          `SELECT @@sql_mode, @@time_zone, @@tx_isolation, @@autocommit, 'a\\'b', HEX('é')`,
        )
      ).rows;
      expect(settings?.slice(1)).toEqual(['+00:00', 'READ-COMMITTED', '1', "a'b", 'C3A9']);
      expect(settings?.[0]).toContain('STRICT_ALL_TABLES');
      expect(settings?.[0]).not.toContain('ANSI_QUOTES');
    });

    test('a mark is there in its transaction and nowhere else, on the same connection', async () => {
      const session = open({ poolMax: 1 });
      const marks = 'CONCAT_WS(",", @changeover_mark, @changeover_owner, @changeover_record)';
      const inside = await session.transaction(
        async (transaction) => {
          await transaction.query(`SET @changeover_record = 'x'`);
          return (await transaction.query(`SELECT ${marks}`)).rows[0]?.[0];
        },
        { timeoutMs: 5_000, mark: 'door:7' },
      );
      expect(inside).toBe('door:7,ours,x');
      expect(await value(session, marks)).toBe('');
      const next = session.transaction((transaction) => value(transaction, marks), {
        timeoutMs: 5_000,
      });
      expect(await next).toBe('');
    });

    test('a flight beyond max_allowed_packet goes in several, a single statement is refused', async () => {
      const session = open({ poolMax: 1 });
      await session.query('CREATE TABLE big (i int PRIMARY KEY, v longtext)');
      const rows = Array.from(
        { length: 5 },
        (_, index) => `INSERT INTO big VALUES (${index}, '${'x'.repeat(400_000)}')`,
      );
      const results = await session.transaction((transaction) => transaction.run(rows), {
        timeoutMs: 10_000,
      });
      expect(results.map(({ count }) => count)).toEqual([1, 1, 1, 1, 1]);
      expect(await value(session, 'SUM(LENGTH(v)) FROM big')).toBe('2000000');
      const long = session.query(`SELECT '${'é'.repeat(600_000)}'`);
      await expect(long).rejects.toMatchObject({ code: 'STORE_REJECTED' });
      await expect(long).rejects.toThrow(/max_allowed_packet is 1048576/);
      expect(await value(session, '1')).toBe('1');
    });

    test('a read of several statements sees one moment and writes nothing', async () => {
      const session = open({ poolMax: 1 });
      await session.query('CREATE TABLE s (i int)');
      const writing = session.run(['INSERT INTO s VALUES (1)'], { oneSnapshot: true });
      await expect(writing).rejects.toMatchObject({ code: 'STORE_REJECTED' });
      expect(await value(session, 'COUNT(*) FROM s')).toBe('0');
      expect(await value(session, '@@in_transaction')).toBe('0');
    });

    test('errors name places and no values', async () => {
      const session = open();
      await session.query('CREATE TABLE e (i int, u varchar(5) UNIQUE, d datetime)');
      await session.query(`INSERT INTO e VALUES (1, 'se''cr', NULL)`);
      const failing = [
        [`INSERT INTO e VALUES ('secret', 'a', NULL)`, /column "i"/],
        [`INSERT INTO e VALUES (1, 'se''cr', NULL)`, /key "u"/],
        [`INSERT INTO e VALUES (1, 'secret', NULL)`, /'u'/],
        [`INSERT INTO e VALUES (1, 'b', 'secret')`, /column "d"/],
        [`SELECT secret secret secret 'secret'`, /syntax/],
      ] as const;
      for (const [text, place] of failing) {
        const error = await session.query(text).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: 'STORE_REJECTED' });
        expect(String(error)).toMatch(place);
        expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toMatch(/sec|se'cr/);
      }
    });
  });

  describe('deadlines', () => {
    test('a statement that is too slow ends with DEADLINE_EXCEEDED and the connection lives', async () => {
      const session = open({ poolMax: 1 });
      const slow = session.query('SELECT SLEEP(5)', { timeoutMs: 50 });
      await expect(slow).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(await value(session, '1')).toBe('1');
    });

    test('a wait for a lock ends with the transaction that waits', async () => {
      const session = open();
      await session.run(['CREATE TABLE l (i int PRIMARY KEY)', 'INSERT INTO l VALUES (1)']);
      const holder = await session.begin({ timeoutMs: 10_000 });
      await holder.query('SELECT i FROM l FOR UPDATE');
      const started = performance.now();
      const waiting = session.transaction((one) => one.query('SELECT i FROM l FOR UPDATE'), {
        timeoutMs: 300,
      });
      await expect(waiting).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(performance.now() - started).toBeLessThan(900);
      await holder.rollback();
    });

    test('a caller that aborts leaves at once', async () => {
      const session = open();
      const abort = new AbortController();
      const started = performance.now();
      const slow = session.query('SELECT SLEEP(0.5)', { signal: abort.signal });
      setTimeout(() => abort.abort(new Error('enough')), 20);
      await expect(slow).rejects.toThrow('enough');
      expect(performance.now() - started).toBeLessThan(400);
    });

    test('waiting for a connection has an end', async () => {
      const session = open({ poolMax: 1, connectTimeoutMs: 100 });
      const held = await session.begin({ timeoutMs: 5_000 });
      await expect(session.query('SELECT 1')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await held.rollback();
      expect(await value(session, '1')).toBe('1');
    });

    test('a pool opens no more connections than it may, and closes idle ones', async () => {
      const session = open({ poolMax: 3, idleTimeoutMs: 100 });
      const mine = `FROM information_schema.processlist WHERE db = DATABASE()`;
      await Promise.all(Array.from({ length: 20 }, () => session.query('SELECT SLEEP(0.02)')));
      expect(Number(await value(session, `COUNT(*) ${mine}`))).toBeLessThanOrEqual(3);
      await sleep(300);
      expect(await value(session, `COUNT(*) ${mine}`)).toBe('1');
    });

    test('an idle connection that the server has closed is replaced', async () => {
      const session = open({ poolMax: 1 });
      const id = await value(session, 'CONNECTION_ID()');
      await databases.query(0, `KILL ${id}`);
      await sleep(50);
      expect(await value(session, '1')).toBe('1');
    });

    test('a transaction that its process has abandoned gives its locks up by itself', async () => {
      const session = open();
      await session.run(['CREATE TABLE g (i int PRIMARY KEY)', 'INSERT INTO g VALUES (1)']);
      const abandoned = await session.begin({ timeoutMs: 200 });
      await abandoned.query('SELECT i FROM g FOR UPDATE');
      const waiting = session.query('SELECT i FROM g FOR UPDATE', { timeoutMs: 10_000 });
      expect((await waiting).rows).toEqual([['1']]);
      await abandoned.rollback();
    });

    test('a hung server keeps nobody beyond the deadline, and the store works when it wakes up', async () => {
      await databases.query(0, 'CREATE TABLE t (id int PRIMARY KEY, v text)');
      const store = await stores.open({ t: { table: 't', key: ['id'] } });
      const put = (v: string, timeoutMs: number) =>
        store.records.write({
          collection: 't',
          key: ['1'],
          action: 'put',
          record: { v },
          epoch: 1,
          journal: 'none',
          graceMs: 0,
          timeoutMs,
        });
      await put('a', 5_000);
      databases.server.pause();
      const started = performance.now();
      try {
        await expect(put('b', 300)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
        expect(performance.now() - started).toBeLessThan(800);
      } finally {
        databases.server.resume();
      }
      const [answer] = await store.records.read('t', [['1']]);
      expect(answer?.record).toEqual({ id: '1', v: 'a' });
    });

    test('a hung server keeps no socket of ours, and no caller beyond the close', async () => {
      const sockets = (): number =>
        process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
      // Those of the test before are on their way out.
      await vi.waitFor(() => expect(sockets()).toBe(0), { timeout: 3_500 });
      const session = open({ connectTimeoutMs: 300 });
      const [idle, between, sent] = await Promise.all(
        Array.from({ length: 3 }, () => session.begin({ timeoutMs: 30_000 })),
      );
      for (const one of [idle, between, sent]) await one?.query('SELECT 1');
      await idle?.rollback();
      databases.server.pause();
      try {
        const failed = expect(session.query('SELECT 1', { timeoutMs: 100 })).rejects.toMatchObject({
          code: 'DEADLINE_EXCEEDED',
        });
        const cut = expect(sent?.query('SELECT 1')).rejects.toMatchObject({
          code: 'STORE_UNAVAILABLE',
        });
        await failed;
        await session.close(50);
        await cut;
        // The server is asked to end them, for so long.
        await vi.waitFor(() => expect(sockets()).toBe(0), { timeout: 3_500 });
      } finally {
        databases.server.resume();
      }
      await expect(between?.query('SELECT 1')).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
      });
    });
  });

  describe('outcomes of COMMIT', () => {
    test('COMMIT without an answer is an unknown outcome, and here the write has happened', async () => {
      await databases.query(0, 'CREATE TABLE c (id int PRIMARY KEY)');
      const proxy = await startTcpProxy({ port: databases.server.port });
      const session = open({ url: proxy.url(databases.url(0)) });
      const work = session.transaction(
        async (transaction) => {
          await transaction.query('INSERT INTO c VALUES (1)');
          proxy.freeze('down');
        },
        { timeoutMs: 400 },
      );
      await expect(work).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
      expect(await databases.query(0, 'SELECT id FROM c')).toHaveLength(1);
      await session.close();
      await proxy.close();
    });

    test('a connection that is killed before COMMIT is sent is a definite no', async () => {
      const session = open();
      await session.query('CREATE TABLE k (i int)');
      const transaction = await session.begin({ timeoutMs: 2_000 });
      await transaction.query('INSERT INTO k VALUES (1)');
      const id = await value(transaction, 'CONNECTION_ID()');
      await databases.query(0, `KILL ${id}`);
      await expect(transaction.query('SELECT 1')).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
      });
      await expect(transaction.commit()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      expect((await session.query('SELECT i FROM k')).rows).toEqual([]);
    });
  });

  describe('addresses', () => {
    test('an address that is none is refused at once, without its password', () => {
      for (const url of ['', 'not a url with pa55', 'postgres://u:pa55@h/d']) {
        expect(() => mariadb({ url })).toThrow(/CONFIG_INVALID/);
        expect(() => mariadb({ url })).not.toThrow(/pa55/);
      }
      expect(mariadb({ url: 'mysql://u:pa55@h:1/d' }).display).toBe('mysql://u@h:1/d');
      expect(() => mariadb({ url: 'mysql://h/d?ssl-mode=MAYBE' })).toThrow(/VERIFY_IDENTITY/);
    });

    test('wrong port, database and password are STORE_UNAVAILABLE', async () => {
      const url = databases.url(0);
      const wrong = [{ port: 1 }, { database: 'nope' }, { password: 'wrong' }];
      for (const options of wrong) {
        const session = open({ url, ...options });
        const error = await session.query('SELECT 1').catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' });
        expect(String(error)).not.toContain(databases.server.password);
        await session.close();
        await expect(session.query('SELECT 1')).rejects.toMatchObject({ code: 'CLOSED' });
      }
    });

    test('a password may be fetched for each connection', async () => {
      const { password } = databases.server;
      const session = open({ password: async () => password });
      expect(await value(session, '1')).toBe('1');
    });
  });
});
