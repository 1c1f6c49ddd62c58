import { encodeKey, type Scalar } from '../../record/index.ts';
import type { ChunkTicket, KeyRange, StoredRecord } from '../../store/index.ts';
import type { CatalogTable } from './postgres-catalog.ts';
import { Merge } from './postgres-chunk-merge.ts';
import { type ChunkPath, RangeDisagrees, recordedRange } from './postgres-chunk-record.ts';
import { removeDeleted, straightBeside } from './postgres-chunk-straight.ts';
import { type CopyLimits, copyRowsIn } from './postgres-copy-stream.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { type RowGroup, tableRows } from './postgres-door-rows.ts';
import { columnList, keyValues } from './postgres-door-sql.ts';
import { keyElements, keyRange, keyUnnest } from './postgres-key-sql.ts';
import type { PostgresTransaction } from './postgres-session.ts';

/*
 * How a chunk gets into the tables, after its record has been updated in the same transaction.
 *
 * **Deletes.** A tombstone whose root is absent waits for the chunk (it share-locks the record). One whose root is *present* does not; that
 * root may have come and gone while our INSERT or COPY ran, after the look at the fences and before our row. So after inserting, in a new
 * snapshot, rows whose fence says deleted are taken out again: such a delete has committed before our row could be inserted.
 */

/** Writes records; number of roots inserted. */
export async function writeRecords(
  parts: PostgresStoreParts,
  transaction: PostgresTransaction,
  ticket: ChunkTicket,
  records: readonly StoredRecord[],
  wanted: ChunkPath,
  timeoutMs: number,
): Promise<{ readonly inserted: number }> {
  if (records.length === 0) return { inserted: 0 };
  const { catalog, layout, session } = parts;
  const collection = await catalog.collection(ticket.collection);
  const { root } = collection;
  const limits: CopyLimits = {
    runtime: session.runtime,
    timeoutMs,
    what: `writing of chunk ${ticket.chunk} of "${ticket.collection}"`,
  };
  const range = await recordedRange(transaction, layout, ticket);
  await refuseStrays(transaction, root, ticket, range, records);
  const beside = await straightBeside(parts, transaction, collection, range, wanted);
  if (beside !== null) {
    const present = new Set(beside.present.map(encodeKey));
    const brought = records.filter(({ key }) => !present.has(encodeKey(key)));
    const rows = tableRows(collection, brought);
    let inserted = 0;
    for (const group of rows.roots) inserted += await copyGroup(transaction, root, group, limits);
    for (const { child, groups } of rows.children)
      for (const group of groups) await copyGroup(transaction, child, group, limits);
    const keys = brought.map(({ key }) => key);
    const deleted = await removeDeleted(parts, transaction, collection, range, { keys });
    return { inserted: inserted - deleted };
  }
  const rows = tableRows(collection, records);
  const merge = new Merge(parts, transaction, collection);
  await merge.begin();
  for (const group of rows.roots) {
    const copy = await merge.stageRoots(group.columns, 'given');
    await copyRowsIn(transaction, copy, withEncodedKeys(root, group), limits);
    await merge.insertRoots();
  }
  await merge.settle();
  for (const { child, groups } of rows.children)
    for (const group of groups) {
      const copy = await merge.stageChildren(group.columns);
      await copyRowsIn(transaction, copy, group.rows, limits);
      await merge.insertChildren(child);
    }
  return { inserted: merge.inserted };
}

function copyGroup(
  transaction: PostgresTransaction,
  table: CatalogTable,
  group: RowGroup,
  limits: CopyLimits,
): Promise<number> {
  const statement = `COPY ${table.quoted} (${columnList(group.columns)}) FROM STDIN`;
  return copyRowsIn(transaction, statement, group.rows, limits);
}

function* withEncodedKeys(root: CatalogTable, group: RowGroup): Generator<readonly Scalar[]> {
  const at = root.key.map(({ name }) => group.columns.findIndex((column) => column.name === name));
  for (const row of group.rows) yield [...row, encodeKey(at.map((index) => row[index] ?? ''))];
}

/** Every key must lie in the recorded range as *this* store orders it: deletes look for the chunk by that order. */
async function refuseStrays(
  transaction: PostgresTransaction,
  root: CatalogTable,
  ticket: ChunkTicket,
  range: KeyRange,
  records: readonly StoredRecord[],
): Promise<void> {
  if (range.after === null && range.until === null) return;
  const parts = root.key.length;
  const names = keyElements(root.key, 'k').map((element, index) => `${element} AS c${index + 1}`);
  const asColumns = root.key.map((column, index) => ({ ...column, quoted: `c${index + 1}` }));
  const { condition, values } = keyRange(asColumns, 't', range, parts + 1);
  const keys = records.map(({ key }) => key);
  const { rows } = await transaction.query(
    `SELECT EXISTS (SELECT 1 FROM (SELECT ${names.join(', ')} FROM ${keyUnnest(parts, 1, 'k')}) t WHERE NOT (${condition}))`,
    [...keyValues(keys, parts), ...values],
  );
  if (rows[0]?.[0] === 't') throw new RangeDisagrees(ticket.collection);
}
