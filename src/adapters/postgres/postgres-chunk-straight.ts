import { decodeKey, encodeKey, type Key } from '../../record/index.ts';
import type { KeyRange } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn, CatalogTable } from './postgres-catalog.ts';
import type { ChunkPath } from './postgres-chunk-record.ts';
import { isKeyless } from './postgres-deferred.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { keyValues } from './postgres-door-sql.ts';
import { keyElements, keyEquals, keyRange, keyText, keyUnnest } from './postgres-key-sql.ts';
import type { PostgresTransaction, Statement } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';

/*
 * The straight path of a chunk: a look at what is there before it is copied in, and what is taken out again behind it.
 */

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
      `SELECT k.key FROM unnest($2::text[]) AS k(key) WHERE ${isDeleted(fence, 'k.key')}`,
      [name, textArray(brought.keys.map(encodeKey))],
    );
    gone = found.rows.map(([key]) => ({ key: decodeKey(key ?? ''), fence: key ?? '' }));
  } else {
    const { beside, alike } = brought;
    const rowByRow = tombstones > TOMBSTONES_FEW && alike && !beside.keyless;
    const look = rowByRow ? deletedRows : deletedFences;
    const found = await byIndex(transaction, look(fence, name, root, range));
    gone = found.map((parts) => ({ key: parts.slice(0, -1), fence: parts.at(-1) ?? '' }));
  }
  if (gone.length === 0) return 0;
  const present = 'keys' in brought ? [] : brought.beside.present;
  const results = await transaction.run(deleteGone(fence, collection, gone, present));
  return results.at(-1)?.count ?? 0;
}

/** A key, and the fence that says deleted. */
interface Gone {
  readonly key: Key;
  readonly fence: string;
}

/** A look for each row, by LIMIT: a join would be planned over all fences, and there may be one for every record. */
const isDeleted = (fence: string, key: string): string =>
  `(SELECT f.deleted FROM ${fence} f WHERE f.collection = $1 AND f.key = ${key} LIMIT 1)`;

/**
 * Deletes children, then roots. Not those that were there before: 1.0 may be deleted and 1.00 be a new row. The fence is asked again, by the statement that deletes: a record that was not in the chunk may have come anew after the look, and its
 * row is seen only together with its fence.
 */
function deleteGone(
  fence: string,
  { collection, root, children }: CatalogCollection,
  gone: readonly Gone[],
  present: readonly Key[],
): readonly Statement[] {
  const parts = root.key.length;
  const keys = gone.map((one) => [...one.key, one.fence]);
  const remove = (
    table: CatalogTable,
    columns: readonly CatalogColumn[],
    kept: readonly Key[],
  ): Statement => ({
    text: `DELETE FROM ${table.quoted} t USING ${keyUnnest(parts + 1, 2, 'k')}
      WHERE ${keyEquals(columns, 't', keyElements(root.key, 'k'))} AND ${isDeleted(fence, `k.c${parts + 1}`)}
        AND NOT EXISTS (SELECT 1 FROM ${keyUnnest(parts, parts + 3, 'p')}
          WHERE ${keyEquals(columns, 't', keyElements(root.key, 'p'))})`,
    values: [collection, ...keyValues(keys, parts + 1), ...keyValues(kept, parts)],
  });
  return [
    ...children.map((child) => remove(child, child.parent, [])),
    remove(root, root.key, present),
  ];
}

/** Rows of the range whose fence says deleted: each is looked up. */
function deletedRows(fence: string, name: string, root: CatalogTable, range: KeyRange): Statement {
  const { condition, values } = keyRange(root.key, 't', range, 2);
  const text = keyText(root.key.map(({ quoted }) => `t.${quoted}`));
  return {
    text: `SELECT ${keyOf(root)}, ${text} FROM ${root.quoted} t WHERE ${condition}
      AND ${isDeleted(fence, text)}`,
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
