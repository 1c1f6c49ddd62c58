import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { MemoryControl, memoryControl } from '../../src/adapters/memory/index.ts';
import { postgres, postgresControl, recordChange } from '../../src/adapters/postgres/index.ts';
import { applierDefaults, drainOnce, drainUntilEmpty } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { expectedGuard, switchAuthority } from '../../src/cutover/index.ts';
import { demoProfile } from '../../src/gates/index.ts';
import { type Collection, createEventHub, type Side } from '../../src/migration/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, pass } from '../support/memory-migration.ts';

const never = new AbortController().signal;

async function until(look: () => Promise<boolean>): Promise<void> {
  const end = systemRuntime.clock.monotonic() + 20_000;
  while (!(await look())) {
    if (systemRuntime.clock.monotonic() > end) throw new Error('It did not come true.');
    await systemRuntime.clock.sleep(20);
  }
}

describe('a rescue on PostgreSQL, captured by the library', () => {
  const databases = withDatabases(3);
  let context: MigrationContext;
  let controller: Controller;
  let router: Router;

  const load = () => context.control.load('kill');
  const drain = async () => drainOnce(context, await load(), applierDefaults);
  const things = () => router.collection('things');
  const names = async (index: number): Promise<Readonly<Record<string, string>>> => {
    const rows = await databases.query<{ id: number; value: string }>(
      index,
      'SELECT id, value FROM things ORDER BY id',
    );
    return Object.fromEntries(rows.map(({ id, value }) => [id, value]));
  };

  beforeAll(async () => {
    for (const side of [0, 1]) await databases.query(side, thingsDdl);
    context = await openKillContext({
      sourceUrl: databases.url(0),
      targetUrl: databases.url(1),
      control: await postgresControl({ url: databases.url(2) }).connect(systemRuntime),
      mode: 'deferred',
      instance: 'operator',
    });
    controller = createController(context, { drain });
    await context.stores.source.setup.install('authority', 1);
    await context.stores.target.setup.install('follower', 1);
    await pass(
      context,
      { type: 'start', shadow: false },
      { type: 'advance', to: 'backfill' },
      { type: 'advance', to: 'shadow-read' },
      { type: 'advance', to: 'read-switch' },
    );
    router = await createRouter(context, { leaseMs: 60_000 });
  });
  afterAll(async () => {
    await router.close();
    await Promise.all([
      context.stores.source.close(),
      context.stores.target.close(),
      context.control.close(),
    ]);
  });

  test('brings back what nobody has touched, leaves the rest to a person, and tells readers', async () => {
    for (const id of ['1', '2', '3', '4']) await things().put({ id, value: `old ${id}` });
    await switchAuthority(context, {
      to: 'target',
      phaseAfter: 'write-switch',
      ...by,
      drain,
      inDoubt: 'ignore',
    });
    await until(async () => router.state().epoch === 2);
    const tokens = new Map<string, string>();
    for (const id of ['1', '2', '5'])
      tokens.set(id, (await things().put({ id, value: `lost ${id}` })).token);
    tokens.set('3', (await things().delete('3')).token);
    const survey = await controller.surveyRescue();
    expect(survey).toMatchObject({
      refusal: null,
      target: { queue: { waiting: 4, dead: 0 }, error: null },
    });
    await controller.rescue(by);
    await until(async () => router.state().epoch === 3);
    const read = (id: string) => things().get(id, { token: tokens.get(id) });
    for (const id of tokens.keys())
      await expect(read(id), id).rejects.toMatchObject({ code: 'TOKEN_GAP' });
    expect(await things().get('4', { token: tokens.get('1') })).toMatchObject({ value: 'old 4' });
    await things().put({ id: '2', value: 'new 2' });
    // Finds nothing: the record stands only in the gap. It has to stay away all the same, however its key is spelled.
    await things().delete('05');
    expect((await controller.gap.collect({ ...by, signal: never })).counts).toMatchObject({
      open: 4,
    });
    for (const side of ['source', 'target'] as const)
      expect(await context.stores[side].guard.read()).toEqual(expectedGuard(await load(), side));
    const applied = await controller.gap.apply({
      ...by,
      mode: 'apply',
      listMax: 10,
      signal: never,
    });
    expect(applied.counts).toMatchObject({ put: 1, delete: 1, conflict: 2, refused: 0, left: 0 });
    expect(await names(0)).toEqual({ 1: 'lost 1', 2: 'new 2', 4: 'old 4' });
    expect(await read('1')).toMatchObject({ value: 'lost 1' });
    expect(await read('3')).toBeNull();
    await expect(read('2')).rejects.toMatchObject({ code: 'TOKEN_GAP' });
    await expect(
      router.read(
        'things',
        { source: async () => 1, target: async () => 2 },
        { token: tokens.get('2') },
      ),
    ).rejects.toMatchObject({ code: 'TOKEN_GAP' });
    const resolved = await controller.gap.resolve({
      ...by,
      take: 'source',
      which: 'all',
      signal: never,
    });
    expect(resolved).toMatchObject({ resolved: 2, leftCount: 0 });
    expect((await load()).gap).toBeUndefined();
    await until(async () => router.state().gap === undefined);
    expect(await read('2')).toMatchObject({ value: 'new 2' });
    await drainUntilEmpty(context, await load(), applierDefaults, 10_000, never);
    expect(await names(1)).toEqual(await names(0));
  });

  test('a write of the application that is under way comes first', async () => {
    await switchAuthority(context, {
      to: 'target',
      phaseAfter: 'write-switch',
      ...by,
      drain,
      inDoubt: 'ignore',
    });
    await until(async () => router.state().epoch === 4);
    await things().put({ id: '1', value: 'lost again' });
    await controller.rescue(by);
    await controller.gap.collect({ ...by, signal: never });
    const client = new pg.Client({ connectionString: databases.url(0) });
    await client.connect();
    try {
      await client.query('BEGIN');
      await recordChange(
        { query: (text, values) => client.query(text, [...values]) },
        { migration: 'kill', side: 'source', collection: 'things', key: '1' },
      );
      const applying = controller.gap.apply({ ...by, mode: 'apply', listMax: 10, signal: never });
      await systemRuntime.clock.sleep(200);
      await client.query(`UPDATE things SET value = 'application' WHERE id = 1`);
      await client.query('COMMIT');
      expect((await applying).counts).toMatchObject({ put: 0, conflict: 1 });
    } finally {
      await client.end();
    }
    expect((await names(0))['1']).toBe('application');
    const [record] = (await controller.gap.list({ limit: 10 })).records;
    expect(record).toMatchObject({ status: 'conflict', target: { value: 'lost again' } });
    await controller.gap.resolve({
      ...by,
      take: 'target',
      which: { collection: 'things', key: ['1'] },
      signal: never,
    });
    // It became a conflict before the application committed: somebody has to look first.
    expect((await names(0))['1']).toBe('application');
    await controller.gap.show('things', ['1']);
    const taken = await controller.gap.resolve({
      ...by,
      take: 'target',
      which: { collection: 'things', key: ['1'] },
      signal: never,
    });
    expect(taken.resolved).toBe(1);
    expect((await names(0))['1']).toBe('lost again');
  });

  test('what the source refuses is listed, and can be brought back once it does not', async () => {
    await until(async () => (await load()).gap === undefined);
    await pass(context, { type: 'advance', to: 'read-switch' }).catch(() => {});
    await switchAuthority(context, {
      to: 'target',
      phaseAfter: 'write-switch',
      ...by,
      drain,
      inDoubt: 'ignore',
    });
    await until(async () => router.state().phase === 'write-switch');
    await databases.query(0, `ALTER TABLE things ADD CONSTRAINT strict CHECK (value <> 'odd')`);
    await things().put({ id: '6', value: 'odd' });
    await controller.rescue(by);
    await controller.gap.collect({ ...by, signal: never });
    const apply = () => controller.gap.apply({ ...by, mode: 'apply', listMax: 10, signal: never });
    expect((await apply()).counts).toMatchObject({ put: 0, refused: 1 });
    const [record] = (await controller.gap.list({ limit: 10 })).records;
    expect(record).toMatchObject({ status: 'refused', note: expect.stringContaining('strict') });
    await databases.query(0, 'ALTER TABLE things DROP CONSTRAINT strict');
    expect((await apply()).counts).toMatchObject({ put: 1, refused: 0 });
    expect((await load()).gap).toBeUndefined();
    expect((await names(0))['6']).toBe('odd');
  });
});

