import { afterEach, expect, test } from 'vitest';
import type { Finding, MigrationStore } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { storesOn } from '../support/postgres-store.ts';
import { hasPgBouncer, startPrivatePgBouncer } from '../support/private-pgbouncer.ts';

const databases = withDatabases(1, { scope: 'test' });
const stores = storesOn(() => databases.url(0));
const role = `seer_${process.pid}`;
const run = (sql: string): Promise<object[]> => databases.query(0, sql);
afterEach(() => stores.closeAll());

const problems = (findings: readonly Finding[]): Record<string, string> =>
  Object.fromEntries(
    findings
      .filter(({ verdict }) => verdict !== 'pass')
      .map(({ id, verdict }) => [id.replace('postgres/', ''), verdict]),
  );
const open = (table: string, user?: string): Promise<MigrationStore> => {
  const url = new URL(databases.url(0));
  if (user !== undefined) [url.username, url.password] = [user, ''];
  return stores.open({ one: { table, key: ['id'] } }, { url: url.href });
};

test('a plain table of a plain server has nothing to be told of', async () => {
  await run('CREATE TABLE plain (id bigint PRIMARY KEY, name text)');
  const store = await open('plain');
  for (const as of ['authority', 'follower'] as const) {
    // The server of these tests lets transactions be prepared.
    const { 'prepared-transactions': _, ...rest } = problems(await store.setup.inspect(as));
    expect(rest).toEqual({});
  }
});

test('row-level security, UNLOGGED and limits of a role are told, and a role that sees some rows reads none', async () => {
  await run(
    `CREATE ROLE ${role} LOGIN CONNECTION LIMIT 3; ALTER ROLE ${role} SET lock_timeout = 100;
     CREATE TABLE secret (id bigint PRIMARY KEY, owner text); INSERT INTO secret VALUES (1, 'me'), (2, 'you');
     ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON secret USING (owner = 'me');
     GRANT ALL ON secret TO ${role};
     CREATE UNLOGGED TABLE lost (id bigint PRIMARY KEY)`,
  );
  try {
    const seer = await open('secret', role);
    expect(problems(await seer.setup.inspect('authority'))).toMatchObject({
      'row-security': 'fail',
      'session-limits': 'warn',
      connections: 'warn',
    });
    await expect(seer.records.scan('one', { after: null, until: null }, 9)).rejects.toThrow(
      /row-level security/,
    );
    await run(`ALTER ROLE ${role} BYPASSRLS`);
    expect(problems(await seer.setup.inspect('authority'))).not.toHaveProperty('row-security');
    const lost = await open('lost');
    expect(problems(await lost.setup.inspect('follower'))).toMatchObject({ unlogged: 'fail' });
  } finally {
    await stores.closeAll();
    await run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('triggers of the application are told of the follower alone; ours never, nor those that are off', async () => {
  await run(
    `CREATE TABLE parents (id bigint PRIMARY KEY);
     CREATE TABLE plain (id bigint PRIMARY KEY, name text, parent bigint REFERENCES parents);
     CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
     CREATE TRIGGER twice AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION twice()`,
  );
  const store = await open('plain');
  await store.setup.install('authority', 1);
  await store.setup.installCapture('one');
  expect(problems(await store.setup.inspect('authority'))).not.toHaveProperty('trigger');
  const told = async (): Promise<readonly string[]> =>
    (await store.setup.inspect('follower'))
      .filter(({ id }) => id === 'postgres/trigger')
      .map(({ message }) => message);
  expect(await told()).toEqual([expect.stringContaining('"twice"')]);
  await run('ALTER TABLE plain DISABLE TRIGGER twice');
  expect(await told()).toEqual([]);
  await store.setup.uninstall();
});

test('what a table refuses and how large it is, partitions included', async () => {
  await run(
    `CREATE TABLE items (id bigint PRIMARY KEY, code text NOT NULL, price numeric CHECK (price > 0), note text)
       PARTITION BY RANGE (id)`,
  );
  await run(
    `CREATE TABLE part PARTITION OF items DEFAULT; INSERT INTO items SELECT n, n, n FROM generate_series(1, 2000) n;
     CREATE TABLE codes (id bigint PRIMARY KEY, code text UNIQUE, CONSTRAINT short CHECK (length(code) < 9));
     CREATE UNIQUE INDEX ON codes (lower(code))`,
  );
  const [items] = (await (await open('items')).setup.facts?.limits('one')) ?? [];
  expect(items).toMatchObject({ field: null, notNull: ['id', 'code'], unique: [] });
  expect(items?.checks.map(({ condition }) => condition)).toEqual(['(price > (0)::numeric)']);
  expect(items?.bytes).toBeGreaterThan(100_000);
  const [codes] = (await (await open('codes')).setup.facts?.limits('one')) ?? [];
  expect(codes?.unique.map(({ columns }) => columns)).toEqual([['code']]);
  expect(codes?.checks.map(({ name }) => name)).toEqual(['short']);
  const facts = (await open('codes')).setup.facts;
  expect(await facts?.space()).toMatchObject({ freeBytes: null, unread: expect.any(String) });
  expect(Math.abs(((await facts?.now()) ?? 0) - Date.now())).toBeLessThan(5_000);
});

test.skipIf(!hasPgBouncer())('a pooler that the store was not told of is noticed', async () => {
  await run('CREATE TABLE plain (id bigint PRIMARY KEY)');
  const { hostname, port, username, password, pathname } = new URL(databases.url(0));
  const secret = password === '' ? '' : ` password=${password}`;
  const bouncer = await startPrivatePgBouncer({
    databases: `shop = host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${username}${secret}`,
  });
  try {
    const look = async (pooler: boolean) => {
      const shapes = { one: { table: 'plain', key: ['id'] } };
      const store = await stores.open(shapes, { url: bouncer.url('shop'), pooler });
      return problems(await store.setup.inspect('authority'));
    };
    expect(await look(false)).toMatchObject({ pooler: 'warn' });
    expect(await look(true)).not.toHaveProperty('pooler');
  } finally {
    await stores.closeAll();
    await bouncer.stop();
  }
});
