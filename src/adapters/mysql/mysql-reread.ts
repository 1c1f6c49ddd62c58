import { ChangeoverError } from '../../errors/index.ts';
import type { LogMark } from '../../log/index.ts';
import { encodeKey, type Key, type Row } from '../../record/index.ts';
import type { Reread } from '../../store/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { keyAmong, keySlots, spelledKey } from './mysql-key-sql.ts';
import { selectExpression } from './mysql-literals.ts';
import { rereadLogged } from './mysql-log-reread.ts';
import { checkKeys, readRecords, readStatements } from './mysql-read.ts';
import { keyOfRow } from './mysql-rows.ts';
import { KEY_LOCK_SLOTS } from './mysql-schema.ts';
import type { MysqlTransaction } from './mysql-session.ts';
import { drawNumber, forgetNumber } from './mysql-write-sql.ts';

export const REREAD_KEYS_MAX = 500;
/** Nothing is waited for in a re-read but the guard's row. */
const REREAD_MS = 30_000;

/**
 * Reads keys together with versions that are provably not newer, in one transaction: try-lock each key (writers of ours) → share-lock
 * its root row, skipping locked ones (writers that only the trigger sees) → draw the version → read, in statements behind all that.
 * A key whose lock or row is held comes back `busy`; no lock is ever waited for, so nobody's transaction can be our deadlock victim.
 *
 * One number for all keys: each of them was locked when it was drawn. The transaction commits, although its row is gone again: that makes the counter
 * durable; otherwise a crash could give the same number to a write.
 *
 * A row that is being inserted and not yet visible reads as absent. Its writer's own queue entry has an older number, but is not
 * visible either until it commits; whoever takes it re-reads with a newer version. Collections that are captured from the log: see `mysql-log-reread`.
 */
export async function rereadKeys(
  parts: MysqlStoreParts,
  collection: CatalogCollection,
  keys: readonly Key[],
  epoch: number,
  seen: LogMark | undefined,
): Promise<readonly Reread[]> {
  if (keys.length > REREAD_KEYS_MAX) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `${keys.length} keys in one re-read, at most ${REREAD_KEYS_MAX}.`,
    );
  }
  if (keys.length === 0) return [];
  checkKeys(collection, keys);
  if (parts.logged.has(collection.collection)) {
    return rereadLogged(parts, collection, keys, epoch, seen);
  }
  const { session, layout } = parts;
  const what = `re-read of "${collection.collection}"`;
  const slots = await keySlots(session.run, collection, keys, KEY_LOCK_SLOTS);
  return session.transaction(
    async (transaction) => {
      const [, locked] = await transaction.run([
        // Sealed too: what was committed before a change of authority is drained, and doubts are decided, behind the seal.
        `CALL ${layout.enter}(IF((SELECT role FROM ${layout.guard} WHERE one = 1) = 'sealed', 'sealed', 'authority'), ${Math.trunc(epoch)}, 0)`,
        `SELECT slot FROM ${layout.keyLock} WHERE slot IN (${[...new Set(slots)].join(', ')}) FOR UPDATE SKIP LOCKED`,
      ]);
      const open = new Set((locked?.rows ?? []).map(([slot]) => Number(slot)));
      const free = keys.flatMap((_, index) => (open.has(slots[index] ?? -1) ? [index] : []));
      return readLocked(transaction, parts, collection, keys, epoch, free);
    },
    { timeoutMs: REREAD_MS, what },
  );
}

/** @param free ordinals of the keys whose lock is held */
async function readLocked(
  transaction: MysqlTransaction,
  { layout }: MysqlStoreParts,
  collection: CatalogCollection,
  keys: readonly Key[],
  epoch: number,
  free: readonly number[],
): Promise<readonly Reread[]> {
  const { root } = collection;
  const answers = busyAnswers(collection, keys, epoch);
  if (free.length === 0) return answers;
  const freeKeys = free.map((index) => keys[index] as Key);
  const [shared, drawn, , ...read] = await transaction.run([
    `SELECT ${root.key.map((column) => selectExpression(column, 't')).join(', ')} FROM ${root.quoted} t WHERE ${keyAmong(root.key, 't', freeKeys)} ${transaction.flavour.shareLock} SKIP LOCKED`,
    drawNumber(layout, collection.collection),
    forgetNumber(layout),
    ...readStatements(collection, freeKeys),
  ]);
  const held = new Set((shared?.rows ?? []).map((line) => encodeKey(line as Key)));
  const records = await readRecords(transaction.run, collection, freeKeys, read);
  const version = { epoch, sequence: drawn?.insertId ?? 0n };
  free.forEach((index, at) => {
    const record = records[at] ?? null;
    const spelled = answers[index]?.key as Key;
    const key = record === null ? spelled : keyOfRow(collection, record as Row);
    // Visible but not locked: skipped, or inserted in between. Either way a writer is at it.
    if (record !== null && !held.has(encodeKey(key))) return;
    answers[index] = { key, state: 'read', record, version };
  });
  return answers;
}

/** An answer for each key that says: try again. */
export function busyAnswers(
  collection: CatalogCollection,
  keys: readonly Key[],
  epoch: number,
): Reread[] {
  return keys.map((key) => ({
    key: spelledKey(collection.root.key, key),
    state: 'busy',
    record: null,
    version: { epoch, sequence: 0n },
  }));
}
