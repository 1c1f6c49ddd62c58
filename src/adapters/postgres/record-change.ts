import { ChangeoverError } from '../../errors/index.ts';
import type { Side } from '../../migration/index.ts';
import type { LooseValue, Version } from '../../record/index.ts';
import { toScalar } from '../../record/index.ts';
import { toChangeoverError } from './postgres-errors.ts';
import { postgresLayout } from './postgres-schema.ts';
import { quoteLiteral, textArray } from './postgres-text.ts';

/**
 * Anything that runs SQL inside the application's own transaction. A `pg` client as it is; for others a shim:
 *
 * - Prisma: `{ query: (text, values) => tx.$queryRawUnsafe(text, ...values) }`
 * - Drizzle (node-postgres): the `pg` client that the transaction runs on
 * - Kysely: `{ query: (text, values) => trx.executeQuery(CompiledQuery.raw(text, [...values])) }`
 * - Knex: `{ query: (text, values) => trx.raw(text.replaceAll(/\$\d+/g, '?'), [...values]) }`
 *
 * Rows are taken from the answer itself or from its `rows`; as objects or as arrays.
 */
export interface TransactionClient {
  query(text: string, values: readonly string[]): Promise<unknown>;
}

/** The record that the transaction changes. */
export interface ChangedRecord {
  readonly migration: string;
  readonly side: Side;
  readonly collection: string;
  /** One value, or the key's parts in order. */
  readonly key: LooseValue | readonly LooseValue[];
}

/** What stands in the queue for the change. */
export interface RecordedChange {
  /** Number in the authority's commit order of this key; the sequence of the version. */
  readonly sequence: Version['sequence'];
  readonly journalId: bigint;
}

/**
 * Tells the migration, inside the caller's own transaction, that this record is being changed: locks the key (until the transaction ends) and
 * the root row if there is one, and writes the queue entry, which commits or rolls back with everything else. Call it *before* the write where
 * you can (then no two transactions wait for each other in a circle), and once for each record.
 *
 * null: nothing of the migration is installed here, or it has not started; nothing was recorded and nothing needs to be.
 * Errors: AUTHORITY_FENCED (this store is not the authority any more: roll back and let the router decide), KEY_INVALID, STORE_REJECTED (unknown
 * collection; a role that could not write the table at `install`) and other STORE_* errors. After any error PostgreSQL has aborted the transaction: roll it back.
 */
export async function recordChange(
  client: TransactionClient,
  changed: ChangedRecord,
): Promise<RecordedChange | null> {
  const layout = postgresLayout(changed.migration, changed.side);
  const parts: readonly LooseValue[] = Array.isArray(changed.key) ? changed.key : [changed.key];
  const key = parts.map((part) => {
    const text = toScalar(part);
    if (text !== null) return text;
    throw new ChangeoverError(
      'KEY_INVALID',
      `A key of "${changed.collection}" has a part that is NULL.`,
    );
  });
  const what = `recording of a change of "${changed.collection}"`;
  try {
    // Asked each time, and apart: calling what is not there would abort the caller's transaction.
    const signature = `${layout.recordChange}(text,text[])`;
    const present = firstValue(
      await client.query(
        `SELECT coalesce(to_regprocedure(${quoteLiteral(signature)})::text, '') AS found`,
        [],
      ),
    );
    if (present === null || present === '') return null;
    const answer = await client.query(
      `SELECT ${layout.recordChange}($1::text, $2::text[])::text AS id`,
      [changed.collection, textArray(key)],
    );
    const id = firstValue(answer);
    return id === null ? null : { sequence: BigInt(id), journalId: BigInt(id) };
  } catch (error) {
    throw toChangeoverError(error, what);
  }
}

/** The first value of the first row of whatever the client answers. */
function firstValue(answer: unknown): string | null {
  const rows = Array.isArray(answer) ? answer : (answer as { readonly rows?: unknown }).rows;
  const row: unknown = Array.isArray(rows) ? rows[0] : undefined;
  if (row === undefined || row === null) return null;
  const value: unknown = Array.isArray(row) ? row[0] : Object.values(row as object)[0];
  return value === null || value === undefined ? null : String(value);
}
