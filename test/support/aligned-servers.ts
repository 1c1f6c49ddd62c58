import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import {
  type Collection,
  createEventHub,
  type Shape,
  type Side,
} from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

/** Orders with lines, alike on both sides. */
export const ordersDdl = `CREATE TABLE orders (id int PRIMARY KEY, customer varchar(40) NOT NULL, total decimal(12,2) NOT NULL);
  CREATE TABLE order_lines (order_id int NOT NULL, line int NOT NULL, product varchar(40) NOT NULL, PRIMARY KEY (order_id, line))`;

const flatShape: Shape = { table: 'orders', key: ['id'] };
const wholeShape: Shape = {
  ...flatShape,
  children: {
    lines: { table: 'order_lines', key: ['order_id', 'line'], parent: ['order_id'] },
  },
};

const ordersOf = (shape: Shape, capture: Collection['capture']): Collection => ({
  name: 'orders',
  source: shape,
  target: shape,
  forward: (record) => record,
  backward: (record) => record,
  identity: true,
  capture,
  write: 'serial',
  failureMode: 'fail-open',
  latencyBudgetMs: 1_000,
  shadowReadSample: 1,
  ignore: {},
  transformVersion: 1,
});

export type Engine = 'postgres' | 'mariadb';
export interface AlignedServers {
  /** Orders without their lines. */
  readonly flat: boolean;
  /** Default `log`. */
  readonly capture?: 'log' | 'outbox';
  /** Slots are named after it, and their names are the whole server's. */
  readonly migration: string;
  readonly source: { readonly engine: Engine; readonly url: string };
  readonly target: { readonly engine: Engine; readonly url: string };
}

/** Loaded when wanted: a process that is started for a test is there so much sooner. */
const connectors = {
  postgres: async () => (await import('../../src/adapters/postgres/index.ts')).postgres,
  mariadb: async () => (await import('../../src/adapters/mysql/index.ts')).mariadb,
} as const;

/** A process of the migration. */
export async function openAligned(
  servers: AlignedServers,
  control: ControlStore,
  instance: string,
): Promise<MigrationContext> {
  const { migration, capture = 'log' } = servers;
  const shape = servers.flat ? flatShape : wholeShape;
  const connect = async (side: Side) => {
    const { engine, url } = servers[side];
    return (await connectors[engine]())({ url }).connect({
      migration,
      side,
      shapes: new Map([['orders', shape]]),
      ...(capture === 'log' ? { logged: new Set(['orders']) } : {}),
      runtime: systemRuntime,
    });
  };
  return {
    migration: { name: migration, collections: new Map([['orders', ordersOf(shape, capture)]]) },
    stores: { source: await connect('source'), target: await connect('target') },
    control,
    runtime: systemRuntime,
    events: createEventHub(),
    instance,
  };
}
