import {
  MemoryControl,
  MemoryDatabase,
  memoryControl,
  memoryForeignWriter,
  memoryLayout,
  memoryStore,
} from '../../src/adapters/memory/index.ts';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import { applyEvent, type MigrationContext } from '../../src/control/index.ts';
import type { DrainQueue } from '../../src/cutover/index.ts';
import {
  type Collection,
  createEventHub,
  type MigrationEvent,
  type MigrationState,
  type Phase,
  type Shape,
  type Side,
} from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { GuardState } from '../../src/store/index.ts';

const shape: Shape = { table: 'items', key: ['id'], columns: ['id', 'name'] };
export const shapes: ReadonlyMap<string, Shape> = new Map([['items', shape]]);
export const by = { actor: 'test', reason: 'a test' };

/** One migration with one collection, `items(id, name)`, in memory, that any number of processes can open. */
export interface MemoryMigration {
  readonly control: MemoryControl;
  readonly databases: Readonly<Record<Side, MemoryDatabase>>;
  /** A process of its own on the same stores. */
  open(instance: string): Promise<MigrationContext>;
  /** A write by a program that does not know the library. */
  foreignPut(side: Side, id: string): Promise<void>;
  /** The same, emptying the table. */
  foreignTruncate(side: Side): Promise<void>;
  /** Every pair of guards that ever stood, in order. */
  readonly guardHistory: readonly Readonly<Record<Side, GuardState | null>>[];
}

export function memoryMigration(capture: Collection['capture'] = 'app'): MemoryMigration {
  const control = new MemoryControl();
  const databases = {
    source: new MemoryDatabase({ label: 'source' }),
    target: new MemoryDatabase({ label: 'target' }),
  };
  const guardHistory: Record<Side, GuardState | null>[] = [];
  const now: Record<Side, GuardState | null> = { source: null, target: null };
  for (const side of ['source', 'target'] as const) {
    const { guard } = memoryLayout('shop', side);
    databases[side].onCommit(({ changes }) => {
      for (const change of changes) {
        if (change.table !== guard.name) continue;
        now[side] = change.after as GuardState;
        guardHistory.push({ ...now });
      }
    });
  }
  const collection: Collection = {
    name: 'items',
    source: shape,
    target: shape,
    forward: (record) => record,
    backward: (record) => record,
    identity: true,
    capture,
    write: 'serial',
    failureMode: 'fail-open',
    latencyBudgetMs: 100,
    shadowReadSample: 1,
    ignore: {},
    transformVersion: 1,
  };
  const foreign = (side: Side) =>
    memoryForeignWriter({
      database: databases[side],
      migration: 'shop',
      side,
      shapes,
      client: 'stranger',
      mark: null,
    });
  return {
    control,
    databases,
    guardHistory,
    async open(instance) {
      const connect = (side: Side) =>
        memoryStore({ database: databases[side], client: instance }).connect({
          migration: 'shop',
          side,
          shapes,
          runtime: systemRuntime,
          ...(capture === 'log' ? { logged: new Set(['items']) } : {}),
        });
      return {
        migration: { name: 'shop', collections: new Map([['items', collection]]) },
        stores: { source: await connect('source'), target: await connect('target') },
        control: await memoryControl({ control, client: instance }).connect(systemRuntime),
        runtime: systemRuntime,
        events: createEventHub(),
        instance,
      };
    },
    foreignPut: (side, id) => foreign(side).put('items', [id], { id, name: 'foreign' }),
    foreignTruncate: (side) => foreign(side).run([{ kind: 'truncate', table: 'items' }]),
  };
}

/** Applies events one after the other, whatever gates would say. */
export async function pass(
  context: MigrationContext,
  ...events: readonly MigrationEvent[]
): Promise<MigrationState> {
  let state = await context.control.load(context.migration.name);
  for (const event of events) state = await applyEvent(context, event, by);
  return state;
}

/** From `off`, freshly installed, to one of the phases before the write switch. */
export async function bring(context: MigrationContext, to: Phase): Promise<MigrationState> {
  const { source, target } = context.stores;
  const { epoch } = await context.control.load(context.migration.name);
  await target.setup.install('follower', epoch);
  await source.setup.install('authority', epoch);
  const forward: readonly MigrationEvent[] = [
    { type: 'start', shadow: false },
    { type: 'advance', to: 'backfill' },
    { type: 'advance', to: 'shadow-read' },
    { type: 'advance', to: 'read-switch' },
  ];
  const steps = ['dual-write', 'backfill', 'shadow-read', 'read-switch'].indexOf(to) + 1;
  return pass(context, ...forward.slice(0, steps));
}

/** The worker's drain, as the engine that is under test calls it. */
export function drainBy(context: MigrationContext): DrainQueue {
  return async () => {
    const state = await context.control.load(context.migration.name);
    return drainOnce(context, state, { ...applierDefaults, backoff: { firstMs: 1, maxMs: 5 } });
  };
}

/** A write by the library as the present authority, journalled and left to the queue. */
export async function put(
  context: MigrationContext,
  id: string,
  epoch: number,
  side: Side = 'source',
) {
  return context.stores[side].records.write({
    collection: 'items',
    key: [id],
    action: 'put',
    record: { id, name: `epoch ${epoch}` },
    epoch,
    journal: 'change',
    graceMs: 0,
    timeoutMs: 1_000,
  });
}

/** A registered router that has acknowledged this version. */
export async function router(
  context: MigrationContext,
  id: string,
  acknowledgedVersion: number,
  leaseMs = 60_000,
): Promise<void> {
  const instance = { id, kind: 'router', label: `host:${id}`, acknowledgedVersion } as const;
  await context.control.fleet.heartbeat(context.migration.name, instance, leaseMs);
}

/** A promise and what settles it. */
export function latch(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}
