import { encodeKey } from '../../record/index.ts';
import type { ChunkTicket, StoredRecord } from '../../store/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import { rangeHolds } from './mysql-chunk-range.ts';
import { RangeDisagrees, recordedRange } from './mysql-chunk-record.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { tableRows } from './mysql-door-rows.ts';
import {
  deleteRecords,
  insertNewRows,
  insertOrLockRows,
  lookForKeys,
  presentIn,
} from './mysql-door-sql.ts';
import { fenceIds, fencesOf } from './mysql-fences.ts';
import type { MysqlTransaction } from './mysql-session.ts';

/*
 * How a chunk gets into the tables, after its record has been updated in the same transaction.
 *
 * It looks which roots and fences are there and inserts the others, with an INSERT that fails when one of them has come meanwhile: the whole transaction is then
 * done again. So what was inserted is known exactly, and children are written for these roots only.
 *
 * **Deletes.** A tombstone whose root is absent waits for the chunk (it share-locks the record). One whose root is *present* does not; that
 * root may have come and gone while our INSERT ran, after the look at the fences and before our row. So after inserting, in a new
 * snapshot, rows whose fence says deleted are taken out again: such a delete has committed before our row could be inserted.
 */

/** Writes records; number of roots inserted. */
export async function writeRecords(
  parts: MysqlStoreParts,
  transaction: MysqlTransaction,
  ticket: ChunkTicket,
  records: readonly StoredRecord[],
): Promise<{ readonly inserted: number }> {
  if (records.length === 0) return { inserted: 0 };
  const { catalog, layout } = parts;
  const collection = await catalog.collection(ticket.collection);
  const { key } = collection.root;
  const range = await recordedRange(transaction, layout, ticket);
  if (records.some((record) => !rangeHolds(key, range, record.key)))
    throw new RangeDisagrees(ticket.collection);
  const keys = records.map((record) => record.key);
  const ids = await fenceIds((some) => transaction.run(some), collection, keys);
  const absent = await absentOf(parts, transaction, collection, records, ids);
  if (absent.length === 0) return { inserted: 0 };
  const rows = tableRows(collection, absent);
  await transaction.run(rows.roots.flatMap((group) => insertNewRows(collection.root, group)));
  // Known by identity, not by the text of the key: that is what fences go by.
  const fences = await fencesOf(transaction, layout, collection.collection, ids);
  const idOf = new Map(keys.map((one, index) => [one, ids[index] ?? '']));
  const isGone = (record: StoredRecord): boolean =>
    fences.get(idOf.get(record.key) ?? '')?.deleted === true;
  const gone = absent.filter(isGone).map((record) => record.key);
  if (gone.length > 0) await transaction.run(deleteRecords(collection, gone));
  const kept = absent.filter((record) => !isGone(record));
  const children = gone.length === 0 ? rows.children : tableRows(collection, kept).children;
  const statements = children.flatMap(({ child, groups }) =>
    groups.flatMap((group) => insertOrLockRows(child, group)),
  );
  if (statements.length > 0) await transaction.run(statements);
  return { inserted: kept.length };
}

/** Records with neither root nor fence. */
async function absentOf(
  { layout }: MysqlStoreParts,
  transaction: MysqlTransaction,
  collection: CatalogCollection,
  records: readonly StoredRecord[],
  ids: readonly string[],
): Promise<readonly StoredRecord[]> {
  const keys = records.map(({ key }) => key);
  const looked = await transaction.run(lookForKeys(collection, keys));
  const present = presentIn(collection, keys, looked);
  const fences = await fencesOf(transaction, layout, collection.collection, ids);
  return records.filter(
    ({ key }, index) => !present.has(encodeKey(key)) && !fences.has(ids[index] ?? ''),
  );
}
