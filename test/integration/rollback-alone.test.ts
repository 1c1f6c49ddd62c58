import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig, openMigration } from '../../src/config/index.ts';
import { applyEvent, waitForAcknowledgements } from '../../src/control/index.ts';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { cli, cliJson } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';
import { by, pass } from '../support/memory-migration.ts';

type Opened = Awaited<ReturnType<typeof openMigration>>;

const instances = 3;
/** Room for a busy machine: the time itself is measured by `npm run bench -- rollback`. */
const promptMs = 15_000;

describe('rollback with both data stores down, over a control store in PostgreSQL', () => {
  const controls = withDatabases(1, { scope: 'test' });
  let folder = '';
  let servers: readonly PrivatePostgres[] = [];
  const opened: Opened[] = [];
  const routers: Router[] = [];
  /** When each instance came to route by a state version. */
  let seen: Map<number, number>[] = [];

  beforeAll(async () => {
    servers = await Promise.all([startPrivatePostgres(), startPrivatePostgres()]);
  });
  afterAll(() => Promise.all(servers.map((server) => server.stop())));

  const query = async (side: number, text: string): Promise<void> => {
    const client = new pg.Client({ connectionString: servers[side]?.url() });
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  };

  async function open(): Promise<Opened> {
    const { definition } = await loadConfig(folder);
    const context = await openMigration(definition);
    opened.push(context);
    return context;
  }

  beforeEach(async () => {
    await Promise.all(servers.map((server) => server.start()));
    folder = mkdtempSync(join(tmpdir(), 'changeover-alone-'));
    const store = (side: number): string =>
      `postgres({ url: '${servers[side]?.url()}', connectTimeoutMs: 1000 })`;
    writeFileSync(
      join(folder, 'changeover.config.ts'),
      `import { defineMigration } from 'changeover';
import { postgres, postgresControl } from 'changeover/postgres';

export default defineMigration({
  name: 'shop',
  source: ${store(0)},
  target: ${store(1)},
  control: postgresControl({ url: '${controls.url(0)}' }),
  collections: { customers: {} },
});
`,
    );
    for (const side of [0, 1]) {
      await query(side, 'DROP TABLE IF EXISTS customers');
      await query(side, 'CREATE TABLE customers (id text PRIMARY KEY, name text)');
      await query(
        side,
        `INSERT INTO customers VALUES ('1', '${side === 0 ? 'source' : 'target'}')`,
      );
    }
    const operator = await open();
    await operator.stores.source.setup.install('authority', 1);
    await operator.stores.target.setup.install('follower', 1);
    await pass(
      operator,
      { type: 'start', shadow: false },
      { type: 'advance', to: 'backfill' },
      { type: 'advance', to: 'shadow-read' },
      { type: 'advance', to: 'read-switch' },
      { type: 'dial', basisPoints: 10_000 },
    );
    seen = [];
    for (let at = 0; at < instances; at++) {
      const context = await open();
      const heard = new Map<number, number>();
      seen.push(heard);
      context.events.subscribe((event) => {
        if (event.type === 'state') heard.set(event.state.version, performance.now());
      });
      routers.push(await createRouter(context, { dialledReadMs: 500 }));
    }
  });

  async function end(): Promise<void> {
    await Promise.all(routers.splice(0).map((router) => router.close()));
    await Promise.all(servers.map((server) => server.start()));
    for (const { stores } of opened.slice(0, 1))
      await Promise.all([stores.source.setup.uninstall(), stores.target.setup.uninstall()]);
    await Promise.all(opened.splice(0).map((one) => one.close()));
    rmSync(folder, { recursive: true, force: true });
  }

  const read = async (router: Router): Promise<unknown> =>
    (await router.collection('customers').get('1', { routingKey: 'r' }))?.['name'];

  test.each([
    ['by the configuration', () => ['rollback']],
    [
      'by name and control store',
      () => ['rollback', '--name', 'shop', '--control', controls.url(0)],
    ],
  ])('%s: every instance follows while nothing else answers, and acknowledges', async (_, argv) => {
    try {
      for (const router of routers) expect(await read(router)).toBe('target');
      const operator = opened[0] as Opened;
      const { version } = await operator.control.load('shop');
      await Promise.all(servers.map((server) => server.kill()));
      const began = performance.now();
      const done = await cliJson(folder, ...argv());
      expect([done.code, done.json.verdict, done.json.stateVersion]).toEqual([
        0,
        'done',
        version + 1,
      ]);
      await waitForAcknowledgements(operator, version + 1, {
        timeoutMs: promptMs,
        expired: 'wait',
      });
      expect(performance.now() - began).toBeLessThan(promptMs);
      for (const heard of seen) expect((heard.get(version + 1) ?? 0) - began).toBeGreaterThan(0);
      expect(await operator.control.load('shop')).toMatchObject({
        phase: 'read-switch',
        dialBasisPoints: 0,
      });
      // And when the stores come back, the source alone is asked.
      await servers[0]?.start();
      for (const router of routers)
        await expect.poll(() => read(router).catch(String), { timeout: 10_000 }).toBe('source');
    } finally {
      await end();
    }
  });

  test('stores that hang are not waited for either', async () => {
    try {
      const operator = opened[0] as Opened;
      const { version } = await operator.control.load('shop');
      for (const server of servers) server.pause();
      const began = performance.now();
      expect(
        (await cli(folder, 'rollback', '--name', 'shop', '--control', controls.url(0))).code,
      ).toBe(0);
      await waitForAcknowledgements(operator, version + 1, {
        timeoutMs: promptMs,
        expired: 'wait',
      });
      expect(performance.now() - began).toBeLessThan(promptMs);
    } finally {
      for (const server of servers) server.resume();
      await end();
    }
  });

  test('a read in flight on a hanging store is over within its limit, and acknowledged then', async () => {
    try {
      const operator = opened[0] as Opened;
      servers[1]?.pause();
      const reading = read(routers[0] as Router);
      const { version } = await applyEvent(operator, { type: 'rollback', to: 'read-switch' }, by);
      // The target hangs: the dialled read is answered by the source after `dialledReadMs`.
      expect(await reading).toBe('source');
      await waitForAcknowledgements(operator, version, { timeoutMs: promptMs, expired: 'wait' });
    } finally {
      for (const server of servers) server.resume();
      await end();
    }
  });
});
