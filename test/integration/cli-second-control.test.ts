import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig, openMigration } from '../../src/config/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';

const databases = withDatabases(2);
let right = '';
let wrong = '';

beforeAll(async () => {
  right = mkdtempSync(join(tmpdir(), 'changeover-right-'));
  wrong = mkdtempSync(join(tmpdir(), 'changeover-wrong-'));
  for (const index of [0, 1])
    await databases.query(index, 'create table customers (id bigint primary key, name text)');
  writeFileSync(
    join(right, 'changeover.config.ts'),
    `import { defineMigration } from 'changeover';
import { postgres } from 'changeover/postgres';
export default defineMigration({
  name: 'shop',
  source: postgres({ url: '${databases.url(0)}' }),
  target: postgres({ url: '${databases.url(1)}' }),
  collections: { customers: {} },
});
`,
  );
  cpSync(join(right, 'changeover.config.ts'), join(wrong, 'changeover.config.ts'));
});
afterAll(() => {
  for (const folder of [right, wrong]) rmSync(folder, { recursive: true, force: true });
});

test('the same configuration in two folders is found out by every command that matters', async () => {
  expect((await cli(right, 'start')).code).toBe(0);
  const status = await cliJson(wrong, 'status');
  expect([status.code, status.json.verdict, status.json.data['foreign']]).toMatchObject([
    4,
    'refused',
    { side: 'source', authority: 'source' },
  ]);
  const loud = (await cli(wrong, 'status')).stdout;
  expect(loud).toMatch(/^WRONG CONTROL STORE\n {2}The guard in the source is authority in epoch 1/);
  expect(loud).toContain('writes belong to the source');
  for (const verb of [['plan'], ['start', '--reconcile'], ['abort', '--yes'], ['decommission']]) {
    const { code, json } = await cliJson(wrong, ...verb);
    expect([verb, code, json.data['code']]).toEqual([verb, 4, 'CONTROL_MISMATCH']);
  }
  const consent = await cliJson(wrong, 'start', '--truncate-target', '--yes');
  expect(consent.json.data['code']).toBe('CONTROL_MISMATCH');
  const check = await cliJson(wrong, 'check');
  expect([check.code, JSON.stringify(check.json.data)]).toEqual([
    1,
    expect.stringContaining('control/mismatch'),
  ]);
  const { code, stdout } = await cli(right, 'status');
  expect([code, stdout]).toEqual([0, expect.not.stringContaining('WRONG')]);
});

test('an application with an old copy of the control store does not open', async () => {
  cpSync(join(right, '.changeover'), join(wrong, '.changeover'), { recursive: true });
  // What a change of authority leaves in the store that was the authority.
  await databases.query(0, `update changeover_shop_source.guard set role = 'follower', epoch = 2`);
  const { definition } = await loadConfig(wrong);
  const migration = await openMigration(definition);
  await expect(createRouter(migration)).rejects.toMatchObject({ code: 'CONTROL_MISMATCH' });
  await migration.close();
  expect((await cli(wrong, 'run')).stderr).toContain('old copy');
});

test('when the right one is lost for good, abort --take-over removes what it left', async () => {
  rmSync(join(wrong, '.changeover'), { recursive: true });
  expect((await cli(wrong, 'abort', '--take-over', '--yes')).code).toBe(2);
  const taken = await cliJson(
    wrong,
    ...['abort', '--take-over', '--yes', '--reason', 'the disk is gone, all is stopped'],
  );
  expect([taken.code, taken.json.data['left']]).toEqual([0, { source: [], target: [] }]);
  expect((await cli(wrong, 'start')).code).toBe(0);
  expect((await cli(wrong, 'abort', '--yes')).code).toBe(0);
});
