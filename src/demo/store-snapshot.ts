import pg from 'pg';
import { customerSql, snapshotSql } from './canonical-customer.ts';
import type { LegacyCustomer } from './shop-schema.ts';

export type Side = 'source' | 'target';

/** One customer as a store holds it. */
export interface SeenCustomer {
  readonly digest: string;
  readonly revision: string;
}

/** Customer id → what a store holds, all of one moment. */
export type StoreSnapshot = ReadonlyMap<string, SeenCustomer>;

/** Reads the whole store with the judge's own SQL, in one statement and so in one snapshot. */
export async function takeSnapshot(url: string, side: Side): Promise<StoreSnapshot> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<[string, string, string]>({
      text: snapshotSql[side],
      rowMode: 'array',
    });
    const snapshot = new Map<string, SeenCustomer>();
    for (const [id, digest, revision] of rows) snapshot.set(id, { digest, revision });
    return snapshot;
  });
}

/** One customer in legacy columns, null when the store has none. */
export async function readCustomer(
  url: string,
  side: Side,
  id: string,
): Promise<LegacyCustomer | null> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<LegacyCustomer>(customerSql[side], [id]);
    return rows[0] ?? null;
  });
}

async function withClient<Result>(
  url: string,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: 'demo-judge' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
