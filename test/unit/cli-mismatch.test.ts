import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig, openMigration } from '../../src/config/index.ts';
import type { Mismatch } from '../../src/control/index.ts';
import { cli, cliJson } from '../support/cli.ts';

/** Stores that are down do not matter to what people decide: nothing listens at this port. */
const NOBODY = 'postgres://localhost:1/nothing';
let folder = '';

const seen = (key: string, change: Partial<Mismatch> = {}): Mismatch => ({
  collection: 'people',
  key: JSON.stringify([key]),
  kind: 'different',
  class: 'collation',
  status: 'open',
  detector: 'verify',
  differences: [
    { field: 'name', expected: 'Ada', actual: 'ada', class: 'collation' },
    { field: 'email', expected: 'Ada@example.org', actual: 'ada@example.org', class: 'collation' },
  ],
  firstSeenMs: 1_763_700_000_000 + Number(key),
  lastSeenMs: 1_763_700_000_000 + Number(key),
  rechecks: 3,
  note: '',
  ...change,
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'changeover-mismatch-'));
  writeFileSync(
    join(folder, 'changeover.config.mts'),
    `import { defineMigration } from 'changeover';
import { postgres } from 'changeover/postgres';
const people = { table: 'people', key: ['id'] };
export default defineMigration({
  name: 'shop',
  source: postgres({ url: '${NOBODY}' }),
  target: postgres({ url: '${NOBODY}' }),
  collections: { people: { source: people, target: people, redact: ['email'] } },
});
`,
  );
  const { definition } = await loadConfig(folder);
  const migration = await openMigration(definition, { folder });
  await migration.control.mismatches.record('shop', [
    seen('1'),
    seen('2'),
    seen('3', { kind: 'missing', class: 'missing', differences: [], detector: 'shadow-read' }),
    seen('4', { status: 'suspect' }),
  ]);
  await migration.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = async (...argv: readonly string[]): Promise<string> => {
  const { stdout, stderr } = await cli(folder, 'mismatch', ...argv);
  return stdout + stderr;
};

describe('what differs, on the command line', () => {
  test('a list says class and fields, and no values', async () => {
    const listed = await run('list', '--status', 'unexplained');
    expect(listed).toMatch(/open +collation +people +1 .* name, email/);
    expect(listed).toMatch(/open +missing +people +3 /);
    expect(listed).toContain('3 mismatches unexplained, 0 explained, 1 key to be rechecked.');
    expect(listed).not.toMatch(/Ada|example/);
    const { json, code } = await cliJson(folder, 'mismatch', 'list', '--class', 'missing');
    expect(code).toBe(1);
    expect(json.data).toMatchObject({ open: 3, mismatches: [{ key: '["3"]' }] });
  });

  test('pages go on where the last one ended', async () => {
    const first = await cliJson(folder, 'mismatch', 'list', '--limit', '2');
    const after = String(first.json.data['after']);
    const second = await cliJson(folder, 'mismatch', 'list', '--limit', '2', '--after', after);
    const keys = [first, second].flatMap(({ json }) =>
      (json.data['mismatches'] as { key: string }[]).map(({ key }) => key),
    );
    expect(keys).toEqual(['["1"]', '["2"]', '["3"]', '["4"]']);
    expect(await run('list', '--after', 'x')).toContain('--after takes');
  });

  test('they are counted by class, field and collection', async () => {
    expect(await run('list', '--by', 'class')).toMatch(/collation +2 +0 +email, name +case or acc/);
    expect(await run('list', '--by', 'field')).toMatch(/email +2 +0 +collation/);
    expect(await run('list', '--by', 'collection')).toMatch(/people +3 +0/);
  });

  test('one is shown with its cause and what to do, its values only when asked for, and that is recorded', async () => {
    const shown = await run('show', 'people', '1');
    expect(shown).toContain('people 1: open. case or accents (collation).');
    expect(shown).toMatch(/name +should be \(3 characters\) +is \(3 characters\)/);
    expect(shown).toContain('What to do:');
    const asked = await run('show', 'people', '1', '--show-values');
    expect(asked).toContain('"Ada"');
    // A redacted field was never kept: not even then.
    expect(asked).not.toContain('example');
    expect(asked).toMatch(/email +should be #[0-9a-f]{12} \(8–15 characters\)/);
    expect((await cli(folder, 'history')).stdout).toContain('values-shown');
    expect(await run('show', 'people', '99')).toContain('no mismatch of people 99');
  });

  test('explaining is refused with everything that is missing', async () => {
    expect(await run('explain', 'people', '1')).toContain('--reason');
    expect(await run('explain', 'people', '1', '--reason', 'known')).toMatch(
      /people 1 cannot be explained without an owner and a ticket and a day/,
    );
    const late = ['--owner', 'ada', '--ticket', 'T-1', '--until', '2020-01-01', '--reason', 'x'];
    expect(await run('explain', 'people', '1', ...late)).toContain('a day gone by');
    const waits = ['--owner', 'ada', '--ticket', 'T-1', '--until', '2999-01-01', '--reason', 'x'];
    expect(await run('explain', 'people', '4', ...waits)).toContain('not confirmed yet');
    expect(await run('explain', 'people', ...waits)).toContain('Name one key, or choose');
    expect(await run('explain', 'people', '1', '--until', 'soon')).toContain('2026-01-31');
  });

  test('those that look alike are assigned, explained and reopened at once, and the audit knows', async () => {
    const owner = ['--class', 'collation', '--owner', 'grace'];
    expect(await run('assign', 'people', ...owner)).toContain(
      '2 mismatches of people assigned to grace; 3 unexplained in all.',
    );
    const explanation = ['--ticket', 'OPS-7', '--until', '2999-01-31', '--reason', 'folded keys'];
    expect(await run('explain', 'people', '--field', 'name', ...explanation)).toContain(
      '2 mismatches of people explained until 2999-02-01 00:00:00Z; 1 unexplained in all.',
    );
    const shown = await run('show', 'people', '2');
    expect(shown).toContain('Owner grace, ticket OPS-7, until 2999-02-01 00:00:00Z.');
    expect(shown).toContain('Note: folded keys');
    expect(await run('reopen', 'people', '2', '--reason', 'not so')).toContain(
      '1 mismatch of people reopened; 2 unexplained in all.',
    );
    const { json } = await cliJson(folder, 'history');
    const lines = (json.data as unknown as { entries?: unknown }).entries ?? json.data;
    expect(JSON.stringify(lines)).toMatch(/mismatch-explained.*OPS-7/);
  });
});
