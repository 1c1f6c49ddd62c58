import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import {
  type Change,
  compareVersions,
  encodeKey,
  type Key,
  type Scalar,
  type Version,
} from '../../record/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { keyIdentities } from './mysql-key-sql.ts';
import { keyId, type MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession, MysqlTransaction, SqlResult } from './mysql-session.ts';
import { literal, quoteLiteral } from './mysql-text.ts';

/** The change of each key that counts in a batch, by collection, both in ascending order: the order in which fences are locked. */
export interface Winners {
  readonly collection: CatalogCollection;
  /** `key_id` → change with the highest version; in ascending order. */
  readonly changes: ReadonlyMap<string, Change>;
}

const ascending = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));

type Run = (statements: readonly string[]) => Promise<readonly SqlResult[]>;

/** What stands in `key_id` for these keys, in order. Asks the server only where keys fold. */
export async function fenceIds(
  run: Run,
  collection: CatalogCollection,
  keys: readonly Key[],
): Promise<readonly string[]> {
  return (await keyIdentities(run, collection, keys)).map(keyId);
}

/**
 * Highest version per key. Of equal ones a repair, which is let in where the others are not; and of a tombstone and a record the record: they come from
 * one transaction that has changed the spelling of a key ('Ada' is gone, 'ADA' is there), which is one row here.
 */
export async function winnersOf(
  { session, catalog }: Pick<MysqlStoreParts, 'session' | 'catalog'>,
  changes: readonly Change[],
): Promise<readonly Winners[]> {
  const lists = new Map<string, Change[]>();
  for (const change of changes) {
    const list = lists.get(change.collection);
    if (list === undefined) lists.set(change.collection, [change]);
    else list.push(change);
  }
  const found: Winners[] = [];
  for (const [name, list] of [...lists].sort(ascending)) {
    const collection = await catalog.collection(name);
    const ids = await fenceIds(
      session.run,
      collection,
      list.map(({ key }) => key),
    );
    const best = new Map<string, Change>();
    for (const [index, change] of list.entries()) {
      const id = ids[index] ?? '';
      if (wins(change, best.get(id))) best.set(id, change);
    }
    found.push({ collection, changes: new Map([...best].sort(ascending)) });
  }
  return found;
}

function wins(change: Change, other: Change | undefined): boolean {
  if (other === undefined) return true;
  const order = compareVersions(change.version, other.version);
  if (order !== 0) return order > 0;
  if (other.origin === 'repair') return false;
  return change.origin === 'repair' || (other.value === null && change.value !== null);
}

/** Rows in one statement. */
const BATCH_MAX = 1_000;

function batches<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const found: (readonly Item[])[] = [];
  for (let at = 0; at < items.length; at += BATCH_MAX) found.push(items.slice(at, at + BATCH_MAX));
  return found;
}

const COLUMNS = '(collection, key_id, epoch, sequence, deleted, key_text)';
/** `key_id` is bytes; this is the text again. */
const KEY_ID = 'CONVERT(key_id USING utf8mb4)';

function fenceRow(
  collection: string,
  id: string,
  key: Key,
  version: Version,
  deleted: boolean,
): string {
  const encoded = encodeKey(key);
  const text = id === encoded ? null : encoded;
  return `(${quoteLiteral(collection)}, ${quoteLiteral(id)}, ${version.epoch}, ${version.sequence}, ${deleted ? 1 : 0}, ${literal(text)})`;
}

const NOTHING: Version = { epoch: 0, sequence: 0n };

/**
 * Locks the fences of the winners in key order, at epoch 0 where they are new; the last statements answer with `key_id, epoch, sequence`, read without a lock:
 * they stand still until the end of the transaction.
 */
