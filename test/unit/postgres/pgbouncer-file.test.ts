import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type PgBouncerOptions, pgbouncer } from '../../../src/adapters/postgres/index.ts';
import {
  endpointOf,
  includeText,
  replaceFile,
} from '../../../src/adapters/postgres/pgbouncer-file.ts';
import { serverAccount } from '../../../src/demo/server-account.ts';

const account = process.getuid?.() === 0 ? serverAccount() : undefined;

describe('a connect string of PgBouncer', () => {
  test.each([
    ['host=10.0.0.5', { host: '10.0.0.5', port: 5432, database: 'shop' }],
    ['dbname=other port=6000', { host: null, port: 6000, database: 'other' }],
    [
      "host = h1,h2 dbname='it''s' password='a b' pool_size=5",
      { host: 'h1,h2', port: 5432, database: "it's" },
    ],
    ['host=/run/postgresql dbname=x', { host: '/run/postgresql', port: 5432, database: 'x' }],
  ])('%s', (text, endpoint) => {
    expect(endpointOf('shop', text)).toEqual(endpoint);
  });

  test.each(['', 'nonsense', 'host=a b', 'host=a\nother = host=b', 'postgres://host/db'])(
    'refused: %j',
    (text) => {
      expect(() => endpointOf('shop', text)).toThrow(/is not of the form/);
    },
  );

  test('a refusal does not tell the password', () => {
    expect(() => endpointOf('shop', 'password=geheim nonsense')).not.toThrow(/geheim/);
  });
});

test('names that PgBouncer would not take bare are quoted', () => {
  const text = includeText(
    new Map([
      ['shop', 'host=a'],
      ['my-"shop"', 'host=b'],
    ]),
  );
  expect(text.split('\n').slice(1)).toEqual([
    '[databases]',
    'shop = host=a',
    '"my-""shop""" = host=b',
    '',
  ]);
});

describe('pgbouncer() refuses', () => {
  const good: PgBouncerOptions = {
    admin: 'postgres://admin@host:6432/pgbouncer',
    file: '/etc/pgbouncer/changeover.ini',
    databases: { shop: { source: 'host=a', target: 'host=b' } },
  };
  test.each([
    [{ admin: 'host' }, /"admin" has to be/],
    [{ file: 'changeover.ini' }, /absolute path/],
    [{ databases: {} }, /at least one database/],
    [{ databases: { shop: { source: 'host=a', target: 'host=a port=5432' } } }, /same database/],
  ] as const)('%j', (change, words) => {
    expect(() => pgbouncer({ ...good, ...change })).toThrow(words);
  });

  test('nothing else', () => {
    expect(pgbouncer(good).name).toBe('PgBouncer host:6432');
  });
});

describe('the file is replaced', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'changeover-file-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('in one step, with its mode, and nothing is left beside it', async () => {
    const path = join(folder, 'changeover.ini');
    await writeFile(path, 'old');
    await chmod(path, 0o604);
    await replaceFile(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o604);
    expect(await readdir(folder)).toEqual(['changeover.ini']);
  });

  test('a new one is not for everybody', async () => {
    const path = join(folder, 'changeover.ini');
    await replaceFile(path, 'new');
    expect((await stat(path)).mode & 0o007).toBe(0);
  });

  test('or is left as it was', async () => {
    const path = join(folder, 'a folder');
    await expect(replaceFile(join(path, 'changeover.ini'), 'new')).rejects.toThrow(/ENOENT/);
    expect(await readdir(folder)).toEqual([]);
  });

  test.skipIf(account === undefined).each([
    [0o640, 'old'],
    [0o644, 'new'],
  ] as const)(
    'by somebody who cannot keep its owner, with mode %o: then it is %s',
    async (mode, text) => {
      const path = join(folder, 'changeover.ini');
      await chown(folder, account?.uid ?? 0, account?.gid ?? 0);
      await writeFile(path, 'old');
      await chmod(path, mode);
      const module = new URL('../../../src/adapters/postgres/pgbouncer-file.ts', import.meta.url);
      const code = `import { replaceFile } from ${JSON.stringify(module.href)};
      await replaceFile(${JSON.stringify(path)}, 'new').catch((error) => console.log(error.message));`;
      const { stdout } = spawnSync(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', code],
        { encoding: 'utf8', uid: account?.uid ?? 0, gid: account?.gid ?? 0 },
      );
      expect(stdout).toMatch(text === 'old' ? /cannot keep that.*chgrp/ : /^$/);
      expect(await readFile(path, 'utf8')).toBe(text);
      expect(await readdir(folder)).toEqual(['changeover.ini']);
    },
  );
});
