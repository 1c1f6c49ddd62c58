import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { isRefusal, type MigrationState, transition } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { query, withDatabases } from '../support/databases.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const tsconfig = fileURLToPath(new URL('../../tsconfig.json', import.meta.url));
const tsx = import.meta.resolve('tsx');
const databases = withDatabases(2, { scope: 'test' });
const children = new Set<ChildProcess>();
let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'changeover-cli-'));
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface ConfigChange {
  readonly source?: string;
  readonly target?: string;
  readonly body?: string;
  readonly control?: string;
  readonly connectTimeoutMs?: number;
}

/** A folder with a configuration of one collection whose keys come from the catalog. */
function configured(change: ConfigChange = {}): string {
  const folder = mkdtempSync(join(root, 'c-'));
  const [source = '', target = ''] = [
    change.source ?? databases.url(0),
    change.target ?? databases.url(1),
  ];
  writeFileSync(
    join(folder, 'changeover.config.ts'),
    `import { defineMigration } from 'changeover';
import { postgres, postgresControl } from 'changeover/postgres';

export default defineMigration({
  name: 'shop',
  source: postgres({ url: '${source}', connectTimeoutMs: ${change.connectTimeoutMs ?? 1000} }),
  target: postgres({ url: '${target}', connectTimeoutMs: ${change.connectTimeoutMs ?? 1000} }),
  ${change.control ? `control: postgresControl({ url: '${change.control}' }),` : ''}
  collections: { customers: { ${change.body ?? ''} } },
});
void postgresControl;
`,
  );
  return folder;
}

async function tables(): Promise<void> {
  for (const url of databases.urls) {
    await query(
      url,
      'create table customers (id bigint primary key, name text check (name <> $$bad$$))',
    );
  }
}

/** Brings the state of the migration in this folder forward, without any store. */
async function forceState(
  folder: string,
  change: (state: MigrationState) => MigrationState,
): Promise<void> {
  const store = await sqlite({ file: join(folder, '.changeover', 'shop.db') }).connect(
    systemRuntime,
  );
  let state = await store.load('shop');
  const started = transition(state, { type: 'start', shadow: false });
  if (isRefusal(started)) throw new Error(started.refused);
  state = change(started);
  expect(
    await store.commit(state, { actor: 'test', action: 'start', reason: '', detail: {} }),
  ).toBe(true);
  await store.close();
}

const nowhere = 'postgres://me:s3cret@127.0.0.1:1/none';

test('a store that cannot be reached is exit 5, without the password', async () => {
  await tables();
  const folder = configured({ target: nowhere });
  for (const verb of [['start'], ['verify'], ['dlq', 'list'], ['diff', 'customers', '1']]) {
    const { code, json, stdout } = await cliJson(folder, ...verb);
    expect([verb, code, json.verdict]).toEqual([verb, 5, 'unreachable']);
    expect(stdout).not.toContain('s3cret');
  }
});

test('status shows a store that is down and answers in part', async () => {
  await tables();
  const folder = configured({ target: nowhere });
  const { code, stdout } = await cli(folder, 'status');
  expect(code).toBe(6);
  expect(stdout).toMatch(/target .* does not answer/);
  expect(stdout).toMatch(/How fast can we undo\?/);
  expect(stdout).not.toContain('s3cret');
});

test('check with a store that is down says so for that store, and looks at the other', async () => {
  await tables();
  for (const body of ['', "source: { table: 'customers', key: ['id'] }"]) {
    const { code, json } = await cliJson(configured({ source: nowhere, body }), 'check');
    expect([code, json.verdict]).toEqual([5, 'unreachable']);
    const findings = json.data['findings'] as { readonly side: string; readonly verdict: string }[];
    expect(findings.filter(({ side }) => side === 'target').length).toBeGreaterThan(3);
    expect(findings.some(({ verdict }) => verdict === 'fail' || verdict === 'unknown')).toBe(true);
  }
});

test('rollback needs neither store while the source is the authority', async () => {
  const folder = configured({ source: nowhere, target: nowhere });
  await forceState(folder, (state) => ({ ...state, phase: 'read-switch', dialBasisPoints: 5_000 }));
  const { code, json } = await cliJson(folder, 'rollback', '--reason', 'it is 3 a.m.');
  expect(json.data).toMatchObject({ state: { phase: 'read-switch', dialBasisPoints: 0 } });
  expect(code).toBe(0);
  const further = await cliJson(folder, 'rollback', '--to', 'dual-write');
  expect([further.code, further.json.data]).toMatchObject([0, { state: { phase: 'dual-write' } }]);
});

