import { afterEach, beforeEach, expect, test } from 'vitest';
import { MemoryControl, memoryControl } from '../../src/adapters/memory/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { streamName } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';
import { demoProfile } from '../../src/gates/index.ts';
import {
  type ChangeoverEvent,
  type Collection,
  createEventHub,
  type Shape,
  type Side,
} from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { withDatabases } from '../support/databases.ts';
import { by, pass } from '../support/memory-migration.ts';

const databases = withDatabases(2, { scope: 'test' });
const source = (sql: string) => databases.query<Record<string, string>>(0, sql);
const target = (sql: string) => databases.query<Record<string, string>>(1, sql);

const shapes = new Map<string, Shape>([
  ['owners', { table: 'owners', key: ['id'] }],
  ['pets', { table: 'pets', key: ['id'] }],
]);
const ddl = `CREATE TABLE owners (id int PRIMARY KEY, name text);
  CREATE TABLE pets (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners, name text)`;

let name: string;
let context: MigrationContext;
let controller: Controller;
let worker: Worker | null;
let events: ChangeoverEvent[];
let open: MigrationContext[];
let control: MemoryControl;

async function openContext(instance: string): Promise<MigrationContext> {
  const connect = (side: Side) =>
    postgres({ url: databases.url(side === 'source' ? 0 : 1) }).connect({
      migration: name,
      side,
      shapes,
      logged: new Set(shapes.keys()),
      runtime: systemRuntime,
    });
  const collections = new Map(
    [...shapes].map(([collection, shape]): [string, Collection] => [
      collection,
      {
        name: collection,
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
      },
    ]),
  );
  const opened = {
    migration: { name, collections },
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
  await source(ddl);
  await target(ddl);
  // Names of slots are the whole server's.
  name = `pgpg${process.pid}${Math.floor(systemRuntime.random.next() * 1e6)}`;
  open = [];
  events = [];
  control = new MemoryControl();
  context = await openContext('operator');
  controller = createController(context, { profile: demoProfile });
  const working = await openContext('worker');
  working.events.subscribe((event) => events.push(event));
  worker = await startWorker(working, { measureMs: 100 });
});

afterEach(async () => {
  await worker?.close();
  for (const side of ['source', 'target'] as const)
    for (const stream of (await context.stores[side].log?.installed()) ?? [])
      await context.stores[side].log?.remove(stream);
  for (const { stores } of open)
    for (const side of ['source', 'target'] as const) await stores[side].close();
});

async function until(look: () => Promise<boolean>): Promise<void> {
  const end = systemRuntime.clock.monotonic() + 15_000;
  while (!(await look())) {
    if (systemRuntime.clock.monotonic() > end) throw new Error('It did not come true.');
    await systemRuntime.clock.sleep(20);
  }
}

const same = async (): Promise<boolean> => {
  const rows = `SELECT 'owners' AS t, id, name FROM owners UNION ALL SELECT 'pets', id, name FROM pets ORDER BY 1, 2`;
  return JSON.stringify(await source(rows)) === JSON.stringify(await target(rows));
};

const confirmed = async (stream: string): Promise<bigint> => {
  const [row] = await target(
    `SELECT (confirmed_flush_lsn - '0/0')::text AS lsn FROM pg_replication_slots WHERE slot_name = '${stream}'`,
  );
  return BigInt(row?.['lsn'] ?? 0);
};

test('tables that refer to each other are emptied in the order in which that is allowed', async () => {
  await controller.start({ ...by });
  await source(
    `INSERT INTO owners SELECT n, 'o' || n FROM generate_series(1, 300) n;
     INSERT INTO pets SELECT n, n, 'p' || n FROM generate_series(1, 300) n`,
  );
  await until(same);
  events = [];
  await source(`TRUNCATE owners, pets; INSERT INTO owners VALUES (7, 'again')`);
  await until(same);
  await systemRuntime.clock.sleep(200);
  // Nothing was refused and went by the queue, key by key.
  expect(events.filter(({ type }) => type === 'drained')).toEqual([]);
});

test('tables that are emptied and filled again while they are copied end up the same', async () => {
  const fill = (from: number, round: number) =>
    source(
      `INSERT INTO owners SELECT n, '${round}' FROM generate_series(${from}, ${from + 1500}) n;
       INSERT INTO pets SELECT n, n, '${round}' FROM generate_series(${from}, ${from + 1500}) n`,
    );
  await fill(1, 0);
  await worker?.close();
  const working = await openContext('copier');
  worker = await startWorker(working, {
    // An emptied table takes its chunks away, and whoever lost one waits for a while before it begins again.
    backfill: {
      chunkRowsInitial: 20,
      chunkRowsMin: 20,
      chunkRowsMax: 20,
      concurrency: 2,
      takeOverAfterMs: 100,
    },
  });
  await controller.start({ ...by });
  await pass(context, { type: 'advance', to: 'backfill' });
  for (let round = 1; round <= 4; round++) {
    await systemRuntime.clock.sleep(150);
    await source('TRUNCATE owners, pets');
    await fill(round * 700, round);
    await source(
      `DELETE FROM pets WHERE id % 7 = 0; UPDATE owners SET id = id + 100000 WHERE id NOT IN (SELECT owner FROM pets)`,
    );
  }
  const copied = async (): Promise<boolean> => {
    for (const collection of shapes.keys()) {
      const checkpoint = await context.control.checkpoint(name, collection);
      if ((checkpoint?.finishedAtMs ?? null) === null) return false;
    }
    return same();
  };
  await until(copied);
  await systemRuntime.clock.sleep(300);
  expect(await same()).toBe(true);
}, 30_000);

test('the slot of a switch that was undone moves on; the next switch uses it and loses nothing', async () => {
  await source(`INSERT INTO owners VALUES (1, 'one')`);
  await controller.start({ ...by });
  await pass(context, { type: 'advance', to: 'backfill' });
  await until(same);
  await pass(
    context,
    { type: 'advance', to: 'shadow-read' },
    { type: 'advance', to: 'read-switch' },
  );
  const toTarget = (fails: boolean) =>
    switchAuthority(context, {
      ...by,
      to: 'target',
      phaseAfter: 'write-switch',
      onStep: (step) => {
        if (fails && step === 'commit') throw new Error('the coordinator fails');
      },
    });
  await expect(toTarget(true)).rejects.toThrow('the coordinator fails');
  const stream = streamName(name, 'target', 2);
  const before = await confirmed(stream);
  expect(before).toBeGreaterThan(0n);
  await source(`INSERT INTO owners SELECT n, 'o' || n FROM generate_series(2, 500) n`);
  await until(same);
  const [end] = await target(`SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS lsn`);
  await until(async () => (await confirmed(stream)) >= BigInt(end?.['lsn'] ?? 0));
  await toTarget(false);
  await target(`UPDATE owners SET name = 'back' WHERE id = 1`);
  await until(same);
  expect(await source('SELECT name FROM owners WHERE id = 1')).toEqual([{ name: 'back' }]);
});
