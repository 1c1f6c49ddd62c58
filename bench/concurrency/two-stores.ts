import pg from 'pg';
import {
  MemoryDatabase,
  memoryControl,
  memoryStore,
  type Step,
} from '../../src/adapters/memory/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import { applyEvent, type MigrationContext } from '../../src/control/index.ts';
import type { PrivatePostgres } from '../../src/demo/private-postgres.ts';
import {
  type Collection,
  createEventHub,
  type Migration,
  type Shape,
  type Side,
} from '../../src/migration/index.ts';
import { createRouter, type Router, type RouterOptionsInput } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore, StoreConnector } from '../../src/store/index.ts';

const shape: Shape = { table: 'items', key: ['id'], columns: ['id', 'value'] };
export const latencyBudgetMs = 50;

const collectionOfBench = (write: Collection['write']): Collection => ({
  name: 'items',
  source: shape,
  target: shape,
  forward: (record) => record,
  backward: (record) => record,
  identity: true,
  capture: 'app',
  write,
  failureMode: 'fail-open',
  latencyBudgetMs,
  shadowReadSample: 1,
  ignore: {},
  transformVersion: 1,
});

/** Both stores in phase `dual-write`, the library on them, and a look at what they hold in the end. */
export interface TwoStores {
  readonly router: Router;
  /** Empties the queue; entries left. */
  drain(): Promise<number>;
  /** Keys whose records are not the same on both sides. */
  differingKeys(): Promise<number>;
  close(): Promise<void>;
}

/** Obstacles in front of a memory store. */
export interface Trouble {
  /** Awaited before each statement of the follower's door, and before and after each commit. */
  readonly step?: (side: Side, step: Step) => Promise<void>;
}

export const jitter = (): Promise<void> =>
  systemRuntime.clock.sleep(systemRuntime.random.next() * 3);

async function open(
  connectors: Readonly<Record<Side, StoreConnector>>,
  write: Collection['write'],
  options: RouterOptionsInput,
  beforeTraffic: () => void = () => {},
): Promise<TwoStores> {
  const shapes = new Map([['items', shape]]);
  const name = 'bench';
  const connect = (side: Side): Promise<MigrationStore> =>
    connectors[side].connect({ migration: name, side, shapes, runtime: systemRuntime });
  const migration: Migration = {
    name,
    collections: new Map([['items', collectionOfBench(write)]]),
  };
  const context: MigrationContext = {
    migration,
    stores: { source: await connect('source'), target: await connect('target') },
    control: await memoryControl().connect(systemRuntime),
    runtime: systemRuntime,
    events: createEventHub(),
    instance: 'bench',
  };
  const { source, target } = context.stores;
  await target.setup.install('follower', 1);
  await source.setup.install('authority', 1);
  const by = { actor: 'bench', reason: 'bench' };
  const state = await applyEvent(context, { type: 'start', shadow: false }, by);
  const router = await createRouter(context, { detachedMax: 4_096, ...options });
  beforeTraffic();
  return {
    router,
    async drain() {
      await router.settle(10_000);
      const { signal } = new AbortController();
      const quick = { ...applierDefaults, backoff: { firstMs: 1, maxMs: 20 } };
      const depth = await drainUntilEmpty(context, state, quick, 60_000, signal);
      return depth.waiting + depth.dead;
    },
    async differingKeys() {
      const all = async (store: MigrationStore): Promise<Map<string, string>> => {
        const found = await store.records.scan('items', { after: null, until: null }, 1_000_000);
        return new Map(found.map(({ key, record }) => [String(key), JSON.stringify(record)]));
      };
      const [ours, theirs] = [await all(source), await all(target)];
      return [...new Set([...ours.keys(), ...theirs.keys()])].filter(
        (key) => ours.get(key) !== theirs.get(key),
      ).length;
    },
    async close() {
      await router.close();
      await source.close();
      await target.close();
      await context.control.close();
    },
  };
}

/** Memory stores whose statements meet trouble. */
export async function openMemory(
  trouble: Trouble,
  options: RouterOptionsInput & { readonly write?: Collection['write'] } = {},
): Promise<TwoStores> {
  const databases = { source: new MemoryDatabase(), target: new MemoryDatabase() };
  const { write = 'serial', ...routing } = options;
  const { step } = trouble;
  return open(
    {
      source: memoryStore({ database: databases.source }),
      target: memoryStore({ database: databases.target }),
    },
    write,
    routing,
    () => {
      if (!step) return;
      for (const side of ['source', 'target'] as const) {
        databases[side].hook = {
          request: (one) => (one.label.startsWith('door/') ? step(side, one) : Promise.resolve()),
          reply: async () => {},
          row: async () => {},
          async commit(one, server) {
            await step(side, one);
            server.commit();
            await step(side, one);
          },
        };
      }
    },
  );
}

/** Two databases of one PostgreSQL; between the two writes the process loses up to 3 ms. */
export async function openPostgres(server: PrivatePostgres): Promise<TwoStores> {
  const urls = { source: server.url('ours_old'), target: server.url('ours_new') };
  return open(
    {
      source: postgres({ url: urls.source, poolMax: 16 }),
      target: postgres({ url: urls.target, poolMax: 16 }),
    },
    'serial',
    { hooks: { afterAuthority: jitter } },
  );
}

export async function createItems(server: PrivatePostgres, database: string): Promise<void> {
  const url = await server.createDatabase(database);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('CREATE TABLE items (id text PRIMARY KEY, value text NOT NULL)');
  await client.end();
}
