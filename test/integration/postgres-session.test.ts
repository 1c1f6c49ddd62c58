import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import {
  openPostgresSession,
  type PostgresSession,
} from '../../src/adapters/postgres/postgres-session.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withClient, withDatabases } from '../support/databases.ts';
import { aWrite, storesOn } from '../support/postgres-store.ts';
import { useServer } from '../support/private-postgres.ts';

const databases = withDatabases(1);
const stores = storesOn(() => databases.url(0));
const sessions: PostgresSession[] = [];

function open(options: Parameters<typeof openPostgresSession>[0] = {}): PostgresSession {
  const session = openPostgresSession({ url: databases.url(0), ...options }, systemRuntime);
  sessions.push(session);
  return session;
}
afterEach(async () => {
  await stores.closeAll();
  await Promise.all(sessions.splice(0).map((session) => session.close()));
});

describe('flights', () => {
  test('the first error skips the rest, and the transaction is rolled back', async () => {
    const session = open();
    await session.query('CREATE TABLE a (i int PRIMARY KEY)');
    const failing = session.transaction(
      (transaction) =>
        transaction.run([
          { text: 'INSERT INTO a VALUES (1)' },
          { text: 'INSERT INTO a VALUES (1)' },
          { text: 'INSERT INTO a VALUES (2)' },
        ]),
      { timeoutMs: 5_000 },
    );
    await expect(failing).rejects.toMatchObject({
      code: 'STORE_REJECTED',
      data: { sqlState: '23505', constraint: 'a_pkey' },
    });
    expect((await session.query('SELECT i FROM a')).rows).toEqual([]);
  });

  test('each statement has a snapshot of its own, taken when the one before it has ended', async () => {
    const session = open();
    await session.query('CREATE TABLE s (i int)');
    const holder = await session.begin({ timeoutMs: 5_000 });
    await holder.query('SELECT pg_advisory_xact_lock(4711)');
    const waiting = session.transaction(
      (transaction) =>
        transaction.run([
          { text: 'SELECT pg_advisory_xact_lock(4711)' },
          { text: 'SELECT count(*) FROM s' },
        ]),
      { timeoutMs: 5_000 },
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    await holder.query('INSERT INTO s VALUES (1)');
    await holder.commit();
    expect((await waiting)[1]?.rows).toEqual([['1']]);
  });

  test('statements that failed while being prepared work later on the same connection', async () => {
    const session = open({ poolMax: 1 });
    const text = 'SELECT i FROM not_yet WHERE i = $1::int';
    await expect(session.query(text, ['1'])).rejects.toMatchObject({ code: 'STORE_REJECTED' });
    await session.query('CREATE TABLE not_yet (i int)');
    expect((await session.query(text, ['1'])).rows).toEqual([]);
    await expect(session.query(text, ['x'])).rejects.toMatchObject({ code: 'STORE_REJECTED' });
    expect((await session.query(text, ['1'])).rows).toEqual([]);
    // The type changes under the prepared statement: one conflict, then a new connection.
    await session.query('ALTER TABLE not_yet ALTER i TYPE bigint');
    await session.query(text, ['1']).catch((error) => expect(error.code).toBe('STORE_CONFLICT'));
    expect((await session.query(text, ['1'])).rows).toEqual([]);
  });

  test('a read of several statements sees one moment, and an error leaves the connection usable', async () => {
    const session = open({ poolMax: 1 });
    const broken = session.run([{ text: 'SELECT 1' }, { text: 'SELECT 1/0' }], {
      oneSnapshot: { lockFirst: [] },
    });
    await expect(broken).rejects.toMatchObject({ code: 'STORE_REJECTED' });
    expect((await session.query('SELECT 1')).rows).toEqual([['1']]);
  });

  test('behind a pooler nothing is prepared and the settings go with each flight', async () => {
    const session = open({ pooler: true, poolMax: 1 });
    const { rows } = await session.query(
      `SELECT '2024-01-01 00:00:00+05'::timestamptz, count(*) FROM pg_prepared_statements`,
    );
    expect(rows).toEqual([['2023-12-31 19:00:00+00', '0']]);
  });
});

describe('deadlines', () => {
  test('a statement that is too slow ends with DEADLINE_EXCEEDED and the connection lives', async () => {
    const session = open({ poolMax: 1 });
    const slow = session.query('SELECT pg_sleep(5)', [], { timeoutMs: 50 });
    await expect(slow).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect((await session.query('SELECT 1')).rows).toEqual([['1']]);
  });

  test('a caller that aborts leaves at once', async () => {
    const session = open();
    const abort = new AbortController();
    const started = performance.now();
    const slow = session.query('SELECT pg_sleep(0.5)', [], { signal: abort.signal });
    setTimeout(() => abort.abort(new Error('enough')), 20);
    await expect(slow).rejects.toThrow('enough');
    expect(performance.now() - started).toBeLessThan(400);
  });

  test('waiting for a connection has an end', async () => {
    const session = open({ poolMax: 1, connectTimeoutMs: 100 });
    const held = await session.begin({ timeoutMs: 5_000 });
    await expect(session.query('SELECT 1')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await held.rollback();
    expect((await session.query('SELECT 1')).rows).toEqual([['1']]);
  });

  test('a hung server keeps nobody beyond the deadline, and the store works when it wakes up', async () => {
    const server = await useServerOnce();
    const store = await stores.open({ t: { table: 't', key: ['id'] } }, { url: server.url() });
    await withClient(server.url(), (client) =>
      client.query('CREATE TABLE t (id int PRIMARY KEY, v text)'),
    );
    await store.setup.install('authority', 1);
    await store.records.write(aWrite('t', ['1'], { v: 'a' }));
    server.pause();
    const started = performance.now();
    try {
      const write = store.records.write(aWrite('t', ['1'], { v: 'b' }, { timeoutMs: 300 }));
      await expect(write).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      expect(performance.now() - started).toBeLessThan(800);
    } finally {
      server.resume();
    }
    const [answer] = await store.records.read('t', [['1']]);
    expect(answer?.record).toEqual({ id: '1', v: 'a' });
    await store.close();
  });
});

const privateServer = useServer();
const useServerOnce = (): typeof privateServer => privateServer;

describe('outcomes of COMMIT', () => {
  /** A proxy that can stop passing on what the server says. */
  async function proxyTo(
    url: string,
  ): Promise<{ url: string; deafen(): void; close(): Promise<void> }> {
    const to = new URL(url);
    const sockets = new Set<Socket>();
    let deaf = false;
    const server: Server = createServer((client) => {
      const upstream = netConnect(Number(to.port), to.hostname);
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.on('error', () => {});
      }
      client.on('data', (data) => upstream.write(data));
      upstream.on('data', (data) => {
        if (!deaf) client.write(data);
      });
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const via = new URL(url);
    via.hostname = '127.0.0.1';
    via.port = String((server.address() as { port: number }).port);
    return {
      url: via.href,
      deafen: () => {
        deaf = true;
      },
      close: () =>
        new Promise((resolve) => {
          for (const socket of sockets) socket.destroy();
          server.close(() => resolve());
        }),
    };
  }

  test('COMMIT without an answer is an unknown outcome, and here the write has happened', async () => {
    await databases.query(0, 'CREATE TABLE c (id int PRIMARY KEY, v text)');
    const proxy = await proxyTo(databases.url(0));
    const store = await stores.open({ c: { table: 'c', key: ['id'] } }, { url: proxy.url });
    await store.setup.install('authority', 1);
    const write = store.records.write(
      aWrite('c', ['1'], { v: 'a' }, { timeoutMs: 400, beforeCommit: async () => proxy.deafen() }),
    );
    await expect(write).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(await databases.query(0, 'SELECT v FROM c')).toEqual([{ v: 'a' }]);
    expect(await databases.query(0, 'SELECT key FROM changeover_shop_source.queue')).toEqual([
      { key: '["1"]' },
    ]);
    await store.close();
    await proxy.close();
  });

  test('a backend that is killed before COMMIT is sent is a definite no', async () => {
    const session = open();
    await session.query('CREATE TABLE k (i int)');
    const transaction = await session.begin({ timeoutMs: 2_000 });
    const { rows } = await transaction.query('INSERT INTO k VALUES (1) RETURNING pg_backend_pid()');
    await databases.query(0, 'SELECT pg_terminate_backend($1::int)', [rows[0]?.[0]]);
    await expect(transaction.query('SELECT 1')).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    await expect(transaction.commit()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect((await session.query('SELECT i FROM k')).rows).toEqual([]);
  });

  test('a constraint that is checked at COMMIT is a rejection, not an unknown outcome', async () => {
    const session = open();
    await session.query('CREATE TABLE d (i int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
    const twice = session.transaction(
      (transaction) => transaction.query('INSERT INTO d VALUES (1), (1)'),
      { timeoutMs: 2_000 },
    );
    await expect(twice).rejects.toMatchObject({
      code: 'STORE_REJECTED',
      data: { sqlState: '23505' },
    });
    expect((await session.query('SELECT 1')).rows).toEqual([['1']]);
  });
});

describe('addresses', () => {
  const context = {
    migration: 'shop',
    side: 'source',
    shapes: new Map(),
    runtime: systemRuntime,
  } as const;

  test('an address that is none is refused at once, without its password', () => {
    for (const url of ['', 'not a url with pa55', 'mysql://u:pa55@h/d']) {
      expect(() => postgres({ url })).toThrow(/CONFIG_INVALID/);
      expect(() => postgres({ url })).not.toThrow(/pa55/);
    }
    expect(postgres({ url: 'postgres://u:pa55@h:1/d' }).display).toBe('postgres://u@h:1/d');
  });

  test('wrong port, database and password are STORE_UNAVAILABLE, and a finding of the preflight', async () => {
    const wrongPort = new URL(databases.url(0));
    wrongPort.port = '1';
    const wrongDatabase = new URL(databases.url(0));
    wrongDatabase.pathname = '/nope';
    for (const url of [wrongPort, wrongDatabase]) {
      const store = await postgres({ url: url.href }).connect(context);
      const [finding] = await store.setup.inspect('authority');
      expect(finding).toMatchObject({ id: 'postgres/connection', verdict: 'fail' });
      expect(finding?.message).toMatch(/STORE_UNAVAILABLE/);
      await expect(store.setup.objects()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await store.close();
      await store.close();
      await expect(store.setup.objects()).rejects.toMatchObject({ code: 'CLOSED' });
    }
  });

  test('missing privileges are findings with the statement that grants them', async () => {
    const role = `poor_${process.pid}`;
    await databases.query(
      0,
      `CREATE TABLE poor (id text PRIMARY KEY, must int NOT NULL); CREATE TABLE heir () INHERITS (poor); CREATE ROLE ${role} LOGIN; GRANT SELECT ON poor TO ${role}`,
    );
    try {
      const url = new URL(databases.url(0));
      url.username = role;
      url.password = '';
      const store = await stores.open(
        { poor: { table: 'poor', key: ['id'], columns: ['id'] } },
        { url: url.href, migration: 'other' },
      );
      const findings = await store.setup.inspect('follower');
      const fixes = findings
        .filter(({ verdict }) => verdict === 'fail')
        .map(({ id, fix }) => `${id} ${fix}`);
      expect(fixes).toEqual([
        expect.stringMatching(
          /^postgres\/create-privilege GRANT CREATE ON DATABASE "test_.*" TO "poor_/,
        ),
        expect.stringMatching(
          /^postgres\/privilege GRANT INSERT, UPDATE, DELETE, TRIGGER ON "public"."poor" TO "poor_/,
        ),
        expect.stringMatching(/^postgres\/ownership ALTER TABLE "public"."poor" OWNER TO "poor_/),
        expect.stringMatching(/^postgres\/ownership ALTER TABLE "public"."heir" OWNER TO "poor_/),
        expect.stringMatching(/^postgres\/inheritance /),
        expect.stringMatching(/^postgres\/not-null Add "must"/),
      ]);
    } finally {
      await stores.closeAll();
      await databases.query(0, `DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});
