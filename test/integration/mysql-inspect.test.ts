import { afterEach, expect, test } from 'vitest';
import type { Finding, MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1, {
  scope: 'test',
  settings: { binlog_format: 'MIXED', binlog_row_metadata: 'MINIMAL', expire_logs_days: '1' },
});
const stores = mysqlStoresOn(() => databases.url(0));
afterEach(() => stores.closeAll());

const query = (sql: string): Promise<Record<string, string | null>[]> => databases.query(0, sql);
const problems = (findings: readonly Finding[]): Record<string, string> =>
  Object.fromEntries(
    findings
      .filter(({ verdict, fix }) => {
        expect(verdict === 'pass').toBe(fix === '');
        return verdict !== 'pass';
      })
      .map(({ id, verdict }) => [id, verdict]),
  );
const open = (
  table: string,
  more: { key?: readonly string[]; logged?: readonly string[]; url?: string } = {},
): Promise<MigrationStore> => {
  const { key = ['id'], logged = [], url } = more;
  return stores.open({ one: { table, key } }, { logged, ...(url === undefined ? {} : { url }) });
};

test('a plain InnoDB table is fine on both sides', async () => {
  await query('CREATE TABLE plain (id int AUTO_INCREMENT PRIMARY KEY, name text)');
  const store = await open('plain');
  for (const role of ['authority', 'follower'] as const) {
    const found = await store.setup.inspect(role);
    // The server of these tests does not wait for the disk.
    const { 'mysql/flush-at-commit': _, 'mysql/sync-binlog': __, ...rest } = problems(found);
    expect(rest).toEqual(role === 'authority' ? { 'mysql/truncate': 'warn' } : {});
    expect(found.map(({ id }) => id)).toContain('mysql/table');
  }
  const logged = await open('plain', { logged: ['one'] });
  expect(problems(await logged.setup.inspect('authority'))).not.toHaveProperty('mysql/truncate');
  const deferring = problems(await store.setup.inspect('follower', { deferIndexes: 'all' }));
  expect(deferring).toMatchObject({ 'mysql/defer-indexes': 'warn' });
});

test('tables that cannot be migrated are told with the reason', async () => {
  await query('CREATE TABLE old (id int PRIMARY KEY) ENGINE = MyISAM');
  await query('CREATE TABLE kept (id int PRIMARY KEY) WITH SYSTEM VERSIONING');
  await query('CREATE TABLE bare (id int)');
  await query('CREATE TABLE folded (id varchar(9) COLLATE utf8mb4_general_ci PRIMARY KEY)');
  const of = async (table: string): Promise<Record<string, string>> =>
    problems(await (await open(table)).setup.inspect('authority'));
  expect(await of('old')).toMatchObject({ 'mysql/engine': 'fail' });
  expect(await of('kept')).toMatchObject({ 'mysql/kind': 'fail' });
  expect(await of('bare')).toMatchObject({ 'mysql/no-key': 'fail' });
  expect(await of('nothing')).toMatchObject({ 'mysql/table': 'fail' });
  expect(await of('folded')).toMatchObject({ 'mysql/key-collation': 'warn' });
});

