import { describe, test } from 'vitest';
import { MemoryControl, memoryControl } from '../../src/adapters/memory/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { registerControlStoreConformance } from '../../src/testing/conformance/control-store-conformance.ts';

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
