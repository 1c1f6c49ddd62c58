/**
 * Nanoseconds that the library adds to a named `read` and `write` over trivial async functions, in every phase, with metrics on; beside
 * the same by hand. Journal and stores are not in it: they are round trips, and are measured elsewhere.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryControl, memoryControl, memoryStore } from '../../src/adapters/memory/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import {
  type Collection,
  createEventHub,
  initialState,
  type Migration,
  type Phase,
  phases,
  routingTable,
  type Shape,
  type Side,
} from '../../src/migration/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { createMetrics } from '../../src/telemetry/index.ts';
import { type BenchContext, type Benchmark, type Case, compare, median } from '../measure.ts';
import { ByHand } from './by-hand/router-by-hand.ts';

const rounds = 15;
const callsPerRound = 8_000;
/** Shadow reads that may be under way at once; the loop lets them end before it goes on, on both sides. */
const shadowBatch = 16;
const dialBasisPoints = 5_000;

const shape: Shape = { table: 'orders', key: ['id'] };
const orders: Collection = {
  name: 'orders',
  source: shape,
  target: shape,
  forward: (record) => record,
  backward: (record) => record,
  identity: true,
  capture: 'outbox',
  write: 'serial',
  failureMode: 'fail-open',
  latencyBudgetMs: 100,
  shadowReadSample: 1,
  ignore: {},
  transformVersion: 1,
};
const migration: Migration = { name: 'overhead', collections: new Map([['orders', orders]]) };

const row = {
  id: '4711',
  customer: 'Ada Lovelace',
  total: '129.90',
  currency: 'EUR',
  placed_at: '2024-05-01T10:00:00.123456Z',
  note: null,
};

/** Four operations, each its own function: a call site that only ever meets one is inlined, and no application is like that. */
const operations: readonly {
  readonly name: string;
  readonly closures: Readonly<Record<Side, () => Promise<typeof row>>>;
}[] = [
  {
    name: 'orderById',
    closures: { source: async () => ({ ...row }), target: async () => ({ ...row }) },
  },
  {
    name: 'lastOrder',
    closures: {
      source: async () => ({ ...row, id: '1' }),
      target: async () => ({ ...row, id: '1' }),
    },
  },
  {
    name: 'openOrder',
    closures: {
      source: async () => ({ ...row, id: '2' }),
      target: async () => ({ ...row, id: '2' }),
    },
  },
  {
    name: 'firstOrder',
    closures: {
      source: async () => ({ ...row, id: '3' }),
      target: async () => ({ ...row, id: '3' }),
    },
  },
];

async function openRouter(phase: Phase): Promise<{ router: Router; close: () => Promise<void> }> {
  const control = new MemoryControl();
  control.of(migration.name).state = { ...initialState(migration.name), phase, dialBasisPoints };
  const shapes = new Map([['orders', shape]]);
  const open = (side: Side) =>
    memoryStore().connect({ migration: migration.name, side, shapes, runtime: systemRuntime });
  const context: MigrationContext = {
    migration,
    stores: { source: await open('source'), target: await open('target') },
    control: await memoryControl({ control }).connect(systemRuntime),
    runtime: systemRuntime,
    events: createEventHub(),
    instance: 'bench',
  };
  const metrics = createMetrics(context);
  const router = await createRouter(context);
  return {
    router,
    async close() {
      await router.close();
      metrics.close();
      await context.control.close();
    },
  };
}

type Call = (at: number) => Promise<unknown>;

/** What one call costs its caller, and what it costs the process when its shadow read has ended as well. */
interface Cost {
  readonly callerNs: number;
  readonly processNs: number;
}

