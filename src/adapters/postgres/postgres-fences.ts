import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import {
  type Change,
  compareVersions,
  encodeKey,
  type Key,
  type Version,
} from '../../record/index.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, SqlResult, Statement } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';

/** The change of each key that counts in a batch, by collection, both in ascending order: the order in which fences are locked. */
export interface Winners {
  readonly collection: string;
  /** Encoded key → change with the highest version; ordered by encoded key. */
  readonly changes: ReadonlyMap<string, Change>;
}

const ascending = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Highest version per key. Of equal ones a repair, which is let in where the others are not. */
export function winnersOf(changes: readonly Change[]): readonly Winners[] {
  const found = new Map<string, Map<string, Change>>();
  for (const change of changes) {
    const key = encodeKey(change.key);
    let keys = found.get(change.collection);
    if (keys === undefined) {
      keys = new Map();
      found.set(change.collection, keys);
    }
    const other = keys.get(key);
    const order = other ? compareVersions(change.version, other.version) : 1;
    const wins =
      order > 0 || (order === 0 && change.origin === 'repair' && other?.origin !== 'repair');
    if (wins) keys.set(key, change);
  }
  return [...found]
    .sort(ascending)
    .map(([collection, keys]) => ({ collection, changes: new Map([...keys].sort(ascending)) }));
}

/**
 * Raises the fences that admit the winners and returns their keys. Every fence is locked, in key order, the ones that refuse as well: they stand
 * still until the end of the transaction.
 */
export function raiseFences(layout: PostgresLayout, { collection, changes }: Winners): Statement {
  const keys = [...changes.keys()];
  const list = [...changes.values()];
  const repairs = keys.filter((key) => changes.get(key)?.origin === 'repair');
  return {
    text: `INSERT INTO ${layout.fence} AS f (collection, key, epoch, sequence, deleted)
      SELECT $1, u.key, u.epoch, u.sequence, u.deleted
      FROM unnest($2::text[], $3::int[], $4::bigint[], $5::boolean[]) AS u(key, epoch, sequence, deleted)
      ORDER BY u.key COLLATE "C"
      ON CONFLICT (collection, key) DO UPDATE
        SET epoch = excluded.epoch, sequence = excluded.sequence, deleted = excluded.deleted
        WHERE (f.epoch, f.sequence) < (excluded.epoch, excluded.sequence)
          OR (f.epoch, f.sequence) = (excluded.epoch, excluded.sequence) AND excluded.key = ANY ($6::text[])
      RETURNING f.key`,
    values: [
      collection,
      textArray(keys),
      textArray(list.map(({ version }) => String(version.epoch))),
      textArray(list.map(({ version }) => String(version.sequence))),
      textArray(list.map(({ value }) => String(value === null))),
      textArray(repairs),
    ],
  };
}

/** Locks one fence without raising it; the second statement returns it, at epoch 0 when it is new. */
export function lockFence(
  layout: PostgresLayout,
  collection: string,
  key: Key,
): readonly Statement[] {
  const values = [collection, encodeKey(key)];
  return [
    {
      text: `INSERT INTO ${layout.fence} (collection, key, epoch, sequence, deleted)
        VALUES ($1, $2, 0, 0, false) ON CONFLICT (collection, key) DO NOTHING`,
      values,
    },
    {
      text: `SELECT epoch, sequence FROM ${layout.fence} WHERE collection = $1 AND key = $2 FOR UPDATE`,
      values,
    },
  ];
}

/** Sets a fence that this transaction has locked. */
export function setFence(
  layout: PostgresLayout,
  change: Pick<Change, 'collection' | 'key' | 'value'>,
  version: Version,
): Statement {
  return {
    text: `UPDATE ${layout.fence} SET epoch = $3, sequence = $4, deleted = $5 WHERE collection = $1 AND key = $2`,
    values: [
      change.collection,
      encodeKey(change.key),
      String(version.epoch),
      String(version.sequence),
      String(change.value === null),
    ],
  };
}

