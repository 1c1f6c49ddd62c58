import { encodeKey, type Key, type Scalar } from '../../record/index.ts';
import type { ChunkTicket, KeyRange, StoredRecord } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn, CatalogTable } from './postgres-catalog.ts';
import { Merge } from './postgres-chunk-merge.ts';
import { type ChunkPath, RangeDisagrees, recordedRange } from './postgres-chunk-record.ts';
import { type CopyLimits, copyRowsIn } from './postgres-copy-stream.ts';
import { isKeyless } from './postgres-deferred.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { type RowGroup, tableRows } from './postgres-door-rows.ts';
import { columnList, keyValues } from './postgres-door-sql.ts';
import { keyElements, keyEquals, keyRange, keyUnnest } from './postgres-key-sql.ts';
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
  const present = await straightBeside(parts, transaction, collection, range, wanted);
  if (present !== null) {
    const known = new Set(present.map(encodeKey));
    const rows = tableRows(
      collection,
      records.filter(({ key }) => !known.has(encodeKey(key))),
    );
    let inserted = 0;
    for (const group of rows.roots) inserted += await copyGroup(transaction, root, group, limits);
    for (const { child, groups } of rows.children)
      for (const group of groups) await copyGroup(transaction, child, group, limits);
    return { inserted: inserted - (await removeDeleted(parts, transaction, collection, range)) };
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

/** Condition that the key of fence `f` lies in the range. Other collections' keys may not be of these types: they are never cast. */
function fenceInRange(
  root: CatalogTable,
  range: KeyRange,
  first: number,
): { readonly condition: string; readonly values: readonly string[] } {
  const elements = fenceElements(root.key);
  const asColumns = root.key.map((column, index) => ({ ...column, quoted: `c${index + 1}` }));
  const { condition, values } = keyRange(asColumns, 't', range, first + 1);
  const select = elements.map((element, index) => `${element} AS c${index + 1}`).join(', ');
  const inside = condition === 'true' ? 'true' : `(SELECT ${condition} FROM (SELECT ${select}) t)`;
  return {
    condition: `f.collection = $${first} AND CASE WHEN f.collection = $${first} THEN ${inside} ELSE false END`,
    values,
  };
}

function fenceElements(key: readonly CatalogColumn[]): readonly string[] {
  return key.map((column, index) => `(f.key::jsonb ->> ${index})::${column.castType}`);
}

/** Beside more rows than this in its range a chunk goes through the stage. */
const PRESENT_MAX = 5_000;

/**
 * COPY goes into the tables, and leaves out the keys that this answers: those of the rows that are there. null: by the stage. There is nothing to leave out while there
 * is no key that a row could meet (postgres-deferred.ts); `leavesOut` false: only a range without rows will do.
 *
 * Whether the range has fences need not be known: a row that comes after this look is met (and then it is the stage), and rows whose fence says deleted
 * are taken out again. Of a record with children it would have to be known which rows are whose, so there the range has to be empty.
 */
export async function straightBeside(
  parts: PostgresStoreParts,
  transaction: PostgresTransaction,
  { collection, root, children }: CatalogCollection,
  range: KeyRange,
  wanted: ChunkPath,
  leavesOut = true,
): Promise<readonly Key[] | null> {
  if (await isKeyless(transaction, parts.layout, collection)) return [];
  if (wanted !== 'straight') return null;
  const most = leavesOut && children.length === 0 ? PRESENT_MAX : 0;
  const { condition, values } = keyRange(root.key, 't', range, 1);
  const key = root.key.map(({ quoted }) => `t.${quoted}`).join(', ');
  const [, found] = await transaction.run([
    // The planner expects a third of the table behind each bound of several columns, and to meet one of those rows soon.
    { text: `SELECT pg_catalog.set_config('enable_seqscan', 'off', true)` },
    { text: `SELECT ${key} FROM ${root.quoted} t WHERE ${condition} LIMIT ${most + 1}`, values },
    { text: 'SET LOCAL enable_seqscan TO DEFAULT' },
  ]);
  const rows = found?.rows ?? [];
  return rows.length > most ? null : rows.map((row) => row.map((part) => part ?? ''));
}

/** After the straight path: takes out what was deleted meanwhile. Number of roots. */
export async function removeDeleted(
  { layout }: PostgresStoreParts,
  transaction: PostgresTransaction,
  { collection, root, children }: CatalogCollection,
  range: KeyRange,
): Promise<number> {
  const { condition, values } = fenceInRange(root, range, 1);
  const remove = (table: CatalogTable, columns: readonly CatalogColumn[]) => ({
    text: `DELETE FROM ${table.quoted} t USING ${layout.fence} f
      WHERE f.deleted AND ${condition} AND CASE WHEN f.collection = $1 THEN ${keyEquals(columns, 't', fenceElements(root.key))} END`,
    values: [collection, ...values],
  });
  const looked = await transaction.query(
    `SELECT EXISTS (SELECT 1 FROM ${layout.fence} f WHERE f.deleted AND ${condition})`,
    [collection, ...values],
  );
  if (looked.rows[0]?.[0] === 'f') return 0;
  const results = await transaction.run([
    ...children.map((child) => remove(child, child.parent)),
    remove(root, root.key),
  ]);
  return results.at(-1)?.count ?? 0;
}
