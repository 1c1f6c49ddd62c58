import { decodeKey, encodeKey, type Key, type Scalar } from '../../record/index.ts';
import type { ChunkTicket, KeyRange, StoredRecord } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn, CatalogTable } from './postgres-catalog.ts';
import { Merge } from './postgres-chunk-merge.ts';
import { type ChunkPath, RangeDisagrees, recordedRange } from './postgres-chunk-record.ts';
import { type CopyLimits, copyRowsIn } from './postgres-copy-stream.ts';
import { isKeyless } from './postgres-deferred.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { type RowGroup, tableRows } from './postgres-door-rows.ts';
import { columnList, keyValues } from './postgres-door-sql.ts';
import { keyElements, keyEquals, keyRange, keyText, keyUnnest } from './postgres-key-sql.ts';
import type { PostgresTransaction, Statement } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';

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
const PRESENT_MAX = 20_000;

/** What a straight copy finds in the table. */
export interface Beside {
  /** Keys of the rows in the range, which it leaves out. */
  readonly present: readonly Key[];
  /** There is no key that a row could meet (postgres-deferred.ts), and no index to look it up. */
  readonly keyless: boolean;
}

/**
 * COPY goes into the tables, and leaves out what this answers; null: by the stage. `leavesOut` false: only a range without rows will do.
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
): Promise<Beside | null> {
  if (await isKeyless(transaction, parts.layout, collection)) return { present: [], keyless: true };
  if (wanted !== 'straight') return null;
  const most = leavesOut && children.length === 0 ? PRESENT_MAX : 0;
  const { condition, values } = keyRange(root.key, 't', range, 1);
  const present = await byIndex(transaction, {
    text: `SELECT ${keyOf(root)} FROM ${root.quoted} t WHERE ${condition} LIMIT ${most + 1}`,
    values,
  });
  return present.length > most ? null : { present, keyless: false };
}

const keyOf = (root: CatalogTable): string =>
  root.key.map(({ quoted }) => `t.${quoted}`).join(', ');

/** Rows of text. The planner expects a third of the table behind each bound of several columns, and to meet one of those rows soon. */
async function byIndex(
  transaction: PostgresTransaction,
  look: Statement,
): Promise<readonly (readonly string[])[]> {
  const [, found] = await transaction.run([
    { text: `SELECT pg_catalog.set_config('enable_seqscan', 'off', true)` },
    look,
    { text: 'SET LOCAL enable_seqscan TO DEFAULT' },
  ]);
  return (found?.rows ?? []).map((row) => row.map((part) => part ?? ''));
}

/** Rows that a straight copy has brought. */
export type Brought =
  /** By their keys, as the source spells them. */
  | { readonly keys: readonly Key[] }
  /** All of the range but those. `alike`: this store spells keys as the source does. */
  | { readonly beside: Beside; readonly alike: boolean };

/** Fences of deleted records that are looked through; where there are more, it is the rows that are looked up. */
const TOMBSTONES_FEW = 1_000;

/**
 * After the straight path: takes out what was deleted meanwhile, or before. Number of roots. Costs next to nothing where nothing of the collection is deleted, and no
 * more than a look for each row where much is.
 */
export async function removeDeleted(
  { layout }: PostgresStoreParts,
  transaction: PostgresTransaction,
  collection: CatalogCollection,
  range: KeyRange,
  brought: Brought,
): Promise<number> {
  const { fence } = layout;
  const { collection: name, root } = collection;
  const { rows } = await transaction.query(
    `SELECT count(*) FROM (SELECT 1 FROM ${fence} WHERE collection = $1 AND deleted LIMIT ${TOMBSTONES_FEW + 1}) f`,
    [name],
  );
  const tombstones = Number(rows[0]?.[0]);
  if (tombstones === 0) return 0;
  let gone: readonly Gone[];
  if ('keys' in brought) {
    const found = await transaction.query(
      `SELECT key FROM ${fence} WHERE collection = $1 AND deleted AND key = ANY ($2::text[])`,
      [name, textArray(brought.keys.map(encodeKey))],
    );
    gone = found.rows.map(([key]) => ({ key: decodeKey(key ?? ''), fence: key ?? '' }));
  } else {
    const { beside, alike } = brought;
    const rowByRow = tombstones > TOMBSTONES_FEW && alike && !beside.keyless;
    const look = rowByRow ? deletedRows : deletedFences;
    const found = await byIndex(transaction, look(fence, name, root, range));
    const present = new Set(beside.present.map(encodeKey));
    gone = found
      .map((parts) => ({ key: parts.slice(0, -1), fence: parts.at(-1) ?? '' }))
      .filter(({ key }) => !present.has(encodeKey(key)));
  }
  if (gone.length === 0) return 0;
  const results = await transaction.run(deleteGone(fence, collection, gone));
  return results.at(-1)?.count ?? 0;
}

/** A key, and the fence that says deleted. */
interface Gone {
  readonly key: Key;
  readonly fence: string;
}

/**
 * Deletes children, then roots. The fence is asked again, by the statement that deletes: a record that was not in the chunk may have come anew after the look, and its
 * row is seen only together with its fence.
 */
function deleteGone(
  fence: string,
  { collection, root, children }: CatalogCollection,
  gone: readonly Gone[],
): readonly Statement[] {
  const parts = root.key.length;
  const keys = gone.map((one) => [...one.key, one.fence]);
  const remove = (table: CatalogTable, columns: readonly CatalogColumn[]): Statement => ({
    text: `DELETE FROM ${table.quoted} t USING ${keyUnnest(parts + 1, 2, 'k')}
      WHERE ${keyEquals(columns, 't', keyElements(root.key, 'k'))}
        AND EXISTS (SELECT 1 FROM ${fence} f WHERE f.collection = $1 AND f.key = k.c${parts + 1} AND f.deleted)`,
    values: [collection, ...keyValues(keys, parts + 1)],
  });
  return [...children.map((child) => remove(child, child.parent)), remove(root, root.key)];
}

/** Rows of the range whose fence says deleted: each is looked up. */
function deletedRows(fence: string, name: string, root: CatalogTable, range: KeyRange): Statement {
  const { condition, values } = keyRange(root.key, 't', range, 2);
  const text = keyText(root.key.map(({ quoted }) => `t.${quoted}`));
  return {
    text: `SELECT ${keyOf(root)}, ${text} FROM ${root.quoted} t WHERE ${condition}
      AND (SELECT f.deleted FROM ${fence} f WHERE f.collection = $1 AND f.key = ${text} LIMIT 1)`,
    values: [name, ...values],
  };
}

/** Keys of the range whose fence says deleted, whatever their spelling: each fence is looked at. */
function deletedFences(
  fence: string,
  name: string,
  root: CatalogTable,
  range: KeyRange,
): Statement {
  const { condition, values } = fenceInRange(root, range, 1);
  // Other collections' keys may not be of these types: they are never cast.
  const elements = fenceElements(root.key).map(
    (element) => `CASE WHEN f.collection = $1 THEN ${element} END`,
  );
  return {
    text: `SELECT ${elements.join(', ')}, f.key FROM ${fence} f WHERE f.deleted AND ${condition}`,
    values: [name, ...values],
  };
}
