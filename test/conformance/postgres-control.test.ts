import { describe, test } from 'vitest';
import { postgresControl } from '../../src/adapters/postgres/postgres-control-store.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { registerControlStoreConformance } from '../../src/testing/conformance/control-store-conformance.ts';
import { withDatabases } from '../support/databases.ts';

describe('on a server', () => {
  const databases = withDatabases(1, { scope: 'test' });
  registerControlStoreConformance({
    name: 'postgres',
    framework: { describe, test },
    async open() {
      const connector = postgresControl({ url: databases.url(0) });
      const [first, second] = await Promise.all([
        connector.connect(systemRuntime),
        connector.connect(systemRuntime),
      ]);
      return {
        first,
        second,
        close: async () => {
          await Promise.all([first.close(), second.close()]);
        },
      };
    },
  });
});