async function costPerCall(call: Call, shadows: boolean): Promise<Cost> {
  const started = performance.now();
  let callerMs = 0;
  for (let at = 0; at < callsPerRound; at += shadowBatch) {
    const begun = performance.now();
    for (let one = at; one < at + shadowBatch; one++) await call(one);
    callerMs += performance.now() - begun;
    if (!shadows) continue;
    await turn();
    await turn();
  }
  const processMs = performance.now() - started;
  const nanoseconds = 1e6 / callsPerRound;
  return { callerNs: callerMs * nanoseconds, processNs: processMs * nanoseconds };
}

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** Bytes that one call allocates: growth of the heap over a run that is too short for a collection. */
async function bytesPerCall(call: Call, collect: () => void): Promise<number> {
  const calls = 1_000;
  const figures: number[] = [];
  for (let round = 0; round < 9; round++) {
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let at = 0; at < calls; at++) await call(at);
    const grown = process.memoryUsage().heapUsed - before;
    if (grown > 0) figures.push(grown / calls);
  }
  return median(figures);
}

interface Pair {
  readonly name: 'read' | 'write';
  readonly ours: Call;
  readonly byHand: Call;
}

/** The same calls for both, over the same closures. */
function pairs(router: Router, byHand: ByHand): readonly Pair[] {
  const routing = Array.from({ length: 64 }, (_, at) => ({ routingKey: `customer-${at}` }));
  const operation = (at: number) => operations[at & 3] as (typeof operations)[number];
  const routingOf = (at: number) => routing[at & 63] as (typeof routing)[number];
  return [
    {
      name: 'read',
      ours: (at) => router.read(operation(at).name, operation(at).closures, routingOf(at)),
      byHand: (at) =>
        byHand.read(operation(at).name, operation(at).closures, routingOf(at).routingKey),
    },
    {
      name: 'write',
      ours: (at) => router.write('orders', operation(at).closures),
      byHand: (at) => byHand.write('orders', operation(at).closures),
    },
  ];
}

async function measurePair(
  phase: Phase,
  pair: Pair,
  collect: () => void,
): Promise<readonly Case[]> {
  const shadows = pair.name === 'read' && routingTable[phase].shadowReads;
  const costs: { readonly ours: Cost[]; readonly byHand: Cost[] } = { ours: [], byHand: [] };
  // One round of each is thrown away: the compiler learns the calls there.
  for (let round = 0; round <= rounds; round++) {
    const order = round % 2 === 0 ? (['ours', 'byHand'] as const) : (['byHand', 'ours'] as const);
    for (const side of order) {
      const cost = await costPerCall(pair[side], shadows);
      if (round > 0) costs[side].push(cost);
    }
  }
  const row = (name: string, figure: (cost: Cost) => number): Case =>
    compare(
      `${phase}: ${name}`,
      'ns',
      median(costs.ours.map(figure)),
      median(costs.byHand.map(figure)),
    );
  const cases = [row(pair.name, (cost) => cost.callerNs)];
  if (shadows) cases.push(row('read and its shadow read', (cost) => cost.processNs));
  else {
    const [ours, byHand] = [
      await bytesPerCall(pair.ours, collect),
      await bytesPerCall(pair.byHand, collect),
    ];
    cases.push(compare(`${phase}: ${pair.name}, allocated`, 'bytes', ours, byHand));
  }
  return cases;
}

async function measurePhase(phase: Phase, collect: () => void): Promise<readonly Case[]> {
  const { router, close } = await openRouter(phase);
  const byHand = new ByHand();
  byHand.phase = phase;
  byHand.dialBasisPoints = dialBasisPoints;
  const cases: Case[] = [];
  for (const pair of pairs(router, byHand))
    cases.push(...(await measurePair(phase, pair, collect)));
  await close();
  return cases;
}

export const overhead: Benchmark = {
  name: 'overhead',
  async run({ say }: BenchContext): Promise<readonly Case[]> {
    const collect = collector();
    const cases: Case[] = [];
    // A process that has been through other phases is the usual one; what the compiler assumed in the first phase does not last.
    for (const phase of ['off', 'shadow-read', 'write-switch'] as const)
      await measurePhase(phase, collect);
    for (const phase of phases) {
      const measured = await measurePhase(phase, collect);
      cases.push(...measured);
      const times = measured.filter((one) => one.unit === 'ns');
      say(times.map((one) => `${one.case} ${Math.round(one.ours)} ns`).join(', '));
    }
    return cases;
  },
};

export default overhead;
