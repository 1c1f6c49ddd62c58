import { ChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import type { ChunkTicket, CopySource, KeyRange } from '../../store/index.ts';
import {
  type CatalogCollection,
  type CatalogColumn,
  type CatalogTable,
  type PostgresCatalog,
  tablesOf,
} from './postgres-catalog.ts';
import { Merge } from './postgres-chunk-merge.ts';
import { type ChunkPath, RangeDisagrees, recordedRange } from './postgres-chunk-record.ts';
import { type Beside, removeDeleted, straightBeside } from './postgres-chunk-straight.ts';
import { type CopyLimits, copyThrough } from './postgres-copy-stream.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { columnList } from './postgres-door-sql.ts';
import { keyColumns, keyElements, keyEquals, keyOrder, ordered } from './postgres-key-sql.ts';
import type { PostgresSession, PostgresTransaction } from './postgres-session.ts';
import { quoteLiteral, textArray } from './postgres-text.ts';

/** What a PostgreSQL store gives to another one that copies from it. */
export interface CopyReader {
  readonly session: PostgresSession;
  readonly catalog: PostgresCatalog;
}

const readers = new WeakMap<object, CopyReader>();

/** Makes `store` (a `MigrationStore`) one that `copyChunk` of another PostgreSQL store can read from. */
export function registerCopyReader(store: object, reader: CopyReader): void {
  readers.set(store, reader);
}

function readerOf(from: CopySource): CopyReader {
  const reader =
    typeof from.store === 'object' && from.store !== null ? readers.get(from.store) : undefined;
  if (from.engine === 'postgres' && reader) return reader;
  throw new ChangeoverError('BUG', `A ${from.engine} store cannot be copied from into PostgreSQL.`);
}

/**
 * Types whose binary form is the same on every PostgreSQL server: no object ids of this database inside, as arrays and
 * composites of user-defined types have.
 */
const portable = new Set(
  [
    'smallint integer bigint real numeric boolean text bytea uuid date json jsonb inet cidr macaddr xml',
    'bpchar|character varying|double precision|time without time zone|time with time zone|interval',
    'timestamp without time zone|timestamp with time zone|bit varying|bit|name|oid',
  ].flatMap((line) => (line.includes('|') ? line.split('|') : line.split(' '))),
);
portable.add('"char"');

function isPortable({ castType }: CatalogColumn): boolean {
  return portable.has(castType.endsWith('[]') ? castType.slice(0, -2) : castType);
}

/** A table on both sides, columns in the same order. */
interface TablePair {
  readonly source: CatalogTable;
  readonly target: CatalogTable;
  readonly columns: readonly CatalogColumn[];
  readonly format: string;
}

function pairOf(source: CatalogTable, target: CatalogTable): TablePair {
  const columns = target.columns.filter(({ generated }) => !generated);
  for (const column of columns) {
    const other = source.columns.find(({ name }) => name === column.name);
    if (other?.castType === column.castType) continue;
    throw new ChangeoverError(
      'STORE_REJECTED',
      `${source.quoted} and ${target.quoted} differ in column "${column.name}": they cannot be copied without a transform.`,
      { data: { column: column.name } },
    );
  }
  const binary = columns.every(isPortable);
  return { source, target, columns, format: binary ? ' (FORMAT binary)' : '' };
}

/**
 * Copies a chunk between PostgreSQL servers without looking at its bytes: straight into the table, beside the rows that are there; through a
 * stage where these are many, or one comes meanwhile. The source is read in one snapshot, taken after the chunk was begun.
 */
export async function copyChunk(
  parts: PostgresStoreParts,
  transaction: PostgresTransaction,
  ticket: ChunkTicket,
  from: CopySource,
  wanted: ChunkPath,
  timeoutMs: number,
): Promise<{ readonly inserted: number; readonly rows: number }> {
  const reader = readerOf(from);
  const what = `copy of chunk ${ticket.chunk} of "${ticket.collection}"`;
  const collection = await parts.catalog.collection(ticket.collection);
  const origin = await reader.catalog.collection(from.collection);
  const range = await recordedRange(transaction, parts.layout, ticket);
  const bounded = range.after !== null || range.until !== null;
  const sameOrder = collection.root.key.every(
    (column, index) => isPortable(column) && column.castType === origin.root.key[index]?.castType,
  );
  // Enums, for one, are ordered as each server declared them.
  if (bounded && !sameOrder) throw new RangeDisagrees(ticket.collection);
  const beside = await straightBeside(parts, transaction, collection, range, wanted);
  const limits = { runtime: parts.session.runtime, timeoutMs, what };
  const source = await reader.session.begin({
    timeoutMs,
    isolation: 'repeatable read',
    lockFirst: tablesOf(origin),
    what,
  });
  try {
    const copy = { parts, transaction, source, collection, origin, range: ticket.range, limits };
    const result =
      beside === null ? await copyByStage(copy) : await copyStraight(copy, range, beside);
    await source.rollback();
    return result;
  } catch (error) {
    await source.rollback();
    throw error;
  }
}

interface Copy {
  readonly parts: PostgresStoreParts;
  readonly transaction: PostgresTransaction;
  readonly source: PostgresTransaction;
  readonly collection: CatalogCollection;
  readonly origin: CatalogCollection;
  /** On the source. */
  readonly range: KeyRange;
  readonly limits: CopyLimits;
}

interface Copied {
  readonly inserted: number;
  readonly rows: number;
}

async function copyStraight(copy: Copy, range: KeyRange, beside: Beside): Promise<Copied> {
  const { parts, transaction, source, collection, limits } = copy;
  const into = ({ target, columns, format }: TablePair): string =>
    `COPY ${target.quoted} (${columnList(columns)}) FROM STDIN${format}`;
  const root = pairOf(copy.origin.root, collection.root);
  const select = selectRoots(copy, root, beside.present);
  const rows = await copyThrough(source, select, transaction, into(root), limits);
  for (const { pair, select } of childPairs(copy))
    await copyThrough(source, select, transaction, into(pair), limits);
  // A numeric(6,2) and a numeric spell the same key differently.
  const alike = collection.root.key.every(
    ({ type }, at) => type === copy.origin.root.key[at]?.type,
  );
  const brought = { beside, alike };
  const deleted = await removeDeleted(parts, transaction, collection, range, brought);
  return { inserted: rows - deleted, rows: rows + beside.present.length };
}

async function copyByStage(copy: Copy): Promise<Copied> {
  const { parts, transaction, source, collection, limits } = copy;
  const merge = new Merge(parts, transaction, collection);
  await merge.begin();
  const root = pairOf(copy.origin.root, collection.root);
  const stage = await merge.stageRoots(root.columns, 'computed');
  const rows = await copyThrough(
    source,
    selectRoots(copy, root),
    transaction,
    stage + root.format,
    limits,
  );
  await merge.insertRoots();
  await merge.settle();
  for (const { pair, select, index } of childPairs(copy)) {
    const childStage = await merge.stageChildren(pair.columns);
    await copyThrough(source, select, transaction, childStage + pair.format, limits);
    const child = collection.children[index];
    if (child) await merge.insertChildren(child);
  }
  return { inserted: merge.inserted, rows };
}

/** @param present keys that are left out */
function selectRoots(
  { origin, range }: Copy,
  pair: TablePair,
  present: readonly Key[] = [],
): string {
  const { key } = origin.root;
  const columns = pair.columns.map(({ quoted }) => `t.${quoted}`).join(', ');
  const conditions = [literalRange(key, range)];
  if (present.length > 0) {
    const lists = keyColumns(present, key.length).map(
      (part) => `${quoteLiteral(textArray(part))}::text[]`,
    );
    const names = lists.map((_, index) => `c${index + 1}`).join(', ');
    conditions.push(`NOT EXISTS (SELECT 1 FROM unnest(${lists.join(', ')}) AS k(${names})
      WHERE ${keyEquals(key, 't', keyElements(key, 'k'))})`);
  }
  return `COPY (SELECT ${columns} FROM ${origin.root.quoted} t WHERE ${conditions.join(' AND ')}
    ORDER BY ${keyOrder(key, 't')}) TO STDOUT${pair.format}`;
}

/** Children whose parent columns lie in the range and whose root is there: a root cannot come without its children. */
function childPairs(
  copy: Copy,
): readonly { readonly pair: TablePair; readonly select: string; readonly index: number }[] {
  const { origin, collection, range } = copy;
  return collection.children.map((child, index) => {
    const other = origin.children.find(({ field }) => field === child.field);
    if (other === undefined) {
      throw new ChangeoverError('STORE_REJECTED', `The source has no child "${child.field}".`);
    }
    const pair = pairOf(other, child);
    const columns = pair.columns.map(({ quoted }) => `t.${quoted}`).join(', ');
    const own = origin.root.key.map(
      (column, at) => `r.${column.quoted} = t.${other.parent[at]?.quoted}`,
    );
    // The condition is about the root: parent columns could be of another type, and would then be ordered differently.
    const select = `COPY (SELECT ${columns} FROM ${origin.root.quoted} r JOIN ${other.quoted} t ON ${own.join(' AND ')}
      WHERE ${literalRange(origin.root.key, range, 'r')} ORDER BY ${keyOrder(origin.root.key, 'r')}) TO STDOUT${pair.format}`;
    return { pair, select, index };
  });
}

/** COPY takes no parameters. */
function literalRange(key: readonly CatalogColumn[], range: KeyRange, alias = 't'): string {
  const row = `(${key.map((column) => ordered(column, alias)).join(', ')})`;
  const bound = (parts: readonly string[]): string =>
    `(${key.map((column, index) => `${quoteLiteral(parts[index] ?? '')}::${column.castType}`).join(', ')})`;
  const conditions = [
    ...(range.after === null ? [] : [`${row} > ${bound(range.after)}`]),
    ...(range.until === null ? [] : [`${row} <= ${bound(range.until)}`]),
  ];
  return conditions.join(' AND ') || 'true';
}
