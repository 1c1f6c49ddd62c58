import { postgres, postgresControl } from '../../src/adapters/postgres/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import {
  type Collection,
  createEventHub,
  type Migration,
  type Shape,
  type Side,
} from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';

/** Addresses of three PostgreSQL databases. */
export interface Addresses {
  readonly source: string;
  readonly target: string;
  readonly control: string;
}

const shape: Shape = { table: 'items', key: ['id'], columns: ['id', 'value'] };
const items: Collection = {
  name: 'items',
  source: shape,
  target: shape,
  forward: (record) => record,
  backward: (record) => record,
  identity: true,
  capture: 'app',
  write: 'deferred',
  failureMode: 'fail-open',
  latencyBudgetMs: 50,
  shadowReadSample: 0,
  ignore: {},
  transformVersion: 1,
};
const migration: Migration = { name: 'bench', collections: new Map([['items', items]]) };

/** The migration of the benchmark as one process opens it, and what closes it. */
export async function openBenchMigration(
  addresses: Addresses,
  instance: string,
): Promise<MigrationContext & { close(): Promise<void> }> {
  const connect = (side: Side): Promise<MigrationStore> =>
    postgres({ url: addresses[side], poolMax: 2 }).connect({
      migration: migration.name,
      side,
      shapes: new Map([['items', shape]]),
      runtime: systemRuntime,
    });
  const stores = { source: await connect('source'), target: await connect('target') };
  const control = await postgresControl({ url: addresses.control }).connect(systemRuntime);
  return {
    migration,
    stores,
    control,
    runtime: systemRuntime,
    events: createEventHub(),
    instance,
    async close() {
      await Promise.all([stores.source.close(), stores.target.close(), control.close()]);
    },
  };
}