describe('a rescue on PostgreSQL, captured from the log', () => {
  const databases = withDatabases(2, { scope: 'test' });
  const run = (index: number, sql: string) => databases.query<Record<string, string>>(index, sql);
  const shape = { table: 'owners', key: ['id'] };
  let name: string;
  let control: MemoryControl;
  let open: MigrationContext[];
  let context: MigrationContext;
  let controller: Controller;
  let worker: Worker | null;

  async function openContext(instance: string): Promise<MigrationContext> {
    const connect = (side: Side) =>
      postgres({ url: databases.url(side === 'source' ? 0 : 1) }).connect({
        migration: name,
        side,
        shapes: new Map([['owners', shape]]),
        logged: new Set(['owners']),
        runtime: systemRuntime,
      });
    const collection: Collection = {
      name: 'owners',
      source: shape,
      target: shape,
      forward: (record) => record,
      backward: (record) => record,
      identity: true,
      capture: 'log',
      write: 'serial',
      failureMode: 'fail-open',
      latencyBudgetMs: 100,
      shadowReadSample: 1,
      ignore: {},
      transformVersion: 1,
    };
    const opened = {
      migration: { name, collections: new Map([['owners', collection]]) },
      stores: { source: await connect('source'), target: await connect('target') },
      control: await memoryControl({ control, client: instance }).connect(systemRuntime),
      runtime: systemRuntime,
      events: createEventHub(),
      instance,
    };
    open.push(opened);
    return opened;
  }

  beforeEach(async () => {
    for (const side of [0, 1])
      await run(side, 'CREATE TABLE owners (id int PRIMARY KEY, name text)');
    name = `rsc${process.pid}${Math.floor(systemRuntime.random.next() * 1e6)}`;
    control = new MemoryControl();
    open = [];
    context = await openContext('operator');
    controller = createController(context, { profile: demoProfile });
    worker = await startWorker(await openContext('worker'), { measureMs: 100 });
  });
  afterEach(async () => {
    await worker?.close();
    for (const side of ['source', 'target'] as const)
      for (const stream of (await context.stores[side].log?.installed()) ?? [])
        await context.stores[side].log?.remove(stream);
    for (const { stores } of open)
      for (const side of ['source', 'target'] as const) await stores[side].close();
  });

  const rows = async (index: number): Promise<string> =>
    JSON.stringify(await run(index, 'SELECT id, name FROM owners ORDER BY id'));
  const same = async (): Promise<boolean> => (await rows(0)) === (await rows(1));

  test('reads the gap out of the log to its end, and touches nothing that was written since', async () => {
    await run(0, `INSERT INTO owners SELECT n, 'old' FROM generate_series(1, 8) n`);
    await controller.start({ ...by });
    await pass(context, { type: 'advance', to: 'backfill' });
    await until(same);
    await pass(
      context,
      { type: 'advance', to: 'shadow-read' },
      { type: 'advance', to: 'read-switch' },
    );
    await switchAuthority(context, { ...by, to: 'target', phaseAfter: 'write-switch' });
    await run(1, `UPDATE owners SET name = 'arrived' WHERE id = 8`);
    await until(same);
    // Nobody follows any more.
    await worker?.close();
    worker = null;
    await run(
      1,
      `UPDATE owners SET name = 'lost' WHERE id IN (1, 2, 3); DELETE FROM owners WHERE id IN (4, 5);
       INSERT INTO owners VALUES (20, 'lost'), (21, 'lost')`,
    );
    const survey = await controller.surveyRescue();
    expect(survey.log?.behind).toBeGreaterThan(0n);
    await controller.rescue({ ...by });
    // By programs that know nothing of the library; one of them there and back.
    await run(0, `UPDATE owners SET name = 'new' WHERE id = 2`);
    await run(0, `UPDATE owners SET name = 'other' WHERE id = 3`);
    await run(0, `UPDATE owners SET name = 'old' WHERE id = 3`);
    await run(0, `DELETE FROM owners WHERE id = 5; INSERT INTO owners VALUES (21, 'new')`);
    worker = await startWorker(await openContext('second worker'), { measureMs: 100 });
    await until(async () => (await context.control.load(name)).gap?.stage === 'collected');
    const { records } = await controller.gap.list({ limit: 100 });
    expect(records.map(({ key }) => JSON.parse(key)[0]).sort()).toEqual(
      ['1', '2', '20', '21', '3', '4', '5'].sort(),
    );
    expect(new Set(records.map(({ foundBy }) => foundBy))).toEqual(new Set(['log']));
    const report = await controller.gap.apply({
      ...by,
      mode: 'apply',
      listMax: 100,
      signal: never,
    });
    // 5 is deleted in both.
    expect(report.counts).toMatchObject({ put: 2, delete: 1, conflict: 3, left: 0, refused: 0 });
    const held = await run(0, 'SELECT id, name FROM owners ORDER BY id');
    expect(held.map(({ id, name: text }) => `${id} ${text}`)).toEqual([
      '1 lost',
      '2 new',
      '3 old',
      '6 old',
      '7 old',
      '8 arrived',
      '20 lost',
      '21 new',
    ]);
    await controller.gap.resolve({ ...by, take: 'source', which: 'all', signal: never });
    await until(same);
    await until(async () => (await context.control.load(name)).gap === undefined);
  }, 60_000);

  test('a table that was emptied in the target is found by comparison', async () => {
    await run(0, `INSERT INTO owners SELECT n, 'old' FROM generate_series(1, 4) n`);
    await controller.start({ ...by });
    await pass(context, { type: 'advance', to: 'backfill' });
    await until(same);
    await pass(
      context,
      { type: 'advance', to: 'shadow-read' },
      { type: 'advance', to: 'read-switch' },
    );
    await switchAuthority(context, { ...by, to: 'target', phaseAfter: 'write-switch' });
    await worker?.close();
    worker = null;
    await run(1, `TRUNCATE owners; INSERT INTO owners VALUES (2, 'lost')`);
    await controller.rescue({ ...by });
    await run(0, `UPDATE owners SET name = 'new' WHERE id = 1`);
    worker = await startWorker(await openContext('second worker'), { measureMs: 100 });
    await until(async () => (await context.control.load(name)).gap?.stage === 'collected');
    const report = await controller.gap.apply({
      ...by,
      mode: 'apply',
      listMax: 100,
      signal: never,
    });
    expect(report.counts).toMatchObject({ put: 1, delete: 2, conflict: 1 });
    expect(await rows(0)).toBe('[{"id":1,"name":"new"},{"id":2,"name":"lost"}]');
  }, 60_000);
});
