import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { postgresControl } from '../../src/adapters/postgres/index.ts';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import type { ControlConnector } from '../../src/control/index.ts';
import { initialState, type MigrationState } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';

const databases = withDatabases(1);
let root = '';
/** Where the operator stands, with a configuration that nobody can read and no store anywhere. */
let folder = '';
let file = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'changeover-rollback-'));
});
beforeEach(() => {
  folder = mkdtempSync(join(root, 'f-'));
  writeFileSync(join(folder, 'changeover.config.ts'), 'export default defineMigration({ name: ');
  const elsewhere = mkdtempSync(join(root, 'e-'));
  file = join(elsewhere, 'state.db');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Puts a migration into this state, as if it had come there. */
async function stands(connector: ControlConnector, change: Partial<MigrationState>): Promise<void> {
  const store = await connector.connect(systemRuntime);
  const entry = { actor: 'test', action: 'start', reason: '', detail: {} };
  await store.load('shop');
  expect(await store.commit({ ...initialState('shop'), version: 2, ...change }, entry)).toBe(true);
  await store.close();
}

async function loaded(connector: ControlConnector): Promise<MigrationState> {
  const store = await connector.connect(systemRuntime);
  const state = await store.load('shop');
  await store.close();
  return state;
}

describe('rollback by name and control store, with a corrupt configuration, dead stores and no worker', () => {
  test('brings the reads back in less than a second, and is in the audit', async () => {
    await stands(sqlite({ file }), { phase: 'read-switch', dialBasisPoints: 5_000 });
    const began = performance.now();
    const { code, json } = await cliJson(
      folder,
      ...['rollback', '--name', 'shop', '--control', file, '--reason', 'it is 3 a.m.'],
    );
    expect(performance.now() - began).toBeLessThan(1_000);
    expect([code, json.verdict, json.stateVersion]).toEqual([0, 'done', 3]);
    expect(await loaded(sqlite({ file }))).toMatchObject({
      phase: 'read-switch',
      dialBasisPoints: 0,
    });
    const further = await cli(folder, 'rollback', '--name', 'shop', '--control', file);
    expect([further.code, further.stdout]).toEqual([
      0,
      expect.stringContaining('back in shadow-read'),
    ]);
    const store = await sqlite({ file }).connect(systemRuntime);
    expect(await store.history('shop', 10)).toContainEqual(
      expect.objectContaining({ action: 'rollback', reason: 'it is 3 a.m.' }),
    );
    await store.close();
  });

  test('finds the default control file of the folder', async () => {
    mkdirSync(join(folder, '.changeover'));
    const here = sqlite({ file: join(folder, '.changeover', 'shop.db') });
    await stands(here, { phase: 'shadow-read' });
    expect((await cli(folder, 'rollback', '--name', 'shop', '--to', 'dual-write')).code).toBe(0);
    expect((await loaded(here)).phase).toBe('dual-write');
  });

  test('works with a control store in PostgreSQL', async () => {
    const url = databases.url(0);
    await stands(postgresControl({ url }), { phase: 'read-switch', dialBasisPoints: 100 });
    const { code } = await cli(folder, 'rollback', '--name', 'shop', '--control', url);
    expect(code).toBe(0);
    expect(await loaded(postgresControl({ url }))).toMatchObject({ dialBasisPoints: 0 });
  });

  test('says what is left to do when a goal needs the stores', async () => {
    await stands(sqlite({ file }), { phase: 'read-switch', dialBasisPoints: 100 });
    const { code, json } = await cliJson(
      folder,
      ...['rollback', '--name', 'shop', '--control', file, '--to', 'off'],
    );
    expect([code, json.verdict]).toEqual([6, 'partial']);
    expect(json.data['pending']).toMatch(/reads and writes are on the source; off has to wait/);
    expect(await loaded(sqlite({ file }))).toMatchObject({ phase: 'dual-write' });
  });

  test('after the write switch says that the stores are needed, and changes nothing', async () => {
    await stands(sqlite({ file }), { phase: 'write-switch', epoch: 2 });
    const { code, stderr } = await cli(folder, 'rollback', '--name', 'shop', '--control', file);
    expect([code, stderr]).toEqual([4, expect.stringContaining('needs both stores')]);
    expect(await loaded(sqlite({ file }))).toMatchObject({ phase: 'write-switch', version: 2 });
  });

  test('never makes a new control store, and knows a wrong name', async () => {
    const missing = join(folder, 'no', 'such.db');
    const none = await cli(folder, 'rollback', '--name', 'shop', '--control', missing);
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('no control file')]);
    expect(existsSync(missing)).toBe(false);
    await stands(sqlite({ file }), { phase: 'read-switch' });
    const other = await cli(folder, 'rollback', '--name', 'shopp', '--control', file);
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('knows of no')]);
    const nameless = await cli(folder, 'rollback', '--control', file);
    expect([nameless.code, nameless.stderr]).toEqual([2, expect.stringContaining('needs --name')]);
  });

  test('is offered by the rollback that fails for the configuration, and by its help', async () => {
    const { code, json, stderr } = await cliJson(folder, 'rollback');
    expect([code, json.next]).toEqual([
      2,
      ['changeover rollback --name NAME --control FILE_OR_URL'],
    ]);
    expect(stderr).toBe('');
    expect((await cli(folder, 'rollback')).stderr).toContain('--name NAME --control FILE_OR_URL');
    expect((await cli(folder, 'rollback', '--help')).stdout).toContain('--name shop --control');
  });
});
