import { createConnection } from 'mysql2/promise';
import { describe, test } from 'vitest';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import {
  conformanceShapes,
  foreignSql,
  type LoggedStores,
  registerStoreConformance,
} from '../../src/testing/index.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

// Keys in bytewise order, in which blanks at the end count.
const options = 'ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_nopad_bin';
const tables = [
  `CREATE TABLE items (id varchar(190) PRIMARY KEY, name text CHECK (name <> 'forbidden'), note text) ${options}`,
  `CREATE TABLE orders (tenant varchar(190), number varchar(190), customer text, PRIMARY KEY (tenant, number)) ${options}`,
  `CREATE TABLE order_lines (tenant varchar(190), number varchar(190), line varchar(190), product text, PRIMARY KEY (tenant, number, line)) ${options}`,
  `CREATE TABLE order_tags (tag varchar(190) PRIMARY KEY, tenant text, number text, label text) ${options}`,
];
const index: Readonly<Record<Side, number>> = { source: 0, target: 1 };
const dialect = { quote: (name: string) => `\`${name}\``, placeholder: () => '?' };

describe.skipIf(missingMariadb())('on MariaDB', () => {
  const databases = withMariadb(2);

  async function open(logged: ReadonlySet<string>): Promise<LoggedStores> {
    for (const at of [0, 1]) for (const table of tables) await databases.query(at, table);
    const connect = (side: Side): Promise<MigrationStore> =>
      mariadb({ url: databases.url(index[side]), poolMax: 6 }).connect({
        migration: 'conformance',
        side,
        shapes: conformanceShapes,
        runtime: systemRuntime,
        logged,
      });
    const stores = {
      source: await connect('source'),
      target: await connect('target'),
      sourceAgain: await connect('source'),
      targetAgain: await connect('target'),
    };
    return {
      ...stores,
      async foreignInsert(side, { id, name, note }) {
        const values = [id, name, note].map((value) => (value == null ? null : String(value)));
        await databases.query(index[side], 'INSERT INTO items VALUES (?, ?, ?)', values);
      },
      async foreignTransaction(side, statements, beforeCommit) {
        const client = await createConnection(databases.url(index[side]));
        try {
          await client.query('BEGIN');
          for (const statement of statements) {
            const { text, values } = foreignSql(statement, dialect);
            await client.query(text, [...values]);
          }
          await beforeCommit?.();
          await client.query('COMMIT');
        } finally {
          await client.end();
        }
      },
      async close() {
        await Promise.all(Object.values(stores).map((store) => store.close()));
        for (const side of ['source', 'target'] as const) {
          const at = index[side];
          await databases.query(at, 'DROP TABLE items, order_tags, order_lines, orders');
          await databases.query(at, `DROP DATABASE IF EXISTS changeover_conformance_${side}`);
        }
      },
    };
  }

  registerStoreConformance({
    name: 'mysql',
    framework: { describe, test },
    capabilities: {
      supportsTransactions: true,
      supportsGuard: true,
      supportsTriggerOutbox: true,
      supportsCopyStream: false,
      batchMax: 1_000,
    },
    refusesForbidden: true,
    open: () => open(new Set()),
    openLogged: () => open(new Set(conformanceShapes.keys())),
  });
});
