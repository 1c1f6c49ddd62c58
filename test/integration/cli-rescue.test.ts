import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig, openMigration } from '../../src/config/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { query, withDatabases } from '../support/databases.ts';
import { by, pass } from '../support/memory-migration.ts';
import { write } from '../support/rescue-rig.ts';

const databases = withDatabases(2);
let root = '';
let folder = '';

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'changeover-cli-rescue-'));
  folder = join(root);
  for (const url of databases.urls)
    await query(url, 'create table items (id bigint primary key, name text)');
  writeFileSync(
    join(folder, 'changeover.config.ts'),
    `import { defineMigration } from 'changeover';
import { postgres } from 'changeover/postgres';

export default defineMigration({
  name: 'shop',
  source: postgres({ url: '${databases.url(0)}' }),
  target: postgres({ url: '${databases.url(1)}' }),
  collections: { items: {} },
});
`,
  );
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('goes back by the command line, and decides what is left behind', async () => {
  const refused = await cliJson(folder, 'rescue', '--dry-run');
  expect([refused.code, refused.json.verdict]).toEqual([1, 'no']);
  expect(refused.json.data['refusal']).toMatch(/changeover rollback/);
  expect((await cli(folder, 'start')).code).toBe(0);
  const { definition, folder: home } = await loadConfig(folder);
  const context = await openMigration(definition, { folder: home });
  try {
    await pass(
      context,
      { type: 'advance', to: 'backfill' },
      { type: 'advance', to: 'shadow-read' },
      { type: 'advance', to: 'read-switch' },
    );
    await switchAuthority(context, { to: 'target', phaseAfter: 'write-switch', ...by });
    for (const id of ['1', '2', '3']) await write(context, 'target', id, `lost ${id}`);
    const plan = await cliJson(folder, 'rescue', '--dry-run');
    expect([plan.code, plan.json.verdict]).toEqual([0, 'yes']);
    expect(plan.json.data).toMatchObject({
      possible: true,
      targetAnswers: true,
      target: { queue: { waiting: 3, dead: 0 } },
    });
    const forced = await cli(folder, 'rescue', '--dry-run', '--target-unreachable');
    expect(forced.stdout).toMatch(/The target answers, but .* NOT sealed/);
    expect((await cli(folder, 'rescue')).stderr).toMatch(/needs --reason/);
    const asked = await cli(folder, 'rescue', '--reason', 'the reverse direction fails');
    expect([asked.code, asked.stdout]).toEqual([4, expect.stringContaining('3 changes waiting')]);
    const reason = ['--reason', 'the reverse direction fails'];
    const done = await cliJson(folder, 'rescue', '--yes', ...reason);
    expect([done.code, done.json.verdict]).toEqual([0, 'done']);
    expect(done.json.data['state']).toMatchObject({ phase: 'read-switch', formatVersion: 2 });
    expect((await cli(folder, 'status')).stdout).toMatch(/the gap of rescue .* is open/);
    expect((await cliJson(folder, 'rescue', 'list')).json.verdict).toBe('unknown');
    await write(context, 'source', '1', 'new 1');
    const collected = await cliJson(folder, 'rescue', 'collect');
    expect(collected.json.data).toMatchObject({ outcome: 'collected', counts: { open: 3 } });
    const preview = await cliJson(folder, 'rescue', 'preview');
    expect(preview.json.data['counts']).toMatchObject({ put: 2, conflict: 1 });
    const discard = await cliJson(folder, 'dlq', 'discard', '--all', '--yes', ...reason);
    expect([discard.code, discard.json.verdict]).toEqual([4, 'refused']);
    const applied = await cliJson(folder, 'rescue', 'apply', ...reason);
    expect([applied.code, applied.json.verdict]).toEqual([6, 'partial']);
    const listed = await cli(folder, 'rescue', 'list', '--status', 'conflict');
    expect([listed.code, listed.stdout]).toEqual([1, expect.stringContaining('items')]);
    expect(listed.stdout).not.toContain('lost 1');
    const shown = await cli(folder, 'rescue', 'show', 'items', '1', '--show-values');
    expect(shown.stdout).toMatch(/target "lost 1" +source "new 1"/);
    expect((await cli(folder, 'rescue', 'resolve', 'items', '1', '--take', 'target')).code).toBe(2);
    const resolved = await cliJson(
      folder,
      ...['rescue', 'resolve', 'items', '1', '--take', 'target', ...reason],
    );
    expect([resolved.code, resolved.json.data['gap']]).toEqual([0, null]);
    const rows = await query(databases.url(0), 'select name from items order by id');
    expect(rows.map(({ name }) => name)).toEqual(['lost 1', 'lost 2', 'lost 3']);
    const history = await cliJson(folder, 'history');
    expect(JSON.stringify(history.json.data)).toContain('rescue-resolve');
    const { attempt } = done.json.data['rescue'] as { readonly attempt: string };
    const earlier = await cliJson(folder, 'rescue', 'list', '--rescue', attempt);
    expect(earlier.json.data['counts']).toMatchObject({ applied: 2, 'taken-target': 1 });
    expect((await cliJson(folder, 'rescue', 'list')).json.verdict).toBe('refused');
  } finally {
    await context.close();
  }
});