test('rollback does not wait for stores that hang', async () => {
  const hung = createServer(() => {});
  await new Promise<void>((resolve) => hung.listen(0, '127.0.0.1', resolve));
  const { port } = hung.address() as AddressInfo;
  const url = `postgres://me@127.0.0.1:${port}/none`;
  const folder = configured({ source: url, target: url, connectTimeoutMs: 60_000 });
  await forceState(folder, (state) => ({ ...state, phase: 'read-switch', dialBasisPoints: 5_000 }));
  const begun = performance.now();
  const { code, json } = await cliJson(folder, 'rollback');
  expect([code, json.data]).toMatchObject([0, { state: { dialBasisPoints: 0 } }]);
  expect(performance.now() - begun).toBeLessThan(3_000);
  hung.close();
});

test('rollback does not fail for a table that is not there any more', async () => {
  const folder = configured();
  await forceState(folder, (state) => ({ ...state, phase: 'read-switch', dialBasisPoints: 5_000 }));
  expect((await cli(folder, 'rollback')).code).toBe(0);
  expect((await cli(folder, 'status')).stdout).toMatch(/there is no table "customers"/);
});

test('a control store that is away is exit 5', async () => {
  const folder = configured({ control: nowhere });
  for (const verb of ['status', 'rollback', 'history', 'hold']) {
    const { code, json } = await cliJson(folder, verb);
    expect([verb, code, json.data['code']]).toEqual([verb, 5, 'CONTROL_UNAVAILABLE']);
  }
});

test.each([
  ['latencyBudget: 5', /config\.ts:9: .*Did you mean "latencyBudgetMs"/],
  ["source: 'custmers'", /no table "custmers".*Did you mean "customers"/],
  ["source: { table: 'customers', key: ['idd'] }", /no column "idd".*it has: id, name/],
])('a configuration with %s is exit 2', async (body, message) => {
  await tables();
  const { code, stderr } = await cli(configured({ body }), 'start');
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
});

test('what is not there is exit 2, with what is there', async () => {
  await tables();
  const folder = configured();
  const cases = [
    [['verify', 'orders'], /no collection "orders".*customers/],
    [['diff', 'customers', '1', '2'], /The key has 1 parts \(id\), 2 given/],
    [['rollback', '--to', 'backfil'], /Did you mean "backfill"/],
    [['attest-gone', 'nobody', '--reason', 'x'], /No instance "nobody"/],
    [['attest-gone', 'nobody'], /needs --reason/],
    [['dlq', 'show', '7'], /no dead letter 7/],
    [['dlq', 'retry'], /--all/],
    [['dlq', 'discard', '--all'], /needs --reason/],
    [['advance', '--override', 'x'], /needs --reason/],
    [['verify', '--sample', '2'], /--sample/],
    [['dlq', 'list', '--side', 'left'], /source, target/],
    [['advnce'], /Did you mean advance/],
  ] as const;
  await cli(folder, 'start');
  for (const [argv, message] of cases) {
    const { code, stderr, stdout } = await cli(folder, ...argv);
    expect(stderr).toMatch(message);
    expect([argv, code, stdout]).toEqual([argv, 2, '']);
  }
  expect((await cliJson(folder, 'nonsense')).json).toMatchObject({
    kind: 'error',
    verdict: 'usage',
  });
  await cli(folder, 'abort', '--yes');
});

test('rows in the target need consent, and consent needs an answer', async () => {
  await tables();
  await query(databases.url(1), `insert into customers values (1, 'old')`);
  const folder = configured();
  const refused = await cliJson(folder, 'start');
  expect([refused.code, refused.json.data['code'], refused.json.next]).toEqual([
    4,
    'LEFTOVERS_FOUND',
    ['changeover start --truncate-target', 'changeover start --reconcile'],
  ]);
  expect((await cli(folder, 'start', '--truncate-target')).code).toBe(4);
  expect(await query(databases.url(1), 'select 1 from customers')).toHaveLength(1);
  expect((await cli(folder, 'start', '--truncate-target', '--yes')).code).toBe(0);
  expect(await query(databases.url(1), 'select 1 from customers')).toHaveLength(0);
  const asked = await cli(folder, 'abort');
  expect(asked.code).toBe(4);
  const aborted = await cliJson(folder, 'abort', '--yes');
  expect([aborted.code, aborted.json.data['left']]).toEqual([0, { source: [], target: [] }]);
});

