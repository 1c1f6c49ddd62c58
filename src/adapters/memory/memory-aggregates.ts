import { ChangeoverError } from '../../errors/index.ts';
import type { ChildShape, Shape } from '../../migration/index.ts';
import {
  type DataRecord,
  decodeKey,
  encodeKey,
  type Row,
  type Scalar,
} from '../../record/index.ts';
import { type MemoryLayout, rootTable, rowLock, tableLock } from './memory-layout.ts';
import { childRowId, compareKeys, tableRef } from './memory-table.ts';
import type { MemoryTransaction } from './memory-transaction.ts';
import { captureRow, refuseUnlessAdmitted } from './memory-triggers.ts';

/** What rows can be read from: a transaction, or what is committed. */
export interface RowView {
  get<R>(table: { readonly name: string; readonly rowType?: R }, id: string): R | undefined;
  group<R>(
    table: { readonly name: string; readonly rowType?: R },
    group: string,
  ): readonly (readonly [string, R])[];
}

/** The root row as a record without children; null: it does not exist. */
function rootRecord(
  view: RowView,
  shape: Shape,
  key: string,
): Record<string, Scalar | readonly Row[]> | null {
  const row = view.get(rootTable(shape), key);
  if (!row) return null;
  if (!shape.columns) return { ...row };
  return Object.fromEntries(shape.columns.map((column) => [column, row[column] ?? null]));
}

/** The whole record; children in key order. One snapshot, because nothing is awaited. */
export function readRecord(view: RowView, shape: Shape, key: string): DataRecord | null {
  const record = rootRecord(view, shape, key);
  if (!record) return null;
  for (const [name, child] of Object.entries(shape.children ?? {})) {
    record[name] = view
      .group<Row>(tableRef(child.table), key)
      .map(([, row]) => row)
      .sort((a, b) => compareKeys(childKey(child, a), childKey(child, b)));
  }
  return record;
}

function childKey(child: ChildShape, row: Row): readonly string[] {
  return child.key.map((column) => row[column] ?? '');
}

/** Splits a record into the root's columns and the given children; STORE_REJECTED for columns that the tables do not have. */
export function splitRecord(
  shape: Shape,
  key: string,
  record: DataRecord,
): { readonly root: Row; readonly children: ReadonlyMap<string, ReadonlyMap<string, Row>> } {
  const root: Record<string, Scalar> = {};
  const children = new Map<string, ReadonlyMap<string, Row>>();
  for (const [field, value] of Object.entries(record)) {
    const child = shape.children?.[field];
    if (child) children.set(field, childRows(child, key, value));
    else if (Array.isArray(value)) throw unknownColumn(shape.table, field);
    else root[field] = value as Scalar;
  }
  decodeKey(key).forEach((part, at) => {
    root[shape.key[at] ?? ''] = part;
  });
  requireColumns(shape.table, shape.columns, root);
  return { root, children };
}

function childRows(
  child: ChildShape,
  parent: string,
  value: Scalar | readonly Row[],
): ReadonlyMap<string, Row> {
  if (!Array.isArray(value)) {
    throw new ChangeoverError('STORE_REJECTED', `Children of ${child.table} are not an array.`);
  }
  const parts = decodeKey(parent);
  const rows = new Map<string, Row>();
  for (const given of value as readonly Row[]) {
    const row: Record<string, Scalar> = { ...given };
    child.parent.forEach((column, at) => {
      row[column] = parts[at] ?? null;
    });
    for (const column of child.key) {
      if (typeof row[column] !== 'string')
        throw new ChangeoverError('STORE_REJECTED', `${child.table}.${column} must not be NULL.`);
    }
    requireColumns(child.table, child.columns, row, child.parent);
    for (const column of child.columns ?? []) row[column] ??= null;
    rows.set(childRowId(parent, encodeKey(childKey(child, row))), row);
  }
  return rows;
}

function requireColumns(
  table: string,
  columns: readonly string[] | undefined,
  row: Row,
  implied: readonly string[] = [],
): void {
  if (!columns) return;
  for (const column of Object.keys(row)) {
    if (!columns.includes(column) && !implied.includes(column)) throw unknownColumn(table, column);
  }
}

function unknownColumn(table: string, column: string): ChangeoverError {
  return new ChangeoverError('STORE_REJECTED', `Table ${table} has no column ${column}.`);
}

/**
 * Row by row writing inside statements, with the locks that an SQL engine would take. Every function here belongs into one
 * statement of `transaction`; `layout` names our triggers on the tables.
 */
