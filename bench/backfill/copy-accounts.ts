// Copies `accounts` with the real engine, in a process of its own so that its memory can be told. argv: sourceUrl targetUrl identity|touched|key-later|transform
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
import type { Change, DataRecord } from '../../src/record/index.ts';
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
/** Live changes of every 20th row, up to so many rows at a time, have come before the copy: rows and fences. */
async function touch(atOnce: number): Promise<void> {
  const all = { after: null, until: null };
  const last = Number((await source.records.boundary('accounts', all, 1e9))?.[0] ?? 0);
  for (let from = 0; from < last; from += atOnce) {
    const changes: Change[] = [];
    for (let aid = from + 20; aid <= Math.min(last, from + atOnce); aid += 20)
      changes.push({
        collection: 'accounts',
        key: [String(aid)],
        version: { epoch: 1, sequence: BigInt(aid) },
        value: {
          aid: String(aid),
          bid: String(Math.floor(aid / 100_000) + 1),
          abalance: '0',
          filler: ''.padEnd(84),
        },
        origin: 'live',
      });
    await target.door.apply(changes, { epoch: 1, timeoutMs: 60_000 });
  }
}

if (mode === 'touched') await touch(50_000);
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
