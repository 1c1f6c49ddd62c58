import { afterEach, beforeEach } from 'vitest';
import type { MysqlSession } from '../../src/adapters/mysql/mysql-session.ts';
import type { Shape } from '../../src/migration/index.ts';
import type { DataRecord, Key } from '../../src/record/index.ts';
import type { AuthorityWrite, MigrationStore, Written } from '../../src/store/index.ts';
import { mysqlStoresOn } from './mysql-store.ts';
import { withMariadb } from './private-mariadb.ts';

/** An own write of epoch 1. */
export const write = (
  store: MigrationStore,
  collection: string,
  key: Key,
  record: DataRecord,
  options: Partial<AuthorityWrite> = {},
): Promise<Written> =>
  store.records.write({
    collection,
    key,
    action: 'put',
    record,
    epoch: 1,
    journal: 'change',
    graceMs: 0,
    timeoutMs: 10_000,
    ...options,
  });

/** A MariaDB authority for each test; called inside of `describe`. */
export function mysqlRecords() {
  const databases = withMariadb(1, { scope: 'test' });
  const stores = mysqlStoresOn(() => databases.url(0));
  const sessions: MysqlSession[] = [];
  const query = (sql: string) => databases.query(0, sql);

  beforeEach(async () => {
    await query('DROP DATABASE IF EXISTS changeover_shop_source');
  });
  afterEach(async () => {
    await stores.closeAll();
    await Promise.all(sessions.splice(0).map((session) => session.close()));
  });

  async function authority(
    shapes: Readonly<Record<string, Shape>>,
    logged: readonly string[] = [],
  ): Promise<MigrationStore> {
    const store = await stores.open(shapes, { logged });
    await store.setup.install('authority', 1);
    return store;
  }

  return { databases, stores, sessions, query, authority };
}
