// Follows the log of the bank with the real engine, in a process of its own. argv: sourceUrl targetUrl epoch [rowsPerSecond]
// Says `ready` when everything is open, follows after the line `follow` on stdin, rests after `rest` and prints { cpuSeconds, maxRssMb }, and ends with stdin.
// With a number of rows per second it copies pgbench_accounts meanwhile, at most so quickly.
import { createInterface } from 'node:readline';
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { runBackfill } from '../../src/backfill/index.ts';
import {
  followLog,
  logApplierDefaults,
  prepareStream,
  streamEnds,
} from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { dispositionOf } from '../../src/errors/index.ts';
import {
  type Collection,
  createEventHub,
  initialState,
  type MigrationState,
  type Side,
} from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { giveWay } from '../../src/worker/index.ts';
import { keys } from './bank.ts';

// As `changeover run` does.
giveWay();
const [sourceUrl = '', targetUrl = '', epochText = '1', rowsPerSecond = '0'] =
  process.argv.slice(2);
const epoch = Number(epochText);
const RETRY_MS = 500;
const migration = 'bench';
const runtime = systemRuntime;
const shapes = new Map(
  Object.entries(keys).map(([table, key]) => [table, { table, key: [key] }] as const),
);
const collections = [...shapes].map(
  ([name, shape]): Collection => ({
    name,
    source: shape,
    target: shape,
    forward: (record) => record,
    backward: (record) => record,
    identity: true,
    capture: 'log',
    write: 'serial',
    failureMode: 'fail-open',
    latencyBudgetMs: 50,
    shadowReadSample: 1,
    ignore: {},
    transformVersion: 1,
  }),
);
const logged = new Set(shapes.keys());
const connect = (side: Side, url: string): Promise<MigrationStore> =>
  postgres({ url }).connect({ migration, side, shapes, logged, runtime });
const stores = {
  source: await connect('source', sourceUrl),
  target: await connect('target', targetUrl),
};
const control = await memoryControl().connect(runtime);
await stores.source.setup.install('authority', 1);
await stores.target.setup.install('follower', epoch);
const state: MigrationState = { ...initialState(migration), phase: 'backfill', epoch };
const context: MigrationContext = {
  migration: {
    name: migration,
    collections: new Map(collections.map((collection) => [collection.name, collection])),
  },
  stores,
  control,
  runtime,
  events: createEventHub(),
  instance: 'bench',
};
const ends = streamEnds(context, 'source', epoch);
if (ends === null) throw new Error('nothing is captured from the log');
await prepareStream(ends, 60_000);

const passes = { enter: () => ({ state, leave() {} }) };
/** Tries again as a worker does, whose tasks come round after what a second try may mend. */
async function follow(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await followLog(context, passes, logApplierDefaults, signal);
    } catch (error) {
      if (dispositionOf(error) !== 'retry') throw error;
      await runtime.clock.sleep(RETRY_MS, signal).catch(() => {});
    }
  }
}

function work(signal: AbortSignal): Promise<unknown>[] {
  const tasks: Promise<unknown>[] = [follow(signal)];
  if (Number(rowsPerSecond) > 0) {
    const options = { currentState: () => state, rowsPerSecondMax: Number(rowsPerSecond) };
    tasks.push(runBackfill(context, 'pgbench_accounts', options, signal));
  }
  for (const one of tasks)
    one.catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  return tasks;
}

function spent(): { readonly cpuSeconds: number; readonly maxRssMb: number } {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, maxRssMb: maxRSS / 1024 };
}

process.stdout.write('ready\n');
let stop = new AbortController();
let tasks: Promise<unknown>[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'follow') {
    stop = new AbortController();
    tasks = work(stop.signal);
  } else {
    stop.abort();
    await Promise.all(tasks);
    process.stdout.write(`${JSON.stringify(spent())}\n`);
  }
}
stop.abort();
await Promise.all(tasks);
await Promise.all([stores.source.close(), stores.target.close(), control.close()]);
process.exit(0);