export function lockFences(
  layout: MysqlLayout,
  { collection: { collection }, changes }: Winners,
): { readonly lock: readonly string[]; readonly look: readonly string[] } {
  const rows = [...changes].map(([id, { key }]) => fenceRow(collection, id, key, NOTHING, false));
  return {
    lock: batches(rows).map(
      (some) =>
        `INSERT INTO ${layout.fence} ${COLUMNS} VALUES ${some.join(', ')} ON DUPLICATE KEY UPDATE epoch = epoch`,
    ),
    look: batches([...changes.keys()]).map((ids) => lookAt(layout, collection, ids)),
  };
}

function lookAt(layout: MysqlLayout, collection: string, ids: readonly string[]): string {
  return `SELECT ${KEY_ID}, epoch, sequence, deleted FROM ${layout.fence}
    WHERE collection = ${quoteLiteral(collection)} AND key_id IN (${ids.map(quoteLiteral).join(', ')})`;
}

/**
 * Locks the fences and raises those that are not newer than their change, all at once: for changes that are let in also with the version that the fence holds. A change
 * is in when the look finds its version.
 */
export function raiseOrLock(
  layout: MysqlLayout,
  { collection: { collection }, changes }: Winners,
): { readonly lock: readonly string[]; readonly look: readonly string[] } {
  const rows = [...changes].map(([id, { key, version, value }]) =>
    fenceRow(collection, id, key, version, value === null),
  );
  // Assignments see those before them: the epoch goes last, and needs no condition.
  const older = 'epoch < VALUES(epoch) OR (epoch = VALUES(epoch) AND sequence <= VALUES(sequence))';
  return {
    lock: batches(rows).map(
      (
        some,
      ) => `INSERT INTO ${layout.fence} ${COLUMNS} VALUES ${some.join(', ')} ON DUPLICATE KEY UPDATE
        deleted = IF(${older}, VALUES(deleted), deleted), sequence = IF(${older}, VALUES(sequence), sequence), epoch = GREATEST(epoch, VALUES(epoch))`,
    ),
    look: batches([...changes.keys()]).map((ids) => lookAt(layout, collection, ids)),
  };
}

/** The versions in rows `key_id, epoch, sequence`. */
export function versionsIn(rows: readonly (readonly Scalar[])[]): ReadonlyMap<string, Version> {
  return new Map(
    rows.map(([id, epoch, sequence]) => [
      id ?? '',
      { epoch: Number(epoch), sequence: BigInt(sequence ?? 0) },
    ]),
  );
}

/** Raises fences that this transaction has locked. */
export function raiseFences(
  layout: MysqlLayout,
  collection: string,
  changes: readonly (readonly [string, Pick<Change, 'key' | 'version' | 'value'>])[],
): readonly string[] {
  const rows = changes.map(([id, { key, version, value }]) =>
    fenceRow(collection, id, key, version, value === null),
  );
  return batches(rows).map(
    (some) => `INSERT INTO ${layout.fence} ${COLUMNS} VALUES ${some.join(', ')}
      ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), sequence = VALUES(sequence), deleted = VALUES(deleted)`,
  );
}

/**
 * Locks one fence without raising it, and changes it: the transaction's first row event is on a table of ours, which is how the log knows it. Who commits
 * sets it for good (`setFence`).
 */
export function lockFence(
  layout: MysqlLayout,
  collection: string,
  id: string,
  key: Key,
): readonly string[] {
  return [
    `INSERT INTO ${layout.fence} ${COLUMNS} VALUES ${fenceRow(collection, id, key, NOTHING, false)}
      ON DUPLICATE KEY UPDATE deleted = 1 - deleted`,
    lookAt(layout, collection, [id]),
  ];
}

/** Sets a fence that this transaction has locked. */
export function setFence(
  layout: MysqlLayout,
  { collection, value }: Pick<Change, 'collection' | 'value'>,
  id: string,
  version: Version,
): string {
  return `UPDATE ${layout.fence} SET epoch = ${version.epoch}, sequence = ${version.sequence}, deleted = ${value === null ? 1 : 0}
    WHERE collection = ${quoteLiteral(collection)} AND key_id = ${quoteLiteral(id)}`;
}