test('foreign keys that act by themselves are listed, where nobody would see what they do', async () => {
  await query('CREATE TABLE parents (id int PRIMARY KEY)');
  await query(
    'CREATE TABLE kids (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE ON UPDATE SET NULL)',
  );
  const store = await open('kids');
  const [cascade] = (await store.setup.inspect('authority')).filter(
    ({ id }) => id === 'mysql/cascade',
  );
  expect(cascade).toMatchObject({ verdict: 'warn' });
  expect(cascade?.message).toMatch(/ON DELETE CASCADE, ON UPDATE SET NULL.*binary log/);
  expect(problems(await store.setup.inspect('follower'))).toMatchObject({
    'mysql/foreign-key': 'warn',
  });
  const logged = await open('kids', { logged: ['one'] });
  for (const role of ['authority', 'follower'] as const) {
    const found = await logged.setup.inspect(role);
    expect(problems(found)).not.toHaveProperty('mysql/foreign-key');
    const told = found.find(({ id }) => id === 'mysql/cascade');
    expect(told).toMatchObject({ verdict: 'pass' });
    expect(told?.message).toMatch(/`kids`.*ON DELETE CASCADE.*riggers of ours on .*`parents`/);
  }
  const { name, password } = await databases.server.createUser('narrow', [
    `GRANT ALL ON \`changeover_%\`.*`,
    `GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON ${databases.name(0)}.kids`,
    `GRANT SELECT ON ${databases.name(0)}.parents`,
  ]);
  const url = databases.server.url(databases.name(0), { name, password });
  const narrow = await open('kids', { logged: ['one'], url });
  const lacking = (await narrow.setup.inspect('authority')).filter(
    ({ id }) => id === 'mysql/cascade-privilege',
  );
  expect(lacking).toMatchObject([
    { verdict: 'fail', fix: expect.stringMatching(/^GRANT TRIGGER ON .*`parents` TO/) },
  ]);
  await query('DROP TABLE kids');
});

test('triggers of a follower, and columns that nobody fills, are told', async () => {
  await query('CREATE TABLE plain (id int PRIMARY KEY, needed int NOT NULL)');
  await query('CREATE TRIGGER twice AFTER INSERT ON plain FOR EACH ROW SET @n = 1');
  const store = await stores.open({ one: { table: 'plain', key: ['id'], columns: ['id'] } });
  expect(problems(await store.setup.inspect('follower'))).toMatchObject({
    'mysql/trigger': 'warn',
    'mysql/not-null': 'fail',
  });
  await store.setup.install('authority', 1);
  await store.setup.installCapture('one');
  await query('DROP TRIGGER twice');
  const found = problems(await store.setup.inspect('follower'));
  expect(found).not.toHaveProperty('mysql/trigger');
  await store.setup.uninstall();
});

test('a log that cannot be followed is told only where one is to be followed', async () => {
  await query('CREATE TABLE plain (id int PRIMARY KEY)');
  const without = problems(await (await open('plain')).setup.inspect('authority'));
  expect(Object.keys(without).filter((id) => id.startsWith('mysql/log'))).toEqual([]);
  const store = await open('plain', { logged: ['one'] });
  for (const role of ['authority', 'follower'] as const)
    expect(problems(await store.setup.inspect(role))).toMatchObject({
      'mysql/log-format': 'fail',
      'mysql/log-metadata': 'warn',
      'mysql/log-expiry': 'warn',
    });
});

test('a replica that does not log what it replicates is told', async () => {
  await query('CREATE TABLE plain (id int PRIMARY KEY)');
  const found = async (): Promise<string | undefined> => {
    const store = await open('plain', { logged: ['one'] });
    return problems(await store.setup.inspect('authority'))['mysql/log-replica'];
  };
  expect(await found()).toBe(undefined);
  await query(
    `CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'nobody'`,
  );
  await query('START SLAVE SQL_THREAD');
  try {
    await expect.poll(found).toBe('fail');
  } finally {
    await query('STOP SLAVE');
    await query('RESET SLAVE ALL');
  }
});

