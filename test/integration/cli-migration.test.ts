import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OpenedMigration } from '../../src/config/index.ts';
import { loadConfig, openMigration, workerOptionsOf } from '../../src/config/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';

const databases = withDatabases(2);
let folder = '';
let application: OpenedMigration;
let router: Router;
let worker: Worker;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'changeover-cli-'));
  await databases.query(
    0,
    `create table customers (id bigint primary key, name text not null, credit numeric(12,2));
     create table orders (id bigint primary key, customer_id bigint references customers, note text);
     create table leftover (x int);
     insert into customers select g, 'customer ' || g, g + 0.25 from generate_series(1, 400) g;
     insert into orders select g, g, 'note ' || g from generate_series(1, 400) g;`,
  );
  await databases.query(
    1,
    `create table customers (id bigint primary key, name text not null, credit_cents bigint);
     create table orders (id bigint primary key, customer_id bigint references customers, note text);`,
  );
});
afterAll(async () => {
  await worker?.close();
  await router?.close();
  await application?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Repeats until the command gives this verdict, for what the worker and the router do in their own time. */
async function eventually(verdict: string, ...argv: readonly string[]): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const { json } = await cliJson(folder, ...argv);
    if (json.verdict === verdict) return;
    if (performance.now() > deadline) throw new Error(JSON.stringify(json));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

describe('a whole migration on the command line', { timeout: 120_000 }, () => {
  test('init writes a configuration in which only the transforms are missing', async () => {
    const [source = '', target = ''] = databases.urls;
    const { code, json } = await cliJson(
      folder,
      'init',
      '--name',
      'shop',
      '--source',
      source,
      '--target',
      target,
    );
    expect([code, json.verdict]).toEqual([0, 'done']);
    expect(json.data).toMatchObject({ collections: ['customers', 'orders'], todos: 2 });
    const file = join(folder, 'changeover.config.ts');
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('not moved: leftover');
    expect(text).toContain(
      "children: { orders: { table: 'orders', key: ['id'], parent: ['customer_id'] } }",
    );
    expect((await cli(folder, 'init', '--source', source, '--target', target)).code).toBe(2);
  });

  test('check says which transform is not written, and changes nothing', async () => {
    const { code, json } = await cliJson(folder, 'check');
    expect([code, json.verdict]).toEqual([1, 'no']);
    expect(JSON.stringify(json.data)).toContain('customers.credit_cents');
    const file = join(folder, 'changeover.config.ts');
    const filled = readFileSync(file, 'utf8')
      .replace("todo('customers.credit_cents')", 'String(Math.round(Number(row.credit) * 100))')
      .replace("todo('customers.credit')", '(Number(row.credit_cents) / 100).toFixed(2)')
      .replace('  collections: {', "  gates: { profile: 'demo' },\n  collections: {");
    rmSync(file);
    // Another name, because this process has the old one in its module cache.
    writeFileSync(join(folder, 'changeover.config.mts'), filled);
    const text = await cli(folder, 'check');
    expect(text.stdout).toMatch(/0 failed, 0 unknown/);
    expect(text.code).toBe(0);
    const schemas = await databases.query(
      0,
      `select 1 from pg_namespace where nspname like 'changeover%'`,
    );
    expect(schemas).toEqual([]);
  });

  test('start, and starting again is refused', async () => {
    expect((await cliJson(folder, 'status')).json.data).toMatchObject({
      mayAdvance: { to: 'dual-write', answer: 'yes' },
    });
    expect((await cli(folder, 'status')).stdout).toMatch(
      /to dual-write: yes, with changeover start\n[\s\S]*\nNext: changeover check; changeover start\n$/,
    );
    const early = await cli(folder, 'verify');
    expect([early.code, early.stderr]).toEqual([4, expect.stringContaining('nothing to verify')]);
    expect((await cli(folder, 'plan')).stderr).toMatch(/start it/);
    const { code, json } = await cliJson(folder, 'start', '--reason', 'it is time');
    expect([code, json.stateVersion]).toEqual([0, 2]);
    expect((await cli(folder, 'start')).code).toBe(4);
    const { definition } = await loadConfig(folder);
    application = await openMigration(definition, { folder });
    router = await createRouter(application, { label: 'application' });
    worker = await startWorker(application, workerOptionsOf(application.options, application, 'w'));
    expect((await cli(folder, 'status')).stdout).toMatch(/application \(router\)/);
  });

  test('a plan that was made for another state is refused', async () => {
    const stale = await cliJson(folder, 'advance', '--expect', '1');
    expect([stale.code, stale.json.verdict, stale.json.data['code']]).toEqual([
      4,
      'refused',
      'STATE_CHANGED',
    ]);
    const { json } = await cliJson(folder, 'plan');
    expect(json.next).toEqual(['changeover advance --expect 2']);
    const skipped = await cliJson(folder, 'advance', '--to', 'shadow-read');
    expect([skipped.code, skipped.json.data['code']]).toEqual([4, 'TRANSITION_REFUSED']);
  });

  test('backfill, verify, shadow reads', async () => {
    await eventually('yes', 'plan');
    expect((await cli(folder, 'advance')).code).toBe(0);
    const closed = await cliJson(folder, 'advance');
    expect(closed.code).toBeGreaterThan(0);
    expect(closed.json.data['code']).toBe('GATE_FAILED');
    await eventually('yes', 'plan');
    expect((await cli(folder, 'advance')).stdout).toMatch(/is in shadow-read/);
    const verified = await cliJson(folder, 'verify');
    expect([verified.code, verified.json.verdict]).toEqual([0, 'yes']);
    // 'no' as long as the router has not told that it took up the phase.
    await eventually('unknown', 'plan');
    expect((await cli(folder, 'plan')).code).toBe(3);
    const customers = router.collection('customers');
    for (let id = 1; id <= 400; id++) await customers.get(id, { routingKey: String(id) });
    await eventually('yes', 'plan');
    expect((await cli(folder, 'advance')).stdout).toMatch(/is in read-switch/);
  });

  test('dial, and back with one command', async () => {
    expect((await cliJson(folder, 'dial', '25 %')).json.data).toMatchObject({
      state: { dialBasisPoints: 2_500 },
    });
    expect((await cli(folder, 'dial', '100.001')).code).toBe(2);
    expect((await cli(folder, 'dial', '50', '--segment', 'staff')).stdout).toMatch(/50 %.*staff/);
    const back = await cliJson(folder, 'rollback', '--reason', 'drill');
    expect([back.code, back.json.data['pending']]).toEqual([0, null]);
    expect(back.json.data).toMatchObject({
      state: { phase: 'read-switch', dialBasisPoints: 0, segments: [] },
    });
    expect((await cli(folder, 'dial', '100')).code).toBe(0);
  });

  test('background work is held and resumed', async () => {
    expect((await cli(folder, 'hold')).code).toBe(0);
    expect((await cli(folder, 'hold')).code).toBe(4);
    expect((await cli(folder, 'status')).stdout).toContain('held by the operator');
    expect((await cli(folder, 'resume')).code).toBe(0);
  });

  test('a wrong row is found, shown without its values, and repaired', async () => {
    await databases.query(1, `select set_config('changeover.mark', 'door:1', false)`);
    const spoil = `do $$ begin perform set_config('changeover.mark', 'door:1', true); update customers set name = 'wrong' where id = 7; end $$`;
    await databases.query(1, spoil);
    const verified = await cliJson(folder, 'verify', 'customers');
    expect([verified.code, verified.json.verdict]).toEqual([1, 'no']);
    const listed = await cliJson(folder, 'mismatch', 'list');
    expect(listed.json.data).toMatchObject({ open: 1, mismatches: [{ key: '["7"]' }] });
    expect(listed.stdout).not.toContain('wrong');
    const shown = await cli(folder, 'diff', 'customers', '7');
    expect(shown.code).toBe(1);
    expect(shown.stdout).toMatch(/name +should be \(10 characters\) +is \(5 characters\)/);
    expect((await cli(folder, 'diff', 'customers', '7', '--show-values')).stdout).toContain(
      '"wrong"',
    );
    expect((await cli(folder, 'diff', 'customers', '8')).code).toBe(0);
    const told = await cliJson(folder, 'mismatch', 'show', 'customers', '7');
    expect(told.json.data).toMatchObject({ origin: { origin: 'drift' } });
    const proposal = await cliJson(folder, 'mismatch', 'repair', 'customers');
    expect(proposal.json.data).toMatchObject({ counts: { proposed: 1 } });
    const repaired = await cliJson(folder, 'mismatch', 'repair', 'customers', '--apply');
    expect([repaired.code, repaired.json.data['counts']]).toMatchObject([0, { repaired: 1 }]);
    expect((await cli(folder, 'verify')).code).toBe(0);
    expect((await cli(folder, 'mismatch')).code).toBe(0);
    const runs = await cli(folder, 'history', '--reconciliation', '--limit', '3');
    expect(runs.stdout).toMatch(/verify .*customers[^\n]*\n[^\n]*repair .*customers, 1 repaired/);
  });

  test('the write switch asks, and is made; the way back is one command', async () => {
    const asked = await cliJson(folder, 'switch-writes');
    expect([asked.code, asked.json.kind]).toEqual([4, 'confirmation']);
    await eventually('yes', 'plan');
    const switched = await cliJson(folder, 'switch-writes', '--yes', '--reason', 'agreed');
    expect([switched.code, switched.json.data]).toMatchObject([
      0,
      { state: { phase: 'write-switch', epoch: 2 } },
    ]);
    await router.collection('customers').update(3, { name: 'written in the target' });
    const back = await cliJson(folder, 'rollback');
    expect([back.code, back.json.data]).toMatchObject([
      0,
      { state: { phase: 'read-switch', epoch: 3 } },
    ]);
    expect(await databases.query(0, 'select name from customers where id = 3')).toEqual([
      { name: 'written in the target' },
    ]);
    expect((await cli(folder, 'switch-writes', '--recover')).stdout).toMatch(/^nothing:/);
  });

  test('to the end: dial, switch, retire, decommission', async () => {
    expect((await cli(folder, 'dial', '100')).code).toBe(0);
    expect((await cli(folder, 'verify')).code).toBe(0);
    const { json } = await cliJson(folder, 'plan');
    const closed = (json.data['gates'] as { gate: string; verdict: string; overridable: boolean }[])
      .filter(({ verdict, overridable }) => verdict !== 'pass' && overridable)
      .map(({ gate }) => gate);
    const overrides = closed.flatMap((gate) => ['--override', gate]);
    if (closed.length > 0) {
      expect((await cli(folder, 'switch-writes', '--yes', ...overrides)).code).toBe(2);
    }
    const again = await cliJson(
      folder,
      'switch-writes',
      '--yes',
      '--reason',
      'again',
      ...overrides,
    );
    expect([again.code, again.json]).toMatchObject([
      0,
      { data: { state: { phase: 'write-switch' } } },
    ]);
    const retirePlan = (await cliJson(folder, 'plan')).json.data['gates'] as {
      gate: string;
      verdict: string;
    }[];
    const rest = retirePlan
      .filter(({ verdict }) => verdict !== 'pass')
      .flatMap(({ gate }) => ['--override', gate]);
    const retired = await cliJson(folder, 'advance', '--yes', '--reason', 'done with it', ...rest);
    expect([retired.code, retired.json]).toMatchObject([
      0,
      { data: { state: { phase: 'retired' } } },
    ]);
    expect((await cli(folder, 'rollback')).code).toBe(4);
    await worker.close();
    await router.close();
    expect((await cli(folder, 'decommission')).code).toBe(4);
    const gone = await cliJson(folder, 'decommission', '--yes');
    expect([gone.code, gone.json.data['left']]).toEqual([0, { source: [], target: [] }]);
    const text = (await cli(folder, 'history', '--limit', '200')).stdout;
    for (const word of [
      'start',
      'advance',
      'dial',
      'rollback',
      'verify',
      'repair',
      'cutover-commit',
      'it is time',
      'drill',
    ]) {
      expect(text).toContain(word);
    }
  });
});
