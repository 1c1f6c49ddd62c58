import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, cliJson } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';
import { WholeMigration } from '../support/whole-migration.ts';

const databases = withDatabases(2);
const path = (file: string): string => new URL(`../../src/${file}`, import.meta.url).pathname;
let shop: WholeMigration;
let calendar = '';

beforeAll(async () => {
  for (const side of [0, 1])
    await databases.query(side, 'CREATE TABLE things (id int PRIMARY KEY, value text NOT NULL)');
  await databases.query(0, "INSERT INTO things SELECT g, 'v' FROM generate_series(1, 50) g");
  const [source, target] = databases.urls.map((url) => `postgres({ url: ${JSON.stringify(url)} })`);
  shop = new WholeMigration(`
    import { readFileSync } from 'node:fs';
    import { defineMigration } from '${path('index.ts')}';
    import { postgres } from '${path('adapters/postgres/index.ts')}';
    export default defineMigration({
      name: 'gated', source: ${source}, target: ${target},
      gates: { profile: 'demo' }, approvals: { backfill: 1 },
      customGates: [{
        name: 'freeze', question: 'Is there no deploy freeze?', before: ['backfill', 'read-switch'],
        evaluate: () => JSON.parse(readFileSync(new URL('calendar.json', import.meta.url), 'utf8')),
      }],
      collections: { things: { capture: 'outbox' } },
    });`);
  calendar = join(shop.folder, 'calendar.json');
  await shop.start();
}, 60_000);
afterAll(() => shop?.close());

describe('changeover gate', { timeout: 60_000 }, () => {
  test('ends with 1 when a gate fails, and says of each what it saw and when it can pass', async () => {
    const { code, stdout } = await cli(shop.folder, 'gate');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^dual-write → backfill at state version 2 .*: fail\n/);
    expect(stdout).toMatch(/pass +fleet-follows +All routers/);
    expect(stdout).toMatch(/fail +approval +Approved by 0 of 1\. .*changeover approve backfill/);
    expect(stdout).toMatch(/\n +cannot be predicted: it waits for approvals\n/);
    expect(stdout).toMatch(/unknown +freeze +Not answered: ENOENT/);
    expect(stdout).toMatch(/All gates: cannot be predicted for approval, freeze/);
    const status = await cli(shop.folder, 'status');
    expect(status.stdout).toMatch(/Why not\?\n[^?]*approval[^?]*cannot be predicted: it waits/);
  });

  test('ends with 3 while a gate is unknown, and with 0 when all pass', async () => {
    const given = ['approve', 'backfill', '--as', 'Grace Hopper'];
    expect((await cli(shop.folder, ...given)).code).toBe(2);
    const yes = await cliJson(shop.folder, ...given, '--reason', 'CHG-1');
    expect([yes.code, yes.json.kind, yes.json.data['by']]).toEqual([0, 'approve', 'Grace Hopper']);
    const open = await cliJson(shop.folder, 'gate', '--to', 'backfill');
    expect([open.code, open.json.kind, open.json.verdict]).toEqual([3, 'gate', 'unknown']);
    writeFileSync(calendar, '{ "verdict": "pass", "message": "No freeze.", "evidence": {} }');
    const passed = await cliJson(shop.folder, 'gate', '--to', 'backfill');
    expect([passed.code, passed.json.verdict]).toEqual([0, 'yes']);
    expect(passed.json.next).toEqual(['changeover advance --expect 2']);
    expect((await cli(shop.folder, 'gate', '--to', 'retired')).code).toBe(4);
  });

  test('who approved may not advance alone; somebody else may, once, and both names stand in the history', async () => {
    const own = await cliJson(shop.folder, 'advance', '--actor', 'grace hopper');
    expect([own.code, own.json.data['code']]).toEqual([1, 'GATE_FAILED']);
    const as = await cli(shop.folder, 'gate', '--actor', 'grace hopper');
    expect([as.code, as.stdout]).toEqual([1, expect.stringContaining('is the one who wants to')]);
    expect((await cli(shop.folder, 'advance', '--actor', 'Ada')).code).toBe(0);
    const { stdout } = await cli(shop.folder, 'history');
    expect(stdout).toMatch(/Grace Hopper[^\n]*approve|approve[^\n]*Grace Hopper/);
    expect(stdout).toMatch(/Ada/);
  });

  test('before the read switch without any read is unknown, never open', async () => {
    await shop.advance();
    await shop.run('verify');
    const { code, json } = await cliJson(shop.folder, 'gate', '--to', 'read-switch');
    expect([code, json.verdict]).toEqual([3, 'unknown']);
    const gates = json.data['gates'] as { gate: string; verdict: string }[];
    expect(gates.find(({ gate }) => gate === 'verify-passed')).toMatchObject({ verdict: 'pass' });
    const closed = gates.filter(({ verdict }) => verdict !== 'pass').map(({ gate }) => gate);
    expect(closed).toEqual(['shadow-read-parity', 'coverage', 'latency-ratio']);
  });
});
