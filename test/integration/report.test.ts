import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { ReportData } from '../../src/report/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';
import { WholeMigration } from '../support/whole-migration.ts';

const databases = withDatabases(2);
const src = fileURLToPath(new URL('../../src', import.meta.url));
const password = 'pass-of-nobody';
let migration: WholeMigration;

/** With a password in the addresses, which trust does not ask for. */
const withPassword = (url = ''): string => {
  const address = new URL(url);
  address.password = password;
  return address.href;
};
const config = (more = ''): string =>
  `import { defineMigration } from '${src}/config/index.ts';
import { postgres } from '${src}/adapters/postgres/index.ts';
export default defineMigration({
  name: 'shop',
  source: postgres({ url: '${withPassword(databases.urls[0])}' }),
  target: postgres({ url: '${withPassword(databases.urls[1])}' }),
  collections: { people: { ignore: { seen: { reason: 'a clock of its own', until: '2999-01-01' } } } },
  gates: { profile: 'demo' }, ${more}
});`;

beforeAll(async () => {
  const table =
    'create table people (id bigint primary key, name text not null, seen timestamptz);';
  await databases.query(
    0,
    `${table} insert into people select g, 'value-of-' || g from generate_series(1, 300) g`,
  );
  await databases.query(1, table);
  migration = new WholeMigration(config());
  await migration.start('--reason', 'ticket <12>');
  const router = await createRouter(migration.migration, { label: 'application' });
  await migration.advance();
  await migration.advance();
  await vi.waitFor(() => expect(router.state().phase).toBe('shadow-read'));
  for (let id = 1; id <= 20; id++) await router.collection('people').get([String(id)]);
  await router.settle(2_000);
  await migration.run('verify');
  await router.close();
  // What it measured last is written when it ends.
  await migration.stopWorker();
  await migration.startWorker();
}, 60_000);
afterAll(() => migration?.close());

async function report(file: string, ...flags: readonly string[]): Promise<ReportData> {
  const json = await migration.run('report', '--out', file, '--actor', 'ann@board', ...flags);
  return json.data['report'] as ReportData;
}
const read = (file: string): string => readFileSync(join(migration.folder, file), 'utf8');

describe('the report of a real migration', { timeout: 60_000 }, () => {
  test('says what was proven, by whom each step was taken, on which evidence, and what was not checked', async () => {
    const data = await report('report.md');
    expect(data.verdict).toMatchObject({
      level: 'proven',
      title: expect.stringMatching(/^Proven equal as of 20/),
    });
    expect(data.history.map(({ from, to }) => `${from} ${to}`)).toEqual([
      'off dual-write',
      'dual-write backfill',
      'backfill shadow-read',
    ]);
    expect(data.history[0]).toMatchObject({ reason: 'ticket <12>' });
    expect(data.history[2]?.gates.map(({ gate, verdict }) => [gate, verdict])).toContainEqual([
      'backfill-complete',
      'pass',
    ]);
    expect(data.proofs).toMatchObject([
      { collections: ['people'], compared: 300, open: 0, extent: 'full', finished: true },
    ]);
    expect(data.collections).toMatchObject([{ backfill: { rowsRead: 300, rowsInserted: 300 } }]);
    const reads = data.parity.find(({ detector }) => detector === 'shadow-read');
    expect(reads).toMatchObject({ mismatches: 0, coverage: 1 });
    // The first of them may have come before the router knew of the phase.
    const independent = reads?.independent ?? 0;
    expect(independent).toBeGreaterThan(0);
    expect(reads?.bound).toBeCloseTo(0.05 ** (1 / independent), 6);
    const unchecked = data.unchecked.map(({ what }) => what);
    expect(unchecked).toEqual(
      expect.arrayContaining([
        'people.seen',
        'the way back',
        'production thresholds',
        'detector parity',
      ]),
    );
    expect(data.series.map(({ plot }) => plot)).toEqual(
      expect.arrayContaining(['parity', 'latency', 'backlog']),
    );
    const text = read('report.md');
    expect(text).toContain('| 300 |');
    expect(text).toContain('ticket \\<12\\>');
  });

  test('is verified by its file alone, whatever its format, and names what was altered', async () => {
    for (const format of ['md', 'html', 'json']) {
      const file = `report.${format}`;
      await report(file);
      expect((await cliJson(migration.folder, 'report', '--check', file)).json).toMatchObject({
        verdict: 'yes',
        data: { verdict: 'intact', format },
      });
      writeFileSync(join(migration.folder, file), read(file).replaceAll('300', '301'));
      const altered = await cli(migration.folder, 'report', '--check', file);
      expect([altered.code, altered.stdout]).toEqual([
        1,
        expect.stringMatching(/ALTERED[\s\S]*proofs/i),
      ]);
    }
    expect((await cli(migration.folder, 'report', '--check', 'changeover.config.mts')).code).toBe(
      2,
    );
    expect((await cli(migration.folder, 'report', '--check', 'nowhere.md')).code).toBe(2);
  });

  test('without a file goes to the terminal, sealed as well', async () => {
    const { stdout, code } = await cli(migration.folder, 'report', '--format', 'html');
    expect(code).toBe(0);
    writeFileSync(join(migration.folder, 'piped.html'), stdout);
    expect((await cli(migration.folder, 'report', '--check', 'piped.html')).code).toBe(0);
  });

  test('of stores that differ says so; it holds no value and no password, and keys only when asked', async () => {
    await databases.query(1, `update people set name = 'value-of-nobody' where id = 77`);
    expect((await cli(migration.folder, 'verify')).code).toBe(1);
    const data = await report('differs.json');
    expect(data.verdict).toMatchObject({ level: 'differs', provenUntilMs: null });
    expect(data.mismatches).toMatchObject({
      unexplained: 1,
      rows: [{ collection: 'people', field: 'name', status: 'open', count: 1 }],
    });
    expect(data.mismatches.keys).toEqual([]);
    await report('differs.html');
    for (const file of ['differs.json', 'differs.html']) {
      expect(read(file)).not.toMatch(/value-of-/);
      expect(read(file)).not.toContain(password);
    }
    const named = await report('keys.json', '--keys');
    expect(named.mismatches.keys).toMatchObject([{ collection: 'people', status: 'open' }]);
    expect(read('keys.json')).toContain('77');
  });
});

test('zombie says yes while it moves and no past its kill date, and status does with --exit-code', {
  timeout: 30_000,
}, async () => {
  expect((await cliJson(migration.folder, 'zombie')).json).toMatchObject({
    verdict: 'yes',
    data: { verdict: 'fine' },
  });
  // Another file, because this process has the old one in its module cache; the same control store.
  const other = join(migration.folder, 'late.config.mts');
  writeFileSync(
    other,
    config(`programme: { killDate: '2020-01-01', costPerDay: 10, currency: 'EUR' },`),
  );
  const late = await cli(migration.folder, 'zombie', '--config', other);
  expect([late.code, late.stdout]).toEqual([
    1,
    expect.stringMatching(/^shop: shadow-read, overdue: Its kill date 2020-01-01 passed .* EUR/),
  ]);
  const status = await cli(migration.folder, 'status', '--exit-code', '--config', other);
  expect([status.code, status.stdout]).toEqual([
    1,
    expect.stringMatching(/OVERDUE Its kill date[\s\S]*cost so far: .* EUR/),
  ]);
  expect((await cli(migration.folder, 'status', '--config', other)).code).toBe(0);
  rmSync(other);
});
