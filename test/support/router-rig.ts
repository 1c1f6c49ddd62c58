import {
  MemoryControl,
  MemoryDatabase,
  memoryControl,
  memoryStore,
  type Step,
} from '../../src/adapters/memory/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { expectedRole } from '../../src/cutover/guard-roles.ts';
import {
  type ChangeoverEvent,
  type ChangeoverEventType,
  type Collection,
  createEventHub,
  initialState,
  type Migration,
  type MigrationState,
  type Side,
} from '../../src/migration/index.ts';
import type { DataRecord, Row } from '../../src/record/index.ts';
import { createRouter, type Router, type RouterOptionsInput } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

/** Source: one wide table. Target: a root and its addresses. So each direction needs its transform. */
const customers: Collection = {
  name: 'customers',
  source: { table: 'customers', key: ['id'], columns: ['id', 'name', 'city'] },
  target: {
    table: 'people',
    key: ['id'],
    columns: ['id', 'full_name'],
    children: {
      addresses: {
        table: 'addresses',
        key: ['customer_id', 'position'],
        parent: ['customer_id'],
        columns: ['customer_id', 'position', 'city'],
      },
    },
  },
  forward: ({ id, name, city }) => ({
    id: id ?? null,
    full_name: name ?? null,
    addresses: typeof city === 'string' ? [{ customer_id: id as string, position: '1', city }] : [],
  }),
  backward: ({ id, full_name, addresses }) => ({
    id: id ?? null,
    name: full_name ?? null,
    city: (addresses as readonly Row[] | undefined)?.[0]?.['city'] ?? null,
  }),
  identity: false,
  capture: 'app',
  write: 'serial',
  failureMode: 'fail-open',
  latencyBudgetMs: 50,
  shadowReadSample: 1,
  ignore: {},
  transformVersion: 1,
};

export interface RigOptions {
  readonly collection?: Partial<Collection>;
  readonly router?: RouterOptionsInput;
}

/** A router over two memory databases, a control store, and a hand on all of them. */
export interface Rig {
  readonly context: MigrationContext;
  readonly control: MemoryControl;
  readonly databases: Readonly<Record<Side, MemoryDatabase>>;
  readonly events: ChangeoverEvent[];
  readonly router: Router;
  /** Publishes a state and gives the guards the roles that belong to it. */
  enter(change: Partial<MigrationState>): Promise<MigrationState>;
  /** Publishes a state and leaves the guards alone. */
  publish(change: Partial<MigrationState>): MigrationState;
  guards(state: MigrationState): Promise<void>;
  openRouter(options?: RouterOptionsInput, instance?: string): Promise<Router>;
  /** The record as it lies in a store, whatever the routing. */
  stored(side: Side, id: string): Promise<DataRecord | null>;
  of<T extends ChangeoverEventType>(type: T): Extract<ChangeoverEvent, { readonly type: T }>[];
  /** Statements of a database whose label begins so wait, or fail, until the returned function is called. */
  obstruct(side: Side, prefix: string, how?: 'hang' | Error | number): () => void;
  close(): Promise<void>;
}

export const migrationName = 'shop';

export async function openRig(options: RigOptions = {}): Promise<Rig> {
  const collection: Collection = { ...customers, ...options.collection };
  const migration: Migration = {
    name: migrationName,
    collections: new Map([['customers', collection]]),
  };
  const databases = { source: new MemoryDatabase(), target: new MemoryDatabase() };
  const control = new MemoryControl();
  const openContext = async (instance: string): Promise<MigrationContext> => {
    const open = (side: Side) =>
      memoryStore({ database: databases[side] }).connect({
        migration: migrationName,
        side,
        shapes: new Map([['customers', collection[side]]]),
        runtime: systemRuntime,
      });
    return {
      migration,
      stores: { source: await open('source'), target: await open('target') },
      control: await memoryControl({ control, client: instance }).connect(systemRuntime),
      runtime: systemRuntime,
      events: createEventHub(),
      instance,
    };
  };
  const context = await openContext('first');
  const events: ChangeoverEvent[] = [];
  context.events.subscribe((event) => events.push(event));
  const routers: Router[] = [];
  const openRouter: Rig['openRouter'] = async (input, instance) => {
    const own = instance === undefined ? context : await openContext(instance);
    const router = await createRouter(own, { ...options.router, ...input });
    routers.push(router);
    return router;
  };
  control.of(migrationName).state = initialState(migrationName);
  await context.stores.source.setup.install('authority', 1);
  await context.stores.target.setup.install('follower', 1);
  const router = await openRouter();
  const rig: Rig = {
    context,
    control,
    databases,
    events,
    router,
    publish(change) {
      const { state } = control.of(migrationName);
      const next = { ...(state ?? initialState(migrationName)), ...change };
      const published = { ...next, version: (state?.version ?? 0) + 1 };
      control.of(migrationName).state = published;
      control.publish(published);
      return published;
    },
    async guards(state) {
      for (const side of ['source', 'target'] as const) {
        const { guard } = context.stores[side];
        const role = expectedRole(state.phase, side);
        const wanted = { role, epoch: state.epoch, attempt: null };
        await guard.change(await guard.read(), wanted, 1_000);
      }
    },
    async enter(change) {
      const state = rig.publish(change);
      await rig.guards(state);
      await until(() => router.state().version >= state.version);
      return state;
    },
    openRouter,
    async stored(side, id) {
      const [answer] = await context.stores[side].records.read('customers', [[id]]);
      return answer?.record ?? null;
    },
    of: (type) => events.filter((event) => event.type === type) as never,
    obstruct: (side, prefix, how = 'hang') => obstruct(databases[side], prefix, how),
    async close() {
      for (const database of Object.values(databases)) database.hook = null;
      for (const one of routers) await one.close();
    },
  };
  await rig.guards(router.state());
  return rig;
}

function obstruct(
  database: MemoryDatabase,
  prefix: string,
  how: 'hang' | Error | number,
): () => void {
  let release: () => void = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const request = async (step: Step): Promise<void> => {
    if (!step.label.startsWith(prefix)) return;
    if (how instanceof Error) throw how;
    if (how === 'hang') await released;
    else await systemRuntime.clock.sleep(how);
  };
  database.hook = {
    request,
    reply: async () => {},
    row: async () => {},
    async commit(step, server) {
      await request(step);
      server.commit();
    },
  };
  return () => {
    database.hook = null;
    release();
  };
}

/** Polls until it is true; fails after two seconds. */
export async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 400; turn++) {
    if (await look()) return;
    await systemRuntime.clock.sleep(5);
  }
  throw new Error('It did not come true within two seconds.');
}
