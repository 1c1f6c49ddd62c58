import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { OpenedMigration } from '../../src/config/index.ts';
import { customerSql } from '../../src/demo/canonical-customer.ts';
import type { Seen } from '../../src/demo/ledger.ts';
import { type LegacyCustomer, legacyColumns } from '../../src/demo/shop-schema.ts';
import { legacyToModern } from '../../src/demo/shop-transform.ts';
import type { Side } from '../../src/demo/store-snapshot.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import { authorityOf } from '../../src/migration/index.ts';
import type { DataRecord, Row } from '../../src/record/index.ts';
import type { CollectionHandle, WriteReceipt } from '../../src/router/index.ts';
import type { ChaosAddresses } from './chaos-migration.ts';

const lookMs = 50;
const retryMs = 20;
const connectMs = 2_000;
/** As long as a router would hold a write. */
const patienceMs = 5_000;
/** The guard's word to whoever writes where he must not. */
const fenced = 'CO001';

/** The application's way to the customers, whoever makes it. */
export interface OpenedCustomers {
  readonly customers: CollectionHandle;
  close(): Promise<void>;
  /** See `WorkloadEvents`; a direct writer knows of no epoch. */
  readonly watching?: () => () => Seen;
}

/**
 * A program that knows nothing of the library: SQL of its own against the store that its configuration names, which it reads every so often.
 * Between two looks it writes wherever it wrote before, and nothing but the guard keeps it from the wrong store. What is refused is made again by a
 * newer configuration. Errors as of a router: OUTCOME_UNKNOWN when COMMIT was sent and not answered, anything else was not made.
 */
export async function openDirectCustomers(
  opened: OpenedMigration,
  { sourceUrl, targetUrl }: ChaosAddresses,
): Promise<OpenedCustomers> {
  const { control, migration } = opened;
  const look = async (): Promise<Side> => authorityOf((await control.load(migration.name)).phase);
  let side = await look();
  let closed = false;
  const looking = (async (): Promise<void> => {
    while (!closed) {
      side = await look().catch(() => side);
      await sleep(lookMs);
    }
  })();
  const pools = { source: openPool(sourceUrl), target: openPool(targetUrl) };

  const write = async (
    id: string,
    work: (client: pg.PoolClient, at: Side) => Promise<unknown>,
  ): Promise<WriteReceipt> => {
    const until = performance.now() + patienceMs;
    for (;;) {
      try {
        const at = side;
        await transaction(pools[at], (client) => work(client, at));
        return { key: [id], token: '', record: null };
      } catch (error) {
        const refused = (error as { readonly code?: string }).code === fenced;
        if (!refused || performance.now() > until) throw rejected(error);
        await sleep(retryMs);
      }
    }
  };
  const customers: CollectionHandle = {
    async get(key) {
      const { rows } = await pools[side].query(customerSql[side], [String(key)]);
      return (rows[0] as DataRecord | undefined) ?? null;
    },
    put: (record) =>
      write(String(record['id']), (client, at) => put(client, at, record as LegacyCustomer)),
    update: (key, fields) =>
      write(String(key), async (client, at) => {
        const id = String(key);
        await client.query('SELECT 1 FROM customers WHERE id = $1 FOR UPDATE', [id]);
        const { rows } = await client.query(customerSql[at], [id]);
        if (rows.length > 0) await put(client, at, { ...rows[0], ...fields } as LegacyCustomer);
      }),
    delete: (key) =>
      write(String(key), async (client, at) => {
        const id = String(key);
        await client.query('SELECT 1 FROM customers WHERE id = $1 FOR UPDATE', [id]);
        if (at === 'target') await deleteChildren(client, id);
        await client.query('DELETE FROM customers WHERE id = $1', [id]);
      }),
  };
  return {
    customers,
    async close() {
      closed = true;
      await looking;
      await Promise.all([pools.source.end(), pools.target.end()]);
    },
  };
}

function openPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({
    ...{ connectionString, application_name: 'shop', max: 6 },
    ...{ connectionTimeoutMillis: connectMs, statement_timeout: 10_000 },
  });
  pool.on('error', () => {});
  return pool;
}

const rejected = (cause: unknown): unknown =>
  cause instanceof ChangeoverError
    ? cause
    : new ChangeoverError(
        'STORE_UNAVAILABLE',
        `The write was not made: ${(cause as Error).message}`,
        {
          cause,
        },
      );

async function transaction(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<unknown>,
): Promise<void> {
  const client = await pool.connect();
  const onError = (): void => {};
  client.on('error', onError);
  let broken = true;
  try {
    await client.query('BEGIN');
    try {
      await work(client);
    } catch (error) {
      await client.query('ROLLBACK');
      broken = false;
      throw error;
    }
    await client.query('COMMIT').catch((cause: unknown) => {
      throw new ChangeoverError('OUTCOME_UNKNOWN', 'COMMIT was not answered.', { cause });
    });
    broken = false;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

async function put(client: pg.PoolClient, side: Side, legacy: LegacyCustomer): Promise<void> {
  const id = String(legacy.id);
  if (side === 'source') {
    const row = Object.fromEntries(legacyColumns.map((column) => [column, legacy[column]]));
    return upsert(client, 'customers', row);
  }
  const { addresses, contact_points, ...root } = legacyToModern(legacy);
  await upsert(client, 'customers', root as Row);
  await deleteChildren(client, id);
  for (const row of addresses as readonly Row[]) await upsert(client, 'addresses', row);
  for (const row of contact_points as readonly Row[]) await upsert(client, 'contact_points', row);
}

async function deleteChildren(client: pg.PoolClient, id: string): Promise<void> {
  for (const table of ['addresses', 'contact_points'])
    await client.query(`DELETE FROM ${table} WHERE customer_id = $1`, [id]);
}

/** Columns that are not given stay. */
async function upsert(client: pg.PoolClient, table: string, row: Row): Promise<void> {
  const columns = Object.keys(row).filter((column) => row[column] !== undefined);
  const key = table === 'customers' ? 'id' : 'customer_id, kind';
  await client.query(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((_, index) => `$${index + 1}`).join(', ')})
     ON CONFLICT (${key}) DO UPDATE SET ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}`,
    columns.map((column) => row[column] ?? null),
  );
}
