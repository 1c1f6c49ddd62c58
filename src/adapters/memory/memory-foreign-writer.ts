import { ChangeoverError } from '../../errors/index.ts';
import type { Shape, Side } from '../../migration/index.ts';
import { type DataRecord, encodeKey, type Key, type Row } from '../../record/index.ts';
import { AggregateWriter, splitRecord } from './memory-aggregates.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { memoryLayout, rowLock, tableLock } from './memory-layout.ts';
import { noteRogue } from './memory-rogues.ts';
import { childRowId, tableRef } from './memory-table.ts';
import type { MemoryTransaction, SessionMark } from './memory-transaction.ts';
import { refuseUnlessAdmitted } from './memory-triggers.ts';

/** One statement on one table. `where` holds the table's key, and for child tables the parent columns as well. */
export type ForeignStatement =
  | { readonly kind: 'insert'; readonly table: string; readonly row: Row }
  | {
      readonly kind: 'update';
      readonly table: string;
      readonly where: Row;
      /** May change the key: the row moves. */
      readonly set: Row;
    }
  | { readonly kind: 'delete'; readonly table: string; readonly where: Row }
  | { readonly kind: 'truncate'; readonly table: string };

/** A program that writes to the tables without the library: no key lock, no guard row, only what the database itself does. */
export interface MemoryForeignWriter {
  /** Insert or update; given children replace theirs. Rejects with AUTHORITY_FENCED where the guard trigger refuses. */
  put(collection: string, key: Key, record: DataRecord): Promise<void>;
  delete(collection: string, key: Key): Promise<void>;
  /** Statements of any tables of the shapes in one transaction, row by row as SQL would. Triggers for the outbox do not see them. */
  run(statements: readonly ForeignStatement[], beforeCommit?: () => Promise<void>): Promise<void>;
}

export interface ForeignWriterOptions {
  readonly database: MemoryDatabase;
  readonly migration: string;
  readonly side: Side;
  readonly shapes: ReadonlyMap<string, Shape>;
  readonly client: string;
  /** null: it says nothing of itself. */
  readonly mark: SessionMark | null;
  readonly timeoutMs?: number;
}

export function memoryForeignWriter(options: ForeignWriterOptions): MemoryForeignWriter {
  const { database, client, mark, timeoutMs } = options;
  const layout = memoryLayout(options.migration, options.side);
  const write = (
    collection: string,
    work: (transaction: MemoryTransaction, writer: AggregateWriter, shape: Shape) => Promise<void>,
  ): Promise<void> => {
    const shape = options.shapes.get(collection)!;
    return database.transaction({ client, mark, timeoutMs }, (transaction) =>
      work(
        transaction,
        new AggregateWriter(transaction, layout, collection, shape, database.constraints),
        shape,
      ),
    );
  };
  return {
    put: (collection, key, record) =>
      write(collection, async (transaction, writer, shape) => {
        const id = encodeKey(key);
        const { root, children } = splitRecord(shape, id, record);
        noteRogue(transaction, layout, shape.table);
        await transaction.statement('foreign/put-root', () => writer.upsertRoot(id, root));
        await transaction.statement('foreign/put-children', async () => {
          await writer.deleteChildren(id, children);
          await writer.upsertChildren(id, children);
        });
      }),
    delete: (collection, key) =>
      write(collection, async (transaction, writer) => {
        const id = encodeKey(key);
        await transaction.statement('foreign/lock-root', () => writer.lockRoot(id));
        await transaction.statement('foreign/delete-children', () => writer.deleteChildren(id));
        await transaction.statement('foreign/delete-root', () => writer.deleteRoot(id));
      }),
    run: (statements, beforeCommit) =>
      database.transaction({ client, mark, timeoutMs }, async (transaction) => {
        for (const statement of statements) {
          await transaction.statement(`foreign/${statement.kind}`, () =>
            runStatement(transaction, options, statement),
          );
        }
        await beforeCommit?.();
      }),
  };
}

/** How rows of a table are named, and which row a row of it refers to. */
interface RowNames {
  idOf(row: Row): string;
  /** null: a root. */
  readonly parent: { readonly table: string; idOf(row: Row): string } | null;
}

/** By the columns that make the id: for child tables the parent's key comes first. */
function namesIn(shapes: Iterable<Shape>, table: string): RowNames {
  const key = (row: Row, columns: readonly string[]): string =>
    encodeKey(columns.map((column) => row[column] ?? ''));
  for (const shape of shapes) {
    if (shape.table === table) return { idOf: (row) => key(row, shape.key), parent: null };
    for (const child of Object.values(shape.children ?? {})) {
      if (child.table !== table) continue;
      const parent = { table: shape.table, idOf: (row: Row) => key(row, child.parent) };
      const idOf = (row: Row) => childRowId(parent.idOf(row), key(row, child.key));
      return { idOf, parent };
    }
  }
  throw new ChangeoverError('STORE_REJECTED', `There is no table ${table}.`);
}

async function runStatement(
  transaction: MemoryTransaction,
  { database, migration, side, shapes }: ForeignWriterOptions,
  statement: ForeignStatement,
): Promise<void> {
  const { kind, table: name } = statement;
  const table = tableRef<Row>(name);
  await transaction.lock(tableLock(name), kind === 'truncate' ? 'exclusive' : 'shared');
  const layout = memoryLayout(migration, side);
  refuseUnlessAdmitted(transaction, layout, name);
  noteRogue(transaction, layout, name);
  if (kind === 'truncate') {
    transaction.empty(table);
    return;
  }
  const { idOf, parent } = namesIn(shapes.values(), name);
  const from = idOf(kind === 'insert' ? statement.row : statement.where);
  await transaction.lock(rowLock(name, from), 'exclusive');
  const old = transaction.get(table, from);
  if (kind === 'delete') {
    if (old) transaction.set(table, from, undefined);
    return;
  }
  if (kind === 'update' && old === undefined) return;
  const row = kind === 'insert' ? statement.row : { ...old, ...statement.set };
  const to = idOf(row);
  if (to !== from) await transaction.lock(rowLock(name, to), 'exclusive');
  const reason = database.constraints[name]?.(row) ?? null;
  // A foreign key: nobody deletes the parent until this has committed.
  if (parent && to !== (kind === 'insert' ? '' : from)) await lockParent(transaction, parent, row);
  const taken = (kind === 'insert' || to !== from) && transaction.get(table, to) !== undefined;
  if (reason !== null || taken)
    throw new ChangeoverError('STORE_REJECTED', `Table ${name} refused a row: ${reason ?? 'key'}.`);
  if (to === from) transaction.set(table, to, row);
  else transaction.move(table, from, to, row);
}

async function lockParent(
  transaction: MemoryTransaction,
  parent: NonNullable<RowNames['parent']>,
  row: Row,
): Promise<void> {
  const id = parent.idOf(row);
  await transaction.lock(rowLock(parent.table, id), 'shared');
  if (transaction.get(tableRef(parent.table), id) === undefined)
    throw new ChangeoverError('STORE_REJECTED', `${parent.table} has no such row.`);
}
