import {
  MemoryDatabase,
  memoryControl,
  memoryForeignWriter,
  memoryStore,
} from '../../src/adapters/memory/index.ts';
import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import {
  type ChangeoverEvent,
  type Collection,
  createEventHub,
  initialState,
  type MigrationState,
  type Side,
} from '../../src/migration/index.ts';
import { type DataRecord, encodeKey, type Key } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';

/** A collection `items` with every default filled in. */
export function itemsCollection(overrides: Partial<Collection> = {}): Collection {
  const shape = { table: 'items', key: ['id'] };
  return {
    name: 'items',
    source: shape,
    target: shape,
    forward: (record) => record,
    backward: (record) => record,
    identity: true,
    capture: 'app',
    write: 'serial',
    failureMode: 'fail-open',
    latencyBudgetMs: 1_000,
    shadowReadSample: 1,
    ignore: {},
    transformVersion: 1,
    ...overrides,
  };
}

/** An opened migration over stores that are installed: source authority, target follower, epoch 1, phase `backfill`. */
export interface EngineFixture {
  readonly context: MigrationContext;
  readonly state: () => MigrationState;
  /** What the engines see from now on; the control store is told, too. */
  readonly setState: (change: Partial<MigrationState>) => Promise<void>;
  readonly events: readonly ChangeoverEvent[];
  /** All records of one side, by encoded key. */
  readonly all: (side: Side) => Promise<ReadonlyMap<string, DataRecord>>;
  readonly close: () => Promise<void>;
}

export interface EngineFixtureOptions {
  /** Default: one in memory. Closed with the fixture. */
  readonly control?: ControlStore;
  /** Another process has installed and started it. */
  readonly joins?: boolean;
  readonly instance?: string;
}

export async function engineFixture(
  stores: Readonly<Record<Side, MigrationStore>>,
  collection: Collection,
  options: EngineFixtureOptions = {},
): Promise<EngineFixture> {
  const migration = 'fixture';
  const control = options.control ?? (await memoryControl().connect(systemRuntime));
  let state: MigrationState = await control.load(migration);
  const setState = async (change: Partial<MigrationState>): Promise<void> => {
    state = { ...state, ...change, version: state.version + 1 };
    await control.commit(state, { actor: 'test', action: 'test', reason: '', detail: {} });
  };
  if (!options.joins) {
    await stores.source.setup.install('authority', 1);
    await stores.target.setup.install('follower', 1);
    await setState({ ...initialState(migration), version: 1, phase: 'backfill' });
  }
  const events: ChangeoverEvent[] = [];
  const hub = createEventHub();
  hub.subscribe((event) => events.push(event));
  const context: MigrationContext = {
    migration: { name: migration, collections: new Map([[collection.name, collection]]) },
    stores,
    control,
    runtime: systemRuntime,
    events: hub,
    instance: options.instance ?? 'worker-1',
  };
  return {
    context,
    state: () => state,
    setState,
    events,
    async all(side) {
      const found = new Map<string, DataRecord>();
      let after: Key | null = null;
      for (;;) {
        const page = await stores[side].records.scan(
          collection.name,
          { after, until: null },
          1_000,
        );
        for (const { key, record } of page) found.set(encodeKey(key), record);
        const last = page.at(-1);
        if (!last || page.length < 1_000) return found;
        after = last.key;
      }
    },
    async close() {
      await Promise.all([stores.source.close(), stores.target.close(), control.close()]);
    },
  };
}

/** The fixture over two memory databases, and writers that go behind the library's back. */
export async function memoryFixture(
  collection: Collection = itemsCollection(),
  options: { readonly targetConstraints?: Record<string, (row: unknown) => string | null> } = {},
) {
  const databases = {
    source: new MemoryDatabase({ label: 'source' }),
    target: new MemoryDatabase({ label: 'target', constraints: options.targetConstraints ?? {} }),
  };
  const connect = (side: Side): Promise<MigrationStore> =>
    memoryStore({ database: databases[side] }).connect({
      migration: 'fixture',
      side,
      shapes: new Map([[collection.name, collection[side]]]),
      runtime: systemRuntime,
    });
  const stores = { source: await connect('source'), target: await connect('target') };
  const fixture = await engineFixture(stores, collection);
  const foreign = (side: Side) => {
    const writer = memoryForeignWriter({
      database: databases[side],
      migration: 'fixture',
      side,
      shapes: new Map([[collection.name, collection[side]]]),
      client: 'rogue',
      // The door's mark: an operator with a console can do this on a real store, too.
      mark: side === 'target' ? { kind: 'door', epoch: 1 } : null,
    });
    return {
      put: (key: Key, record: DataRecord) => writer.put(collection.name, key, record),
      delete: (key: Key) => writer.delete(collection.name, key),
    };
  };
  return {
    ...fixture,
    databases,
    foreign: { source: foreign('source'), target: foreign('target') },
  };
}

/** `count` rows through `put`, with keys that sort as text. */
export async function seed(
  put: (key: Key, record: DataRecord) => Promise<void>,
  count: number,
): Promise<void> {
  for (let index = 1; index <= count; index++) {
    const id = String(index).padStart(6, '0');
    await put([id], { id, name: `name ${index}` });
  }
}