test('a refused change is a dead letter that is listed, shown, sent again and discarded', async () => {
  await query(databases.url(0), 'create table customers (id bigint primary key, name text)');
  await query(
    databases.url(1),
    'create table customers (id bigint primary key, name text check (name <> $$bad$$))',
  );
  await query(databases.url(0), `insert into customers values (1, 'good'), (2, 'bad'), (3, 'bad')`);
  const folder = configured({ body: "capture: 'outbox'" });
  expect((await cli(folder, 'start')).code).toBe(0);
  await query(databases.url(0), 'update customers set name = name');
  const worker = cliProcess(folder, 'run');
  await worker.until(/worker of shop is running/);
  const dead = async (): Promise<readonly { readonly id: string; readonly key: string[] }[]> =>
    (await cliJson(folder, 'dlq')).json.data['letters'] as never;
  for (let tries = 0; (await dead()).length < 2; tries++) {
    if (tries > 150) throw new Error(`no dead letters: ${worker.stderr()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect((await cli(folder, 'dlq')).code).toBe(1);
  // Letters come in the order in which they died.
  const first = (await dead()).find(({ key }) => key[0] === '2');
  const shown = await cli(folder, 'dlq', 'show', String(first?.id));
  expect(shown.stdout).toMatch(/customers 2: .*customers_name_check/);
  expect((await cli(folder, 'dlq', 'retry', '--all', '--dry-run')).stdout).toContain(
    '2 dead letters would be sent again',
  );
  await query(databases.url(1), 'alter table customers drop constraint customers_name_check');
  expect((await cli(folder, 'dlq', 'retry', String(first?.id))).code).toBe(0);
  for (let tries = 0; ; tries++) {
    const rows = await query(databases.url(1), 'select 1 from customers where id = 2');
    if (rows.length === 1) break;
    if (tries > 100) throw new Error('the change was not sent again');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect((await cli(folder, 'dlq', 'discard', '--all', '--reason', 'known')).code).toBe(4);
  expect((await cli(folder, 'dlq', 'discard', '--all', '--reason', 'known', '--yes')).code).toBe(0);
  expect((await cli(folder, 'dlq')).code).toBe(0);
  expect((await cli(folder, 'history')).stdout).toContain('dlq-discard');
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(worker.stdout()).toContain('The worker has ended.');
  const { instances } = await fleet(folder);
  expect(instances).toEqual([]);
  await cli(folder, 'abort', '--yes');
});

async function fleet(folder: string): Promise<{ readonly instances: readonly unknown[] }> {
  const store = await sqlite({ file: join(folder, '.changeover', 'shop.db') }).connect(
    systemRuntime,
  );
  try {
    return await store.fleet.list('shop');
  } finally {
    await store.close();
  }
}

test('an instance that was killed is attested gone by name', async () => {
  await tables();
  const folder = configured();
  expect((await cli(folder, 'start')).code).toBe(0);
  const store = await sqlite({ file: join(folder, '.changeover', 'shop.db') }).connect(
    systemRuntime,
  );
  const router = {
    id: 'dead-one',
    kind: 'router',
    label: 'host:7',
    acknowledgedVersion: 1,
  } as const;
  await store.fleet.heartbeat('shop', router, 1);
  await store.close();
  const closed = await cliJson(folder, 'plan');
  expect([closed.code, JSON.stringify(closed.json.data)]).toMatchObject([
    1,
    expect.stringContaining('dead-one'),
  ]);
  expect((await cli(folder, 'status')).stdout).toContain('id dead-one');
  expect((await cli(folder, 'attest-gone', 'dead-one', '--reason', 'I pulled the plug')).code).toBe(
    0,
  );
  expect((await cli(folder, 'plan')).code).toBe(0);
  await cli(folder, 'abort', '--yes');
});

test('status shows the fleet by state version: who lives, who is behind, who is silent', async () => {
  await tables();
  const folder = configured();
  expect((await cli(folder, 'start')).code).toBe(0);
  const store = await sqlite({ file: join(folder, '.changeover', 'shop.db') }).connect(
    systemRuntime,
  );
  const { version } = await store.load('shop');
  const beat = (id: string, label: string, acknowledgedVersion: number, leaseMs: number) =>
    store.fleet.heartbeat('shop', { id, kind: 'router', label, acknowledgedVersion }, leaseMs);
  await beat('live', 'web-1:10', version, 60_000);
  await beat('new', 'web-2:20', version, 60_000);
  await beat('stale', 'web-3:30', version - 1, 60_000);
  await beat('expired', 'web-4:40', version - 1, 1);
  await beat('unnamed', '', version, 1);
  await systemRuntime.clock.sleep(5);
  await store.close();
  const shown = (await cli(folder, 'status')).stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('fleet:'));
  expect(shown).toEqual([
    `fleet: 3 instances at version ${version}: web-1:10 (router), web-2:20 (router), unnamed (router, silent, id unnamed)`,
    `fleet: 2 instances at version ${version - 1}, behind ${version}: web-4:40 (router, silent, id expired), web-3:30 (router)`,
  ]);
  const { json } = await cliJson(folder, 'status');
  expect(json.data['fleet']).toMatchObject([
    { stateVersion: version, instances: [{ alive: true }, { alive: true }, { alive: false }] },
    { stateVersion: version - 1, instances: [{ alive: false }, { alive: true }] },
  ]);
  await cli(folder, 'abort', '--yes');
});

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout(): string;
  stderr(): string;
  until(pattern: RegExp): Promise<void>;
}

/** The real program in a process of its own, as a shell without a terminal runs it. */
function cliProcess(folder: string, ...argv: readonly string[]): Running {
  const child = spawn(process.execPath, ['--import', tsx, main, ...argv], {
    cwd: folder,
    env: { ...process.env, TSX_TSCONFIG_PATH: tsconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr?.on('data', (chunk) => (stderr += String(chunk)));
  return {
    child,
    ended: new Promise((resolve) => child.once('close', resolve)),
    stdout: () => stdout,
    stderr: () => stderr,
    async until(pattern) {
      for (let tries = 0; !pattern.test(stderr); tries++) {
        if (tries > 300) throw new Error(`${pattern} did not come: ${stderr}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
  };
}

test('the program itself: exit codes, one JSON line, no colours without a terminal', async () => {
  await tables();
  const folder = configured();
  const status = cliProcess(folder, 'status', '--json');
  expect(await status.ended).toBe(0);
  expect(JSON.parse(status.stdout())).toMatchObject({
    schemaVersion: 1,
    kind: 'status',
    stateVersion: 1,
  });
  const text = cliProcess(folder, 'status');
  expect(await text.ended).toBe(0);
  expect(text.stdout()).not.toContain('\u001b');
  writeFileSync(
    join(folder, 'changeover.config.ts'),
    'export const a = 1;\n\nexport default {{;\n',
  );
  const broken = cliProcess(folder, 'status');
  expect(await broken.ended).toBe(2);
  expect(broken.stderr()).toMatch(/changeover\.config\.ts:3/);
  rmSync(join(folder, 'changeover.config.ts'));
  writeFileSync(
    join(folder, 'changeover.config.mjs'),
    'export const a = 1;\n\nexport default {{;\n',
  );
  const javascript = cliProcess(folder, 'status');
  expect(await javascript.ended).toBe(2);
  expect(javascript.stderr()).toMatch(/changeover\.config\.mjs:3/);
});

test('rollback works while the worker is dead, from another process', async () => {
  await tables();
  const folder = configured();
  expect((await cli(folder, 'start')).code).toBe(0);
  const worker = cliProcess(folder, 'run');
  await worker.until(/worker of shop is running/);
  worker.child.kill('SIGKILL');
  await worker.ended;
  expect((await cli(folder, 'advance')).code).toBe(0);
  const back = cliProcess(folder, 'rollback', '--json');
  expect(await back.ended).toBe(0);
  expect(JSON.parse(back.stdout())).toMatchObject({ data: { state: { phase: 'dual-write' } } });
  await cli(folder, 'abort', '--yes');
});
