import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { postgres, postgresControl } from '../../src/adapters/postgres/index.ts';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import { createController } from '../../src/controller/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { persistentTotal, verifyCollection } from '../../src/verify/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { query, withDatabases } from '../support/databases.ts';
import { useServer } from '../support/private-postgres.ts';

const never = new AbortController().signal;
const act = { actor: 'test', reason: 'test' };
const opened: OpenedMigration[] = [];
const routers: Router[] = [];
const workers: Worker[] = [];
let root = '';
let files = 0;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'changeover-interrupted-'));
});

/** Call it after `withDatabases`, so that it runs before the databases go. */
function closesAll(): void {
  afterEach(closeAll);
}
async function closeAll(): Promise<void> {
  await Promise.all(workers.splice(0).map((one) => one.close()));
  await Promise.all(routers.splice(0).map((one) => one.close()));
  await Promise.all(opened.splice(0).map((one) => one.close()));
}
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Parts {
  readonly source: string;
  readonly target: string;
  readonly controlUrl?: string;
  readonly file?: string;
  readonly forward?: (record: DataRecord) => DataRecord;
}

async function open(parts: Parts): Promise<OpenedMigration> {
  const shape = { table: 'things', key: ['id'] };
  const { source, target, controlUrl, forward } = parts;
  const file = parts.file ?? join(root, `control-${++files}.db`);
  const migration = await openMigration(
    defineMigration({
      name: 'things',
      source: postgres({ url: source, connectTimeoutMs: 1_000 }),
      target: postgres({ url: target, connectTimeoutMs: 1_000 }),
      control: controlUrl ? postgresControl({ url: controlUrl }) : sqlite({ file }),
      collections: {
        things: {
          source: shape,
          target: shape,
          latencyBudgetMs: 1_000,
          ...(forward ? { forward, backward: (record) => record } : {}),
        },
      },
    }),
  );
  opened.push(migration);
  return migration;
}

async function routerOf(migration: OpenedMigration): Promise<Router> {
  const router = await createRouter(migration, { label: 'application', graceMs: 300 });
  routers.push(router);
  return router;
}

async function workerOf(
  migration: OpenedMigration,
  backfill: Parameters<typeof startWorker>[1] = {},
): Promise<Worker> {
  const worker = await startWorker(migration, backfill);
  workers.push(worker);
  return worker;
}

