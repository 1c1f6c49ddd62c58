import { isChangeoverError } from '../../errors/index.ts';
import type { Key, Row } from '../../record/index.ts';
import type { HoldLimits, Reread } from '../../store/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { keyAmong, keySlots, spelledKey } from './mysql-key-sql.ts';
import { selectExpression } from './mysql-literals.ts';
import { checkKeys, readRecords, readStatements } from './mysql-read.ts';
import { keyOfRow } from './mysql-rows.ts';
import { KEY_LOCK_SLOTS } from './mysql-schema.ts';
import { drawNumber, forgetNumber } from './mysql-write-sql.ts';

/** What the statements take beyond waiting and holding. */
const WORK_MS = 2_000;

/**
 * See `RecordStore.holdKey`. The key's lock slot keeps writers of ours out (those of the few other keys of the slot as well), the shared lock of its row all others. Not for collections
 * that are captured from the log: the place of a locked row in the log is not to be had.
 */
export async function holdKey<T>(
  { session, layout, logged }: MysqlStoreParts,
  collection: CatalogCollection,
  key: Key,
  epoch: number,
  { waitMs, holdMs }: HoldLimits,
  work: (held: Reread) => Promise<T>,
): Promise<T | 'busy'> {
  if (logged.has(collection.collection)) return 'busy';
  checkKeys(collection, [key]);
  const { root } = collection;
  const [slot] = await keySlots(session.run, collection, [key], KEY_LOCK_SLOTS);
  try {
    return await session.transaction(
      async (transaction) => {
        const [, , locked, drawn, , ...rows] = await transaction.run([
          `CALL ${layout.enter}(IF((SELECT role FROM ${layout.guard} WHERE one = 1) = 'sealed', 'sealed', 'authority'), ${Math.trunc(epoch)}, 0)`,
          `SELECT slot FROM ${layout.keyLock} WHERE slot = ${slot} FOR UPDATE`,
          `SELECT ${root.key.map((column) => selectExpression(column, 't')).join(', ')} FROM ${root.quoted} t WHERE ${keyAmong(root.key, 't', [key])} ${transaction.flavour.shareLock}`,
          drawNumber(layout, collection.collection),
          forgetNumber(layout),
          ...readStatements(collection, [key]),
        ]);
        const [record = null] = await readRecords(transaction.run, collection, [key], rows);
        // Inserted in between.
        if (record !== null && locked?.rows.length !== 1) return 'busy';
        const own =
          record === null ? spelledKey(root.key, key) : keyOfRow(collection, record as Row);
        const version = { epoch, sequence: drawn?.insertId ?? 0n };
        return work({ key: own, state: 'read', record, version });
      },
      {
        timeoutMs: 2 * waitMs + holdMs + WORK_MS,
        lockWaitMs: waitMs,
        what: `a look at a key of "${collection.collection}" under its lock`,
      },
    );
  } catch (error) {
    if (isChangeoverError(error, 'STORE_CONFLICT')) return 'busy';
    throw error;
  }
}