export class AggregateWriter {
  private readonly transaction: MemoryTransaction;
  private readonly layout: MemoryLayout;
  private readonly collection: string;
  private readonly shape: Shape;
  private readonly constraints: Readonly<Record<string, (row: unknown) => string | null>>;

  constructor(
    transaction: MemoryTransaction,
    layout: MemoryLayout,
    collection: string,
    shape: Shape,
    constraints: Readonly<Record<string, (row: unknown) => string | null>>,
  ) {
    this.transaction = transaction;
    this.layout = layout;
    this.collection = collection;
    this.shape = shape;
    this.constraints = constraints;
  }

  /** INSERT … ON CONFLICT DO UPDATE: given columns are set, others stay. Waits for whoever inserts or changes the row. */
  async upsertRoot(key: string, root: Row): Promise<void> {
    const table = rootTable(this.shape);
    await this.enter(table.name);
    await this.transaction.lock(rowLock(table.name, key), 'exclusive');
    const old = this.transaction.get(table, key);
    this.put(table.name, key, { ...old, ...root });
    this.capture(table.name, key);
  }

  /** INSERT … ON CONFLICT DO NOTHING: true when it inserted. Waits for whoever inserts or deletes the row. */
  async insertRoot(key: string, root: Row): Promise<boolean> {
    const table = rootTable(this.shape);
    await this.enter(table.name);
    await this.transaction.lock(rowLock(table.name, key), 'exclusive');
    if (this.transaction.get(table, key) !== undefined) return false;
    this.put(table.name, key, root);
    this.capture(table.name, key);
    return true;
  }

  /** SELECT … FOR UPDATE of the root: true when it (still) exists. Does not wait for rows that it cannot see. */
  async lockRoot(key: string): Promise<boolean> {
    return this.lockVisible(this.shape.table, key);
  }

  /** DELETE of the root: false when the statement saw none. Does not wait for an insert that is not committed. */
  async deleteRoot(key: string): Promise<boolean> {
    await this.enter(this.shape.table);
    if (!(await this.lockVisible(this.shape.table, key))) return false;
    this.transaction.set(rootTable(this.shape), key, undefined);
    this.capture(this.shape.table, key);
    return true;
  }

  /** Deletes the visible children that are not in `keep`; of all child tables when `only` is absent. */
  async deleteChildren(
    key: string,
    keep?: ReadonlyMap<string, ReadonlyMap<string, Row>>,
  ): Promise<void> {
    for (const [name, child] of Object.entries(this.shape.children ?? {})) {
      const kept = keep?.get(name);
      // Children that were not given stay as they are.
      if (keep && !kept) continue;
      await this.enter(child.table);
      for (const [id] of this.transaction.group<Row>(tableRef(child.table), key)) {
        if (kept?.has(id) || !(await this.lockVisible(child.table, id))) continue;
        this.transaction.set(tableRef<Row>(child.table), id, undefined);
        this.capture(child.table, key);
      }
    }
  }

  async upsertChildren(
    key: string,
    children: ReadonlyMap<string, ReadonlyMap<string, Row>>,
  ): Promise<void> {
    for (const [name, rows] of children) {
      const child = this.shape.children![name]!;
      await this.enter(child.table);
      for (const [id, row] of rows) {
        await this.transaction.lock(rowLock(child.table, id), 'exclusive');
        const old = this.transaction.get<Row>(tableRef(child.table), id);
        this.put(child.table, id, { ...old, ...row });
        this.capture(child.table, key);
      }
    }
  }

  private async lockVisible(table: string, id: string): Promise<boolean> {
    if (this.transaction.get(tableRef(table), id) === undefined) return false;
    await this.transaction.lock(rowLock(table, id), 'exclusive');
    // READ COMMITTED: what the wait was for may have deleted it.
    return this.transaction.get(tableRef(table), id) !== undefined;
  }

  private put(table: string, id: string, row: Row): void {
    const reason = this.constraints[table]?.(row) ?? null;
    if (reason !== null) {
      throw new ChangeoverError('STORE_REJECTED', `Table ${table} refused a row: ${reason}.`);
    }
    this.transaction.set(tableRef<Row>(table), id, row);
  }

  /** A statement that writes begins here: it holds its table in shared mode, so that enabling triggers waits for it. */
  private async enter(table: string): Promise<void> {
    await this.transaction.lock(tableLock(table), 'shared');
    refuseUnlessAdmitted(this.transaction, this.layout, table);
  }

  private capture(table: string, key: string): void {
    captureRow(this.transaction, this.layout, this.collection, table, key);
  }
}
