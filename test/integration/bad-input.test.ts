import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, cliJson } from '../support/cli.ts';
import { query, withDatabases } from '../support/databases.ts';
import { useServer } from '../support/private-postgres.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const tsconfig = fileURLToPath(new URL('../../tsconfig.json', import.meta.url));
const tsx = import.meta.resolve('tsx');
let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'changeover-bad-input-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface ConfigParts {
  readonly source: string;
  readonly target: string;
  /** Entries of the one collection. */
  readonly body?: string;
  readonly control?: string;
}

/** A folder with a configuration of the collection `customers`. */
function configured({ source, target, body = '', control = '' }: ConfigParts): string {
  const folder = mkdtempSync(join(root, 'c-'));
  writeFileSync(
    join(folder, 'changeover.config.ts'),
    `import { defineMigration } from 'changeover';
import { postgres } from 'changeover/postgres';
import { sqlite } from 'changeover/sqlite';

export default defineMigration({
  name: 'shop',
  source: postgres({ url: '${source}', connectTimeoutMs: 1000 }),
  target: postgres({ url: '${target}', connectTimeoutMs: 1000 }),
  ${control}
  collections: { customers: { ${body} } },
});
void sqlite;
`,
  );
  return folder;
}

describe('addresses', () => {
  const databases = withDatabases(2);
  const customers = 'CREATE TABLE customers (id bigint PRIMARY KEY, name text)';
  beforeAll(async () => {
    for (const side of [0, 1]) await databases.query(side, customers);
  });

  test.each([
    ['mysql://me:s3cret@db/shop', /config\.ts:7: .*begins with "mysql:", not with postgres:\/\//],
    ['me:s3cret@db', /config\.ts:7: .*begins with "me:", not with postgres:\/\//],
  ])(
    '%s is exit 2, with the form that is expected and without the password',
    async (source, message) => {
      const folder = configured({ source, target: databases.url(1) });
      for (const verb of ['check', 'start', 'status']) {
        const { code, stdout, stderr } = await cli(folder, verb);
        expect([verb, code]).toEqual([verb, 2]);
        expect(stderr).toMatch(message);
        expect(stdout + stderr).not.toContain('s3cret');
      }
    },
  );

  test('a port where nobody listens, and a database that is not there, are exit 5 with the address', async () => {
    const wrongPort = new URL(databases.url(0));
    wrongPort.port = '1';
    const wrongDatabase = new URL(databases.url(0));
    wrongDatabase.pathname = '/not_there';
    for (const [source, message] of [
      [wrongPort.href, /ECONNREFUSED 127\.0\.0\.1:1/],
      [wrongDatabase.href, /database "not_there" does not exist/],
    ] as const) {
      const folder = configured({ source, target: databases.url(1) });
      for (const verb of ['check', 'start']) {
        const { code, stdout, stderr } = await cli(folder, verb);
        expect([verb, code]).toEqual([verb, 5]);
        expect(stdout + stderr).toMatch(message);
      }
    }
    expect(
      await cli(configured({ source: databases.url(0), target: databases.url(1) }), 'check'),
    ).toMatchObject({ code: 0 });
  });
});

describe('a server that asks for a password', () => {
  const server = useServer();
  let url = '';
  beforeAll(async () => {
    const running = await server;
    url = await running.createDatabase('guarded');
    await query(url, 'CREATE TABLE customers (id bigint PRIMARY KEY, name text)');
    await query(url, `CREATE ROLE shop LOGIN PASSWORD 'right'`);
    const hba = join(running.dataDir, 'pg_hba.conf');
    const lines = readFileSync(hba, 'utf8');
    writeFileSync(hba, 'host all shop 127.0.0.1/32 scram-sha-256\n');
    appendFileSync(hba, lines);
    await query(url, 'SELECT pg_reload_conf()');
  });

  test('a wrong one is exit 5: it says who was refused, and repeats no password', async () => {
    const wrong = new URL(url);
    wrong.username = 'shop';
    wrong.password = 'wr0ng';
    const folder = configured({ source: wrong.href, target: url });
    for (const verb of ['check', 'start']) {
      const { code, stdout, stderr } = await cli(folder, verb);
      expect([verb, code, stderr]).toEqual([verb, 5, expect.anything()]);
      expect(stdout + stderr).toMatch(/password authentication failed for user "shop"/);
      expect(stdout + stderr).not.toContain('wr0ng');
    }
  });
});

describe('a role with too few rights', () => {
  const databases = withDatabases(2, { scope: 'test' });
  const role = `needy_${process.pid}`;

  test('is told the statements that it needs, and they are enough', async () => {
    for (const side of [0, 1]) {
      await databases.query(side, 'CREATE TABLE customers (id bigint PRIMARY KEY, name text)');
    }
    await databases.query(0, `CREATE ROLE ${role} LOGIN`);
    await databases.query(0, `INSERT INTO customers VALUES (1, 'Ada')`);
    try {
      const [source, target] = databases.urls.map((one) => {
        const url = new URL(one);
        url.username = role;
        return url.href;
      }) as [string, string];
      const body = `source: { table: 'customers', key: ['id'] }, target: { table: 'customers', key: ['id'] }`;
      const folder = configured({ source, target, body });

      const refused = await cliJson(folder, 'start');
      expect(refused.code).toBe(2);
      expect(refused.json.data['message']).toMatch(/permission denied/);
      expect((await cliJson(folder, 'status')).json.data).toMatchObject({
        state: { phase: 'off' },
      });

      const first = await cliJson(folder, 'check');
      expect(first.code).toBe(1);
      type Found = { readonly side: string; readonly verdict: string; readonly fix: string };
      const found = first.json.data['findings'] as readonly Found[];
      for (const { side, verdict, fix } of found) {
        const grant = /^(GRANT .* TO \S+|ALTER TABLE .* OWNER TO "[^"]+")/.exec(fix)?.[1];
        if (verdict === 'pass' || grant === undefined) continue;
        await databases.query(side === 'source' ? 0 : 1, grant);
      }
      const second = await cliJson(folder, 'check');
      expect([second.code, JSON.stringify(second.json.data)]).toEqual([0, expect.anything()]);
      expect((await cli(folder, 'start')).code).toBe(0);
      expect((await cli(folder, 'abort', '--yes')).code).toBe(0);
    } finally {
      for (const side of [0, 1]) await databases.query(side, `DROP OWNED BY ${role} CASCADE`);
      await databases.query(0, `DROP ROLE ${role}`);
    }
  });
});

describe('keys', () => {
  const databases = withDatabases(2, { scope: 'test' });
  const folderOf = (body = ''): string =>
    configured({ source: databases.url(0), target: databases.url(1), body });
  const both = async (sql: string): Promise<void> => {
    for (const side of [0, 1]) await databases.query(side, sql);
  };
  const declared = `source: { table: 'customers', key: ['code'] }, target: { table: 'customers', key: ['code'] }`;

  test('a table without one is refused before anything is installed, with what to declare', async () => {
    await both('CREATE TABLE customers (code text, name text)');
    const bare = await cli(folderOf(), 'start');
    expect([bare.code, bare.stderr]).toEqual([2, expect.stringMatching(/"customers".*key/)]);
    expect(await cli(folderOf(), 'check')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/"customers".*key/),
    });
    const check = await cli(folderOf(declared), 'check');
    expect([check.code, check.stdout]).toEqual([
      1,
      expect.stringMatching(/no primary key or unique|unique index on the key columns/),
    ]);
    const start = await cli(folderOf(declared), 'start');
    expect([start.code, start.stderr]).toEqual([2, expect.stringMatching(/KEY_INVALID/)]);
    expect(
      await databases.query(0, `SELECT 1 FROM pg_namespace WHERE nspname LIKE 'changeover%'`),
    ).toEqual([]);
  });

  test('a unique key that may be NULL is refused, because NULL names no record', async () => {
    await both('CREATE TABLE customers (code text UNIQUE, name text)');
    await databases.query(0, `INSERT INTO customers VALUES (NULL, 'nobody'), ('a', 'somebody')`);
    const check = await cli(folderOf(declared), 'check');
    expect([check.code, check.stdout]).toEqual([1, expect.stringMatching(/NOT NULL/)]);
    const start = await cli(folderOf(declared), 'start');
    expect([start.code, start.stderr]).toEqual([2, expect.stringMatching(/KEY_INVALID/)]);
    expect(await databases.query(0, 'SELECT 1 FROM customers')).toHaveLength(2);
  });
});