/** The version in a row `epoch, sequence`. */
export function versionIn(result: SqlResult | undefined): Version | null {
  const [epoch, sequence] = result?.rows[0] ?? [];
  return epoch == null || sequence == null
    ? null
    : { epoch: Number(epoch), sequence: BigInt(sequence) };
}

export async function readFences(
  session: PostgresSession,
  layout: PostgresLayout,
  collection: string,
  keys: readonly Key[],
): Promise<readonly (Version | null)[]> {
  if (keys.length === 0) return [];
  const { rows } = await session.query(
    `SELECT f.epoch, f.sequence FROM unnest($2::text[]) WITH ORDINALITY AS k(key, n)
      LEFT JOIN ${layout.fence} f ON f.collection = $1 AND f.key = k.key ORDER BY k.n`,
    [collection, textArray(keys.map(encodeKey))],
    { what: `fences of "${collection}"` },
  );
  return rows.map(([epoch, sequence]) =>
    epoch == null || sequence == null ? null : { epoch: Number(epoch), sequence: BigInt(sequence) },
  );
}

/** Fences per transaction: the chunk table is locked meanwhile. */
const PRUNED_MAX = 10_000;
const PRUNE_LOCK_MS = 1_000;
const PRUNE_MS = 30_000;
/** A chunk that begins between the two steps is one attempt; a backfill that runs begins several a second. */
const PRUNE_ATTEMPTS_MAX = 20;

/**
 * Deletes fences older than `before`, in batches. Each batch under a lock of the chunk table that lets no chunk begin or be written, with none in
 * flight: so whatever a chunk writes later was read after the fences went.
 *
 * In two steps, because the door locks fences and then chunk records: whoever held records and then wanted fences would wait in a circle with
 * it. The table lock is none that the door waits for. Fences that somebody has locked are left: they are about to be newer.
 */
export async function pruneFences(
  session: PostgresSession,
  layout: PostgresLayout,
  before: Version,
): Promise<number> {
  let pruned = 0;
  for (let attempt = 1; ; attempt += 1) {
    await abandonChunks(session, layout);
    const batch = await pruneBatch(session, layout, before).catch((error: unknown) => {
      if (!isChangeoverError(error, 'STORE_CONFLICT') || attempt >= PRUNE_ATTEMPTS_MAX) throw error;
      return null;
    });
    if (batch === null) {
      await session.runtime.clock.sleep(session.runtime.random.next() * 50);
      continue;
    }
    pruned += batch;
    if (batch < PRUNED_MAX) return pruned;
    attempt = 0;
  }
}

/** Waits for the chunks that are being written; their records are done then. */
async function abandonChunks(session: PostgresSession, layout: PostgresLayout): Promise<void> {
  await session.query(
    `UPDATE ${layout.chunk} SET state = 'abandoned' WHERE state = 'in-flight'`,
    [],
    { what: 'abandoning of chunks in flight' },
  );
}

async function pruneBatch(
  session: PostgresSession,
  layout: PostgresLayout,
  before: Version,
): Promise<number> {
  return session.transaction(
    async (transaction) => {
      const [, , found] = await transaction.run([
        { text: `SELECT pg_catalog.set_config('lock_timeout', '${PRUNE_LOCK_MS}', true)` },
        { text: `LOCK TABLE ${layout.chunk} IN SHARE ROW EXCLUSIVE MODE` },
        { text: `SELECT EXISTS (SELECT 1 FROM ${layout.chunk} WHERE state = 'in-flight')` },
      ]);
      if (found?.rows[0]?.[0] !== 'f')
        throw new ChangeoverError('STORE_CONFLICT', 'Chunks began while fences were to be pruned.');
      const { count } = await transaction.query(
        `WITH old AS MATERIALIZED (
            SELECT collection, key FROM ${layout.fence} WHERE (epoch, sequence) < ($1::int, $2::bigint)
            LIMIT ${PRUNED_MAX} FOR UPDATE SKIP LOCKED)
          DELETE FROM ${layout.fence} f USING old
          WHERE f.collection = old.collection AND f.key = old.key`,
        [String(before.epoch), String(before.sequence)],
      );
      return count;
    },
    { timeoutMs: PRUNE_MS, what: 'pruning of fences' },
  );
}
