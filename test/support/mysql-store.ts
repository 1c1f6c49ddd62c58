import { mariadb } from '../../src/adapters/mysql/index.ts';
import type { MysqlOptions } from '../../src/adapters/mysql/mysql-options.ts';
import type { Shape, Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';

export interface OpenedMysqlStores {
  /** Opens a store that is closed at the end of the test. */
  open(
    shapes: Readonly<Record<string, Shape>>,
    options?: MysqlOptions & {
      readonly side?: Side;
      readonly migration?: string;
      readonly logged?: readonly string[];
    },
  ): Promise<MigrationStore>;
  closeAll(): Promise<void>;
}

/** Stores on the database with this url. */
export function mysqlStoresOn(url: () => string): OpenedMysqlStores {
  const opened: MigrationStore[] = [];
  return {
    async open(shapes, options = {}) {
      const { side = 'source', migration = 'shop', logged = [], ...rest } = options;
      const store = await mariadb({ url: url(), ...rest }).connect({
        migration,
        side,
        shapes: new Map(Object.entries(shapes)),
        runtime: systemRuntime,
        logged: new Set(logged),
      });
      opened.push(store);
      return store;
    },
    async closeAll() {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    },
  };
}
