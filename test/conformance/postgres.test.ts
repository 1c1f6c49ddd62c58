import { describe, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import {
  conformanceShapes,
  foreignSql,
  type LoggedStores,
  registerStoreConformance,
} from '../../src/testing/index.ts';
import { query, withClient, withDatabases } from '../support/databases.ts';

const databases = withDatabases(2);

const tables = `
  CREATE TABLE items (id text PRIMARY KEY, name text CHECK (name <> 'forbidden'), note text);
  CREATE TABLE orders (tenant text, number text, customer text, PRIMARY KEY (tenant, number));
  CREATE TABLE order_lines (tenant text, number text, line text, product text, PRIMARY KEY (tenant, number, line));
  CREATE TABLE order_tags (tag text PRIMARY KEY, tenant text, number text, label text);
  ALTER TABLE order_tags REPLICA IDENTITY FULL`;

const dialect = {
  quote: (name: string) => `"${name}"`,
  placeholder: (index: number) => `$${index}`,
};

async function open(logged: ReadonlySet<string>): Promise<LoggedStores> {
  const urls = { source: databases.url(0), target: databases.url(1) };
  await Promise.all(Object.values(urls).map((url) => query(url, tables)));
  const connect = (side: Side): Promise<MigrationStore> =>
    postgres({ url: urls[side], poolMax: 6 }).connect({
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
      const values = [String(id), name, note];
      await query(urls[side], 'INSERT INTO items VALUES ($1, $2, $3)', values);
    },
    foreignTransaction: (side, statements, beforeCommit) =>
      withClient(urls[side], async (client) => {
        await client.query('BEGIN');
        for (const statement of statements) {
          const { text, values } = foreignSql(statement, dialect);
          await client.query(text, [...values]);
        }
        await beforeCommit?.();
        await client.query('COMMIT');
      }),
    async close() {
      for (const { log } of [stores.source, stores.target])
        for (const stream of (await log?.installed()) ?? []) await log?.remove(stream);
      await Promise.all(Object.values(stores).map((store) => store.close()));
      const drop = (side: Side): Promise<unknown> =>
        query(
          urls[side],
          `DROP TABLE items, order_tags, order_lines, orders; DROP SCHEMA IF EXISTS changeover_conformance_${side} CASCADE`,
        );
      await Promise.all([drop('source'), drop('target')]);
    },
  };
}

registerStoreConformance({
  name: 'postgres',
  framework: { describe, test },
  capabilities: {
    supportsTransactions: true,
    supportsGuard: true,
    supportsTriggerOutbox: true,
    supportsCopyStream: true,
    batchMax: 1_000,
  },
  refusesForbidden: true,
  open: () => open(new Set()),
  openLogged: () => open(new Set(conformanceShapes.keys())),
});