describe('the control file', () => {
  const databases = withDatabases(2);
  beforeAll(async () => {
    for (const side of [0, 1])
      await databases.query(side, 'CREATE TABLE customers (id bigint PRIMARY KEY, name text)');
  });

  test('that is no database is named with what to do, by every command, and left as it is', async () => {
    const folder = configured({ source: databases.url(0), target: databases.url(1) });
    const file = join(folder, '.changeover', 'shop.db');
    mkdirSync(join(folder, '.changeover'));
    const garbage = 'this is not a database'.repeat(100);
    writeFileSync(file, garbage);
    for (const verb of ['status', 'start', 'rollback']) {
      const { code, stderr } = await cli(folder, verb);
      expect([verb, code]).toEqual([verb, 2]);
      expect(stderr).toContain(file);
      expect(stderr).toMatch(/not a database/);
    }
    expect(readFileSync(file, 'utf8')).toBe(garbage);
  });

  /** In a process of its own: what is done to the file here must not pull it from under an open connection of ours. */
  function inOwnProcess(
    folder: string,
    ...argv: readonly string[]
  ): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', tsx, main, ...argv],
      {
        cwd: folder,
        env: { ...process.env, TSX_TSCONFIG_PATH: tsconfig },
        encoding: 'utf8',
      },
    );
    return { status, stdout, stderr };
  }

  test('that was cut in the middle of a migration is reported, and comes back from a backup', async () => {
    const folder = configured({ source: databases.url(0), target: databases.url(1) });
    const file = join(folder, '.changeover', 'shop.db');
    const files = [file, `${file}-wal`, `${file}-shm`];
    expect(inOwnProcess(folder, 'start').status).toBe(0);
    const backup = files.flatMap((one) =>
      existsSync(one) ? [[one, readFileSync(one)] as const] : [],
    );
    for (const [one, bytes] of backup) writeFileSync(one, bytes.subarray(0, bytes.length / 2));
    const { status, stderr } = inOwnProcess(folder, 'status');
    expect([2, 5]).toContain(status);
    expect(stderr).toContain(file);
    expect(stderr).toMatch(/damaged|malformed|disk I\/O error/);
    for (const one of files) rmSync(one, { force: true });
    for (const [one, bytes] of backup) writeFileSync(one, bytes);
    expect(JSON.parse(inOwnProcess(folder, 'status', '--json').stdout)).toMatchObject({
      data: { state: { phase: 'dual-write' } },
    });
    expect(inOwnProcess(folder, 'abort', '--yes').status).toBe(0);
  });
});
