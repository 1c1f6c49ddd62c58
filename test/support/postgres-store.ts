import { postgres } from '../../src/adapters/postgres/index.ts';
import type { PostgresOptions } from '../../src/adapters/postgres/postgres-connections.ts';
import type { Shape, Side } from '../../src/migration/index.ts';
import type { DataRecord, Key } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { AuthorityWrite, MigrationStore } from '../../src/store/index.ts';

export interface OpenedStores {
  /** Opens a store that is closed at the end of the test. */
  open(
    shapes: Readonly<Record<string, Shape>>,
    options?: PostgresOptions & { readonly side?: Side; readonly migration?: string },
  ): Promise<MigrationStore>;
  closeAll(): Promise<void>;
}

/** Stores on the database with this url. */
export function storesOn(url: () => string): OpenedStores {
  const opened: MigrationStore[] = [];
  return {
    async open(shapes, options = {}) {
      const { side = 'source', migration = 'shop', ...rest } = options;
      const store = await postgres({ url: url(), ...rest }).connect({
        migration,
        side,
        shapes: new Map(Object.entries(shapes)),
        runtime: systemRuntime,
      });
      opened.push(store);
      return store;
    },
    async closeAll() {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    },
  };
}

/** A put by epoch 1 with a journal row; anything can be overridden. */
export function aWrite(
  collection: string,
  key: Key,
  record: DataRecord,
  more: Partial<AuthorityWrite> = {},
): AuthorityWrite {
  return {
    collection,
    key,
    record,
    action: 'put',
    epoch: 1,
    journal: 'change',
    graceMs: 0,
    timeoutMs: 5_000,
    ...more,
  };
}