test('what a user lacks is told as the statement that grants it', async () => {
  await query('CREATE TABLE plain (id int AUTO_INCREMENT PRIMARY KEY)');
  const name = databases.name(0);
  const user = await databases.server.createUser('poor', [`GRANT SELECT, INSERT ON \`${name}\`.*`]);
  try {
    const url = databases.server.url(name, user);
    const store = await open('plain', { logged: ['one'], url });
    const found = await store.setup.inspect('authority');
    expect(problems(found)).toMatchObject({
      'mysql/create-triggers': 'fail',
      'mysql/own-database': 'fail',
      'mysql/privilege': 'fail',
      'mysql/lock-privilege': 'fail',
      'mysql/alter-privilege': 'warn',
    });
    await stores.closeAll();
    // What they say to do is enough to install and to guard.
    for (const { id, fix } of found)
      if (fix.startsWith('GRANT') && id !== 'mysql/log-privilege')
        await databases.server.query(fix);
    await databases.server.query('SET GLOBAL log_bin_trust_function_creators = 1');
    const granted = await open('plain', { url });
    const after = problems(await granted.setup.inspect('authority'));
    expect(Object.keys(after).filter((id) => /privilege|own|create/.test(id))).toEqual([]);
    await granted.setup.install('authority', 1);
    await granted.setup.installCapture('one');
    const authority = { role: 'authority', epoch: 1, attempt: null } as const;
    const sealed = { role: 'sealed', epoch: 1, attempt: 'a' } as const;
    expect(await granted.guard.change(authority, sealed, 5_000)).toBe(true);
    await granted.setup.uninstall();
    await stores.closeAll();
  } finally {
    await databases.server.query('DROP USER poor');
    await databases.server.query('SET GLOBAL log_bin_trust_function_creators = 0');
  }
});

test('a server that does not answer is one finding', async () => {
  const store = await open('plain', { url: 'mysql://nobody@127.0.0.1:1/x' });
  expect(problems(await store.setup.inspect('authority'))).toEqual({ 'mysql/connection': 'fail' });
});

test('limits of the server and of the user are told, and what a table refuses', async () => {
  await query(
    `CREATE TABLE plain (id int PRIMARY KEY, code varchar(9) NOT NULL UNIQUE, doc json, price int CHECK (price > 0))`,
  );
  const store = await open('plain');
  const limits = (found: Record<string, string>): readonly string[] =>
    ['connections', 'packet-size', 'idle-limit', 'lock-wait', 'replica', 'read-only'].filter(
      (id) => `mysql/${id}` in found,
    );
  expect(limits(problems(await store.setup.inspect('authority')))).toEqual([]);
  const before = await query(
    'SELECT @@global.max_allowed_packet AS p, @@global.wait_timeout AS w, @@global.innodb_lock_wait_timeout AS l, @@global.tx_read_only AS r',
  );
  await query(
    'SET GLOBAL max_allowed_packet = 1048576, GLOBAL wait_timeout = 30, GLOBAL innodb_lock_wait_timeout = 1',
  );
  try {
    const { name, password } = await databases.server.createUser('busy', ['GRANT ALL ON *.*']);
    await query(`ALTER USER '${name}'@'%' WITH MAX_USER_CONNECTIONS 5`);
    await query('SET GLOBAL tx_read_only = 1');
    const url = databases.server.url(databases.name(0), { name, password });
    const narrow = await open('plain', { url });
    expect(limits(problems(await narrow.setup.inspect('follower')))).toEqual([
      'connections',
      'packet-size',
      'idle-limit',
      'lock-wait',
      'read-only',
    ]);
  } finally {
    const [{ p = '', w = '', l = '' } = {}] = before;
    await query(
      `SET GLOBAL tx_read_only = 0, GLOBAL max_allowed_packet = ${p}, GLOBAL wait_timeout = ${w}, GLOBAL innodb_lock_wait_timeout = ${l}`,
    );
  }
  const [table] = (await store.setup.facts?.limits('one')) ?? [];
  expect(table).toMatchObject({ notNull: ['id', 'code'], unique: [{ columns: ['code'] }] });
  expect(table?.checks.map(({ condition }) => condition)).toEqual(['`price` > 0']);
  expect(table?.bytes).toBeGreaterThan(0);
  const space = await store.setup.facts?.space();
  // The plugin DISKS may be there or not: never both, a number and a reason.
  expect(space?.freeBytes === null).toBe(space?.unread !== '');
  expect(Math.abs(((await store.setup.facts?.now()) ?? 0) - Date.now())).toBeLessThan(5_000);
});
