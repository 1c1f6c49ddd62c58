import { describe, test } from 'vitest';
import {
  MemoryControl,
  MemoryDatabase,
  memoryCapabilities,
  memoryControl,
  memoryForeignWriter,
  memoryStore,
} from '../../src/adapters/memory/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { registerControlStoreConformance } from '../../src/testing/conformance/control-store-conformance.ts';
import {
  conformanceShapes,
  registerStoreConformance,
} from '../../src/testing/conformance/index.ts';

const constraints = {
  items: (row: unknown) => ((row as { name?: string }).name === 'forbidden' ? 'forbidden' : null),
};

registerStoreConformance({
  name: 'memory',
  framework: { describe, test },
  capabilities: memoryCapabilities,
  refusesForbidden: true,
  async open() {
    const databases = {
      source: new MemoryDatabase({ label: 'source', constraints }),
      target: new MemoryDatabase({ label: 'target', constraints }),
    };
    const connect = (side: Side) =>
      memoryStore({ database: databases[side] }).connect({
        migration: 'conformance',
        side,
        shapes: conformanceShapes,
        runtime: systemRuntime,
      });
    const [source, target, sourceAgain, targetAgain] = await Promise.all([
      connect('source'),
      connect('target'),
      connect('source'),
      connect('target'),
    ]);
    return {
      source,
      target,
      sourceAgain,
      targetAgain,
      async foreignInsert(side, record) {
        const writer = memoryForeignWriter({
          database: databases[side],
          migration: 'conformance',
          side,
          shapes: conformanceShapes,
          client: 'foreign',
          mark: null,
        });
        await writer.put('items', [String(record['id'])], record);
      },
      async close() {
        for (const store of [source, target, sourceAgain, targetAgain]) await store.close();
      },
    };
  },
});

registerControlStoreConformance({
  name: 'memory',
  framework: { describe, test },
  async open() {
    const control = new MemoryControl();
    const first = await memoryControl({ control }).connect(systemRuntime);
    const second = await memoryControl({ control }).connect(systemRuntime);
    return {
      first,
      second,
      async close() {
        await first.close();
        await second.close();
      },
    };
  },
});