/** Fences by `key_id`, as they are committed (and, inside a transaction, as it has left them); with the mark of a tombstone. */
export async function fencesOf(
  reader: Pick<MysqlTransaction, 'run'>,
  layout: MysqlLayout,
  collection: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, { readonly version: Version; readonly deleted: boolean }>> {
  if (ids.length === 0) return new Map();
  const results = await reader.run(batches(ids).map((some) => lookAt(layout, collection, some)));
  return new Map(
    results
      .flatMap(({ rows }) => rows)
      .map(([id, epoch, sequence, deleted]) => [
        id ?? '',
        {
          version: { epoch: Number(epoch), sequence: BigInt(sequence ?? 0) },
          deleted: deleted === '1',
        },
      ]),
  );
}

/** See `Door.fences`. */
export async function readFences(
  session: MysqlSession,
  layout: MysqlLayout,
  collection: CatalogCollection,
  keys: readonly Key[],
): Promise<readonly (Version | null)[]> {
  const ids = await fenceIds(session.run, collection, keys);
  const found = await fencesOf(session, layout, collection.collection, ids);
  return ids.map((id) => found.get(id)?.version ?? null);
}

/** Fences per transaction: no chunk begins meanwhile. */
const PRUNED_MAX = 5_000;
const PRUNE_MS = 30_000;
/** A chunk that begins between the two steps is one attempt; a backfill that runs begins several a second. */
const PRUNE_ATTEMPTS_MAX = 20;

/**
 * Deletes fences older than `before`, in batches. Each batch holds the row of `meta` that chunks share when they begin, with none in flight: so whatever a
 * chunk writes later was read after the fences went. A chunk that is being written still counts as in flight.
 *
 * In two steps, because the door locks fences and then chunk records: whoever held records and then wanted fences would wait in a circle with
 * it. Fences that somebody has locked are left: they are about to be newer.
 */
export async function pruneFences(
  session: MysqlSession,
  layout: MysqlLayout,
  before: Version,
): Promise<number> {
  let pruned = 0;
  for (let attempt = 1; ; attempt += 1) {
    // Waits for the chunks that are being written; their records are done then.
    await session.query(
      `UPDATE ${layout.chunk} SET state = 'abandoned' WHERE state = 'in-flight'`,
      { what: 'abandoning of chunks in flight' },
    );
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

function pruneBatch(
  session: MysqlSession,
  layout: MysqlLayout,
  { epoch, sequence }: Version,
): Promise<number> {
  return session.transaction(
    async (transaction) => {
      const [, flying] = await transaction.run([
        `SELECT one FROM ${layout.meta} WHERE one = 1 FOR UPDATE`,
        `SELECT COUNT(*) FROM ${layout.chunk} WHERE state = 'in-flight'`,
      ]);
      if (flying?.rows[0]?.[0] !== '0')
        throw new ChangeoverError('STORE_CONFLICT', 'Chunks began while fences were to be pruned.');
      const { rows } = await transaction.query(
        `SELECT collection, ${KEY_ID} FROM ${layout.fence}
          WHERE epoch < ${epoch} OR (epoch = ${epoch} AND sequence < ${sequence}) LIMIT ${PRUNED_MAX} FOR UPDATE SKIP LOCKED`,
      );
      const ids = new Map<string, string[]>();
      for (const [collection, id] of rows) {
        const list = ids.get(collection ?? '') ?? [];
        list.push(quoteLiteral(id ?? ''));
        ids.set(collection ?? '', list);
      }
      const statements = [...ids].flatMap(([collection, list]) =>
        batches(list).map(
          (some) => `DELETE f FROM ${layout.fence} f FORCE INDEX (PRIMARY)
            WHERE f.collection = ${quoteLiteral(collection)} AND f.key_id IN (${some.join(', ')})`,
        ),
      );
      if (statements.length > 0) await transaction.run(statements);
      return rows.length;
    },
    { timeoutMs: PRUNE_MS, what: 'pruning of fences' },
  );
}
