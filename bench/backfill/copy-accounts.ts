// Copies `accounts` with the real engine, in a process of its own so that its memory can be told. argv: sourceUrl targetUrl identity|key-later|transform
// Prints one JSON line: { ms, rows, maxRssMb, cpuSeconds }.
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { runBackfill } from '../../src/backfill/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import {
  type Collection,
  createEventHub,
  initialState,
  type MigrationState,
} from '../../src/migration/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

const [sourceUrl = '', targetUrl = '', mode = 'identity'] = process.argv.slice(2);
const identity = mode !== 'transform';
const shape = { table: 'accounts', key: ['aid'] };
/** A transform that does some work on each row and gives equal rows, so that the result can be compared. */
const rebuild = (record: DataRecord): DataRecord => ({
  aid: record.aid ?? null,
  bid: record.bid ?? null,
  abalance: String(Number(record.abalance) + 1),
  filler: record.filler ?? null,
});
const collection: Collection = {
  name: 'accounts',
  source: shape,
  target: shape,
  forward: identity ? (record) => record : rebuild,
  backward: (record) => record,
  identity,
  capture: 'app',
  write: 'serial',
  failureMode: 'fail-open',
  latencyBudgetMs: 50,
  shadowReadSample: 1,
  ignore: {},
  transformVersion: 1,
};
const shapes = new Map([['accounts', shape]]);
const migration = 'bench';
const runtime = systemRuntime;
const [source, target, control] = await Promise.all([
  postgres({ url: sourceUrl }).connect({ migration, side: 'source', shapes, runtime }),
  postgres({ url: targetUrl }).connect({ migration, side: 'target', shapes, runtime }),
  memoryControl().connect(runtime),
]);
await Promise.all([source.setup.install('authority', 1), target.setup.install('follower', 1)]);
const state: MigrationState = { ...initialState(migration), phase: 'backfill' };
const context: MigrationContext = {
  migration: { name: migration, collections: new Map([['accounts', collection]]) },
  stores: { source, target },
  control,
  runtime,
  events: createEventHub(),
  instance: 'bench',
};
const started = performance.now();
const before = process.cpuUsage();
const result = await runBackfill(
  context,
  'accounts',
  { currentState: () => state, deferIndexes: mode === 'key-later' ? 'all' : 'none' },
  new AbortController().signal,
);
const ms = performance.now() - started;
const { user, system } = process.cpuUsage(before);
const { maxRSS } = process.resourceUsage();
await Promise.all([source.setup.uninstall(), target.setup.uninstall()]);
await Promise.all([source.close(), target.close(), control.close()]);
if (result.outcome !== 'finished') throw new Error(`The backfill ended as ${result.reason}.`);
process.stdout.write(
  `${JSON.stringify({ ms, rows: result.rowsInserted, maxRssMb: maxRSS / 1024, cpuSeconds: (user + system) / 1e6 })}\n`,
);
