import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { registerControlStoreConformance } from '../../src/testing/conformance/control-store-conformance.ts';

registerControlStoreConformance({
  name: 'sqlite',
  framework: { describe, test },
  async open() {
    const folder = mkdtempSync(join(tmpdir(), 'changeover-control-'));
    const connector = sqlite({ file: join(folder, 'deep', 'control.db') });
    const [first, second] = await Promise.all([
      connector.connect(systemRuntime),
      connector.connect(systemRuntime),
    ]);
    return {
      first,
      second,
      async close() {
        await Promise.all([first.close(), second.close()]);
        rmSync(folder, { recursive: true });
      },
    };
  },
});
