import { ChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import type { Reread } from '../../store/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import type { SqlResult, Statement } from './postgres-flight.ts';
import {
  keyColumns,
  keyElements,
  keyEquals,
  keyLockId,
  keySpelling,
  keyUnnest,
} from './postgres-key-sql.ts';
import { checkKeys, readRecords, readStatements } from './postgres-read.ts';
import { keyOfRow } from './postgres-rows.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, PostgresTransaction } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';

export const REREAD_KEYS_MAX = 500;
/** Nothing is waited for in a re-read but the role lock. */
const REREAD_MS = 30_000;

/**
 * Reads keys together with versions that are provably not newer, in one transaction: try-lock each key (writers of ours) → share-lock
 * its root row, skipping locked ones (writers that only the trigger sees) → draw the versions → read, in statements behind all that.
 * A key whose lock or row is held comes back `busy`; no lock is ever waited for, so nobody's transaction can be our deadlock victim.
 *
 * A row that is being inserted and not yet visible reads as absent. Its writer's own queue entry has an older number, but is not
 * visible either until it commits; whoever takes it re-reads with a newer version.
 */
export async function rereadKeys(
  session: PostgresSession,
  layout: PostgresLayout,
  collection: CatalogCollection,
  keys: readonly Key[],
  epoch: number,
): Promise<readonly Reread[]> {
  if (keys.length === 0) return [];
  checkRereadKeys(collection, keys);
  const what = `re-read of "${collection.collection}"`;
  return session.transaction(
    async (transaction) => {
      const [, tried] = await transaction.run([
        // Sealed too: what was committed before a change of authority is drained, and doubts are decided, behind the seal.
        {
          text: `SELECT ${layout.enter}(CASE WHEN role = 'sealed' THEN role ELSE 'authority' END, $1::int, false) FROM ${layout.guard}`,
          values: [String(epoch)],
        },
        tryLock(layout, collection, keys),
      ]);
      return readLocked(transaction, layout, collection, keys, epoch, tried);
    },
    { timeoutMs: REREAD_MS, what },
  );
}

/** CONFIG_INVALID for too many keys, KEY_INVALID for a malformed one. */
export function checkRereadKeys(collection: CatalogCollection, keys: readonly Key[]): void {
  if (keys.length > REREAD_KEYS_MAX) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `${keys.length} keys in one re-read, at most ${REREAD_KEYS_MAX}.`,
    );
  }
  checkKeys(collection, keys);
}

async function readLocked(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  collection: CatalogCollection,
  keys: readonly Key[],
  epoch: number,
  tried: SqlResult | undefined,
): Promise<readonly Reread[]> {
  const parts = collection.root.key.length;
  // Ordinal of a key → its spelling by the store, and whether the lock was free.
  const lines = [...(tried?.rows ?? [])].sort((a, b) => Number(a[0]) - Number(b[0]));
  const spelled = lines.map((line) => line.slice(1, parts + 1) as Key);
  const free = lines.flatMap((line, index) => (line[parts + 1] === 't' ? [index] : []));
  const freeKeys = free.map((index) => keys[index] as Key);
  const results =
    freeKeys.length === 0
      ? []
      : await transaction.run([
          shareLock(collection, freeKeys),
          draw(layout, freeKeys.length),
          ...readStatements(collection, freeKeys),
        ]);
  const [locked, versions, ...read] = results;
  const held = new Set((locked?.rows ?? []).map(([ordinal]) => Number(ordinal) - 1));
  const records = readRecords(collection, read, freeKeys.length);
  const answers: Reread[] = spelled.map((key) => ({
    key,
    state: 'busy',
    record: null,
    version: { epoch, sequence: 0n },
  }));
  free.forEach((index, at) => {
    const record = records[at] ?? null;
    // Visible but not locked: skipped, or inserted in between. Either way a writer is at it.
    if (record !== null && !held.has(at)) return;
    const key =
      record === null
        ? (spelled[index] as Key)
        : keyOfRow(collection, record as Readonly<Record<string, string>>);
    const sequence = BigInt(versions?.rows[at]?.[0] ?? 0);
    answers[index] = { key, state: 'read', record, version: { epoch, sequence } };
  });
  return answers;
}

function tryLock(
  layout: PostgresLayout,
  collection: CatalogCollection,
  keys: readonly Key[],
): Statement {
  const { key } = collection.root;
  const elements = keyElements(key, 'k');
  const id = keyLockId(key, elements, layout.keySeed(collection.collection));
  return {
    text: `SELECT k.n, ${keySpelling(key, elements).join(', ')}, pg_catalog.pg_try_advisory_xact_lock(${id}) FROM ${keyUnnest(key.length, 1, 'k')}`,
    values: keyColumns(keys, key.length).map((column) => textArray(column)),
  };
}

export function shareLock(collection: CatalogCollection, keys: readonly Key[]): Statement {
  const { root } = collection;
  const equals = keyEquals(root.key, 't', keyElements(root.key, 'k'));
  return {
    text: `SELECT k.n FROM ${keyUnnest(root.key.length, 1, 'k')} JOIN ${root.quoted} t ON ${equals} FOR SHARE OF t SKIP LOCKED`,
    values: keyColumns(keys, root.key.length).map((column) => textArray(column)),
  };
}

function draw(layout: PostgresLayout, count: number): Statement {
  return {
    text: `SELECT nextval($1::regclass) FROM generate_series(1, $2::int)`,
    values: [layout.version, String(count)],
  };
}