async function until(look: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await look())) {
    if (performance.now() > end) throw new Error(`${what} did not happen`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const finished = (migration: OpenedMigration) => async (): Promise<boolean> => {
  const checkpoint = await migration.control.checkpoint('things', 'things');
  return checkpoint !== null && checkpoint.finishedAtMs !== null;
};

describe('data that the target cannot have', () => {
  const databases = withDatabases(2, { scope: 'test' });
  closesAll();
  const rows = 100_000;
  const bad = [17, 54_321, 99_999];
  beforeEach(async () => {
    await databases.query(0, 'CREATE TABLE things (id int PRIMARY KEY, value text NOT NULL)');
    await databases.query(
      1,
      `CREATE TABLE things (id int PRIMARY KEY, value text NOT NULL CHECK (value <> 'forbidden'))`,
    );
  });
  const urls = () => ({ source: databases.url(0), target: databases.url(1) });

  test('a transform that throws on 3 rows of 100 000: three dead letters with the reason, all others arrive, and redriven the three as well', async () => {
    await databases.query(
      0,
      `INSERT INTO things SELECT i, CASE WHEN i = ANY('{${bad.join()}}') THEN 'broken' ELSE 'value ' || i END
       FROM generate_series(1, ${rows}) AS i`,
    );
    const file = join(root, 'transform.db');
    const first = await open({
      ...urls(),
      file,
      forward(record) {
        if (record['value'] === 'broken') throw new Error('cannot split the value');
        return record;
      },
    });
    const controller = createController(first);
    await controller.start(act);
    await controller.advance({ ...act, to: 'backfill' });
    const worker = await workerOf(first);
    await until(finished(first), 'the backfill');
    const { queue } = first.stores.source;
    const letters = await queue.deadLetters(10);
    expect(letters.map(({ key }) => Number(key[0])).sort((a, b) => a - b)).toEqual(bad);
    for (const { reason } of letters) {
      expect(reason).toMatch(/TRANSFORM_FAILED: .*cannot split the value/);
      expect(reason).not.toContain('broken');
    }
    expect(await first.control.checkpoint('things', 'things')).toMatchObject({
      rowsRead: rows,
      rowsInserted: rows - 3,
      rowsDead: 3,
    });
    expect(await databases.query(1, 'SELECT count(*)::int AS n FROM things')).toEqual([
      { n: rows - 3 },
    ]);
    await expect(controller.advance({ ...act, to: 'shadow-read' })).rejects.toThrow(
      /dead-letters fail \(In the queue of the source: 3 dead letters/,
    );
    await worker.close();

    const corrected = await open({ ...urls(), file, forward: (record) => record });
    await corrected.stores.source.queue.resolveDead(
      'redrive',
      letters.map(({ id }) => id),
    );
    const state = await corrected.control.load('things');
    await drainUntilEmpty(corrected, state, applierDefaults, 10_000, never);
    const digest = `SELECT md5(string_agg(id || value, ',' ORDER BY id)) AS d FROM things`;
    expect(await databases.query(1, digest)).toEqual(await databases.query(0, digest));
  });

  test('a live write that violates a constraint of the target succeeds, is a dead letter with the constraint’s name, and stops no other key', async () => {
    const migration = await open(urls());
    const controller = createController(migration);
    await controller.start(act);
    const things = (await routerOf(migration)).collection('things');
    await workerOf(migration);
    await things.put({ id: 1, value: 'forbidden' });
    await things.put({ id: 2, value: 'fine' });
    const { queue } = migration.stores.source;
    await until(async () => (await queue.depth()).dead === 1, 'the dead letter');
    const [letter] = await queue.deadLetters(10);
    expect(letter).toMatchObject({ collection: 'things', key: ['1'] });
    expect(letter?.reason).toMatch(/STORE_REJECTED.*things_value_check/);
    expect(letter?.reason).not.toContain('forbidden');
    await until(async () => (await queue.depth()).waiting === 0, 'the drain');
    expect(await databases.query(1, 'SELECT id FROM things')).toEqual([{ id: 2 }]);
    expect(await databases.query(0, 'SELECT id FROM things ORDER BY id')).toHaveLength(2);
    await databases.query(1, 'ALTER TABLE things DROP CONSTRAINT things_value_check');
    await queue.resolveDead('redrive', [letter?.id ?? 0n]);
    await until(
      async () => (await databases.query(1, 'SELECT 1 FROM things')).length === 2,
      'the redrive',
    );
  });
});

describe('servers that go away', () => {
  const source = useServer();
  const target = useServer();
  const control = useServer();
  closesAll();
  const parts = async (): Promise<Parts & { readonly controlUrl: string }> => {
    const name = `run_${++files}`;
    const [a, b, c] = await Promise.all(
      [source, target, control].map(async (one) => (await one).createDatabase(name)),
    );
    const urls = { source: a as string, target: b as string, controlUrl: c as string };
    for (const url of [urls.source, urls.target])
      await query(url, 'CREATE TABLE things (id int PRIMARY KEY, value text NOT NULL)');
    return urls;
  };

  test('the control store for a while: the application goes on, phases refuse by name, and everything comes back by itself', async () => {
    const urls = await parts();
    const migration = await open(urls);
    const controller = createController(migration);
    await controller.start(act);
    const things = (await routerOf(migration)).collection('things');
    await workerOf(migration);
    const server = await control;
    const told: boolean[] = [];
    migration.events.subscribe((event) => {
      if (event.type === 'control') told.push(event.reachable);
    });
    let id = 0;
    const works = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) {
        await things.put({ id: ++id, value: `value ${id}` });
        expect(await things.get(id)).toMatchObject({ value: `value ${id}` });
      }
    };
    for (const [away, back] of [
      [() => server.pause(), () => server.resume()],
      [() => server.kill(), () => server.start()],
    ] as const) {
      await away();
      await works();
      const refused = [
        controller.advance({ ...act, to: 'backfill' }),
        controller.rollback(act),
        controller.status(),
      ];
      for (const one of await Promise.allSettled(refused))
        expect(one).toMatchObject({ reason: { code: 'CONTROL_UNAVAILABLE' } });
      await works();
      await back();
    }
    await until(async () => told.at(-1) === true, 'the return of the control store');
    expect(told).toContain(false);
    await until(
      async () => (await controller.plan('backfill')).verdict === 'pass',
      'the acknowledgement',
    );
    await controller.advance({ ...act, to: 'backfill' });
    await until(finished(migration), 'the backfill');
    await works();
    await until(
      async () => (await migration.stores.source.queue.depth()).waiting === 0,
      'the drain',
    );
    const all = 'SELECT id, value FROM things ORDER BY id';
    expect(await query(urls.target, all)).toEqual(await query(urls.source, all));
    expect(await query(urls.source, all)).toHaveLength(id);
  });

  test.each(['source', 'target'] as const)(
    'the %s in the middle of a backfill and of a verification: the copy goes on where it was, the verification says what is missing',
    async (side) => {
      const urls = await parts();
      await query(
        urls.source,
        `INSERT INTO things SELECT i, repeat('value ', 20) || i FROM generate_series(1, 20000) AS i`,
      );
      const migration = await open({ ...urls, forward: (record) => record });
      const controller = createController(migration);
      await controller.start(act);
      await controller.advance({ ...act, to: 'backfill' });
      let read = 0;
      migration.events.subscribe((event) => {
        if (event.type === 'backfill') read = event.rowsRead;
      });
      await workerOf(migration, { backfill: { rowsPerSecondMax: 8_000, chunkRowsMax: 1_000 } });
      await until(async () => read > 3_000, 'the beginning of the backfill');
      const server = await (side === 'source' ? source : target);
      await server.kill();
      expect(await finished(migration)()).toBe(false);
      await server.start();
      await until(finished(migration), 'the end of the backfill');
      const digest = `SELECT count(*)::int AS n, md5(string_agg(id || value, ',' ORDER BY id)) AS d FROM things`;
      expect(await query(urls.target, digest)).toEqual(await query(urls.source, digest));

      await query(urls.target, 'ALTER TABLE things DISABLE TRIGGER USER');
      await query(urls.target, `DELETE FROM things WHERE id IN (5, 19999)`);
      await query(urls.target, 'ALTER TABLE things ENABLE TRIGGER USER');
      const state = await migration.control.load('things');
      let killed: Promise<void> | null = null;
      const report = await verifyCollection(
        migration,
        'things',
        {
          currentState: () => state,
          batchRows: 500,
          async pace() {
            // Once, after the first pages.
            killed ??= server.kill().then(() => server.start());
            await new Promise((resolve) => setTimeout(resolve, 20));
            return true;
          },
        },
        never,
      ).catch((error: unknown) => error as Error);
      await killed;
      if (report instanceof Error) expect(report).toMatchObject({ code: 'STORE_UNAVAILABLE' });
      else expect(persistentTotal(report)).toBe(2);
      const again = await verifyCollection(
        migration,
        'things',
        { currentState: () => state },
        never,
      );
      expect(again).toMatchObject({
        outcome: 'failed',
        persistent: { missing: 2 },
        compared: 20_000,
      });
    },
  );
});
