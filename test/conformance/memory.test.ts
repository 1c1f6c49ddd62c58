import { describe, test } from 'vitest';
import {
  MemoryDatabase,
  memoryCapabilities,
  memoryForeignWriter,
  memoryStore,
  type StepHook,
} from '../../src/adapters/memory/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { systemRandom, systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import {
  conformanceShapes,
  type LoggedStores,
  registerStoreConformance,
} from '../../src/testing/index.ts';

const refuse = (row: unknown): string | null =>
  (row as { readonly name?: unknown }).name === 'forbidden' ? 'the name is forbidden' : null;

/** A commit is in the log some time before it can be seen. */
const slowToSurface: StepHook = {
  request: async () => {},
  reply: async () => {},
  row: async () => {},
  commit: async (_step, server) => server.commit(),
  surface: () => systemRuntime.clock.sleep(systemRandom.next() * 4),
};

async function open(logged: ReadonlySet<string>, hook: StepHook | null): Promise<LoggedStores> {
  const database = () => new MemoryDatabase({ constraints: { items: refuse }, hook });
  const databases = { source: database(), target: database() };
  const connect = (side: Side, client: string): Promise<MigrationStore> =>
    memoryStore({ database: databases[side], client }).connect({
      migration: 'conformance',
      side,
      shapes: conformanceShapes,
      logged,
      runtime: systemRuntime,
    });
  const foreign = (side: Side) =>
    memoryForeignWriter({
      database: databases[side],
      migration: 'conformance',
      side,
      shapes: conformanceShapes,
      client: 'foreign',
      mark: null,
    });
  const stores = {
    source: await connect('source', 'one'),
    target: await connect('target', 'one'),
    sourceAgain: await connect('source', 'two'),
    targetAgain: await connect('target', 'two'),
  };
  return {
    ...stores,
    foreignInsert: (side, record) => foreign(side).put('items', [String(record['id'])], record),
    foreignTransaction: (side, statements, beforeCommit) =>
      foreign(side).run(statements, beforeCommit),
    async close() {
      for (const store of Object.values(stores)) await store.close();
    },
  };
}

registerStoreConformance({
  name: 'memory',
  framework: { describe, test },
  capabilities: memoryCapabilities,
  refusesForbidden: true,
  open: () => open(new Set(), null),
  openLogged: () => open(new Set(conformanceShapes.keys()), slowToSurface),
});
