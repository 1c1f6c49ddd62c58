import { ChangeoverError } from '../../errors/index.ts';
import type { DataRecord, Row, Scalar } from '../../record/index.ts';
import type { CatalogCollection, CatalogColumn, CatalogTable } from './postgres-catalog.ts';
import type { Statement } from './postgres-flight.ts';
import { textArray } from './postgres-text.ts';

/** A row and the record that it belongs to. */
interface PlacedRow {
  readonly record: number;
  readonly row: Row;
}

/** Rows of one table which have the same columns: one statement. */
export interface CanonicalBatch {
  readonly table: CatalogTable;
  /** null: the root. */
  readonly field: string | null;
  readonly columns: readonly CatalogColumn[];
  readonly rows: readonly PlacedRow[];
  readonly statement: Statement;
}

/** The statements that let the server spell the values of these records. STORE_REJECTED for a column that the table has not. */
export function canonicalBatches(
  collection: CatalogCollection,
  records: readonly DataRecord[],
): readonly CanonicalBatch[] {
  const fields = new Set(collection.children.map(({ field }) => field));
  const roots = records.map((record, index) => ({
    record: index,
    row: Object.fromEntries(Object.entries(record).filter(([name]) => !fields.has(name))) as Row,
  }));
  const batches = [...batchesOf(collection.root, null, roots)];
  for (const child of collection.children) {
    const rows: PlacedRow[] = records.flatMap((record, index) => {
      const value = record[child.field];
      return Array.isArray(value)
        ? value.map((row: Row) => ({
            record: index,
            row: withParent(collection, child, record, row),
          }))
        : [];
    });
    batches.push(...batchesOf(child, child.field, rows));
  }
  return batches;
}

/** The store fills the parent columns in by itself, so they are part of what it would give back. */
function withParent(
  collection: CatalogCollection,
  child: CatalogCollection['children'][number],
  record: DataRecord,
  row: Row,
): Row {
  const filled: Record<string, Scalar> = { ...row };
  child.parent.forEach(({ name }, index) => {
    const value = record[collection.root.key[index]?.name ?? ''];
    const carried = child.columns.some((column) => column.name === name);
    if (carried && filled[name] === undefined && typeof value === 'string') filled[name] = value;
  });
  return filled;
}

function* batchesOf(
  table: CatalogTable,
  field: string | null,
  rows: readonly PlacedRow[],
): Generator<CanonicalBatch> {
  const groups = new Map<string, PlacedRow[]>();
  for (const placed of rows) {
    const id = JSON.stringify(Object.keys(placed.row));
    const group = groups.get(id);
    if (group) group.push(placed);
    else groups.set(id, [placed]);
  }
  for (const group of groups.values()) {
    const columns = Object.keys(group[0]?.row ?? {}).map((name) => columnOf(table, name));
    if (columns.length === 0) continue;
    const statement = spell(columns, group);
    yield { table, field, columns, rows: group, statement };
  }
}

export function columnOf(table: CatalogTable, name: string): CatalogColumn {
  const column = table.allColumns.find((one) => one.name === name);
  if (column) return column;
  throw new ChangeoverError(
    'STORE_REJECTED',
    `${table.quoted} has no column "${name}"; the record comes from the application or the transform.`,
    { data: { table: table.quoted, column: name } },
  );
}

function spell(columns: readonly CatalogColumn[], rows: readonly PlacedRow[]): Statement {
  const arrays = columns.map((_, index) => `$${index + 1}::text[]`).join(', ');
  const names = columns.map((_, index) => `c${index + 1}`).join(', ');
  const list = columns.map((column, index) => stored(column, `u.c${index + 1}`)).join(', ');
  return {
    text: `SELECT ${list} FROM unnest(${arrays}) WITH ORDINALITY AS u(${names}, n) ORDER BY u.n`,
    values: columns.map(({ name }) => textArray(rows.map(({ row }) => row[name] ?? null))),
  };
}

/**
 * The value as an assignment would store it. An explicit cast to varchar(n) or varbit(n) cuts where the assignment refuses, so those keep
 * their length: what is too long could not be stored, and must not look like what is.
 */
function stored(column: CatalogColumn, expression: string): string {
  const base = `${expression}::${column.castType}`;
  const varying = column.castType === 'character varying' || column.castType === 'bit varying';
  return varying ? base : `${base}::${column.type}`;
}

/** Puts the server's spelling back into the records; children stay in the order given, they are paired by key. */
export function canonicalRecords(
  collection: CatalogCollection,
  records: readonly DataRecord[],
  batches: readonly CanonicalBatch[],
  lines: readonly (readonly (readonly Scalar[])[])[],
): readonly DataRecord[] {
  const result = records.map((record) => {
    const copy: Record<string, Scalar | Row[]> = {};
    for (const { field } of collection.children) if (Array.isArray(record[field])) copy[field] = [];
    return copy;
  });
  batches.forEach(({ field, columns, rows }, batch) => {
    rows.forEach(({ record }, index) => {
      const target = result[record];
      const line = lines[batch]?.[index];
      if (target === undefined || line === undefined) return;
      const row = Object.fromEntries(columns.map(({ name }, at) => [name, line[at] ?? null]));
      if (field === null) Object.assign(target, row);
      else (target[field] as Row[]).push(row);
    });
  });
  return result;
}
