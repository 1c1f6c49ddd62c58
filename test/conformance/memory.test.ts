import { describe, test } from 'vitest';
import {
  MemoryDatabase,
  memoryCapabilities,
  memoryForeignWriter,
  memoryStore,
} from '../../src/adapters/memory/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { conformanceShapes, registerStoreConformance } from '../../src/testing/index.ts';

const refuse = (row: unknown): string | null =>
  (row as { readonly name?: unknown }).name === 'forbidden' ? 'the name is forbidden' : null;

registerStoreConformance({
  name: 'memory',
  framework: { describe, test },
  capabilities: memoryCapabilities,
  refusesForbidden: true,
  async open() {
    const databases = {
      source: new MemoryDatabase({ constraints: { items: refuse } }),
      target: new MemoryDatabase({ constraints: { items: refuse } }),
    };
    const connect = (side: Side, client: string): Promise<MigrationStore> =>
      memoryStore({ database: databases[side], client }).connect({
        migration: 'conformance',
        side,
        shapes: conformanceShapes,
        runtime: systemRuntime,
      });
    const stores = {
      source: await connect('source', 'one'),
      target: await connect('target', 'one'),
      sourceAgain: await connect('source', 'two'),
      targetAgain: await connect('target', 'two'),
    };
    return {
      ...stores,
      foreignInsert: (side, record) =>
        memoryForeignWriter({
          database: databases[side],
          migration: 'conformance',
          side,
          shapes: conformanceShapes,
          client: 'foreign',
          mark: null,
        }).put('items', [String(record['id'])], record),
      async close() {
        for (const store of Object.values(stores)) await store.close();
      },
    };
  },
});
