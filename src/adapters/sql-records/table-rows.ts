import { ChangeoverError } from '../../errors/index.ts';
import {
  compareVersions,
  type DataRecord,
  type Key,
  type Row,
  type Scalar,
  type Version,
} from '../../record/index.ts';
import type { SqlChild, SqlCollection, SqlColumn, SqlTable } from './sql-tables.ts';

/** Rows of one table that give values to the same columns: one set-based statement, one COPY. */
export interface RowGroup<Column extends SqlColumn> {
  readonly columns: readonly Column[];
  /** One array a row, in the order of `columns`. */
  readonly rows: readonly (readonly Scalar[])[];
}

/** The rows of one child table that belong to given roots. */
export interface ChildRows<Column extends SqlColumn, Child extends SqlChild<Column>> {
  readonly child: Child;
  /** Keys of the roots whose records carry this child, be it an empty list. */
  readonly roots: readonly Key[];
  readonly groups: readonly RowGroup<Column>[];
}

/** Records taken apart into rows of tables. */
export interface TableRows<Column extends SqlColumn, Child extends SqlChild<Column>> {
  readonly roots: readonly RowGroup<Column>[];
  readonly children: readonly ChildRows<Column, Child>[];
}

export interface KeyedRecord {
  readonly key: Key;
  readonly record: DataRecord;
  /** Where two records claim the same child row, the newer one has it. */
  readonly version?: Version;
}

/**
 * Takes records apart. The key columns of the root and the parent columns of children come from the key. Generated columns are left out;
 * a column that is not given is not written. STORE_REJECTED for fields that the tables do not have, and for records whose own key
 * columns say something else than their key: fence and row would not be of the same record.
 */
export function tableRows<Column extends SqlColumn, Child extends SqlChild<Column>>(
  collection: SqlCollection<Column, Child>,
  records: readonly KeyedRecord[],
): TableRows<Column, Child> {
  const { root, children: childTables } = collection;
  const roots = new Grouping<Column>(root, collection.collection);
  for (const { key, record } of records) {
    if (childTables.length === 0 && isRow(record, root.key, key)) {
      roots.add(record);
      continue;
    }
    const row: Record<string, Scalar> = {};
    for (const [field, value] of Object.entries(record)) {
      if (collection.children.some((child) => child.field === field)) continue;
      if (Array.isArray(value)) throw unknownField(collection.collection, field);
      row[field] = value as Scalar;
    }
    fix(row, collection.root.key, key, collection.collection);
    roots.add(row);
  }
  const children = collection.children.map((child) => childRows(collection, child, records));
  return { roots: roots.groups(), children };
}

/** True for a record that is the row already: only columns, and the key that it is to have. */
function isRow(record: DataRecord, columns: readonly SqlColumn[], key: Key): record is Row {
  for (let index = 0; index < columns.length; index += 1)
    if (record[columns[index]?.name ?? ''] !== key[index]) return false;
  for (const field in record) {
    const value = record[field];
    if (typeof value !== 'string' && value !== null) return false;
  }
  return true;
}

function childRows<Column extends SqlColumn, Child extends SqlChild<Column>>(
  { collection }: SqlCollection<Column, Child>,
  child: Child,
  records: readonly KeyedRecord[],
): ChildRows<Column, Child> {
  const roots: Key[] = [];
  const owners = new Map<string, { readonly row: Row; readonly version: Version | undefined }>();
  for (const { key, record, version } of records) {
    const given = record[child.field];
    if (given === undefined) continue;
    if (typeof given === 'string') throw unknownField(collection, child.field);
    roots.push(key);
    for (const childRow of given ?? []) {
      const row: Record<string, Scalar> = { ...childRow };
      for (const [index, column] of child.parent.entries()) row[column.name] = key[index] ?? null;
      const id = JSON.stringify(child.key.map(({ name }) => row[name] ?? null));
      const other = owners.get(id);
      const older = other?.version && version && compareVersions(version, other.version) < 0;
      if (!older) owners.set(id, { row, version });
    }
  }
  const grouping = new Grouping<Column>(child, collection);
  for (const { row } of owners.values()) grouping.add(row);
  return { child, roots, groups: grouping.groups() };
}

function fix(
  row: Record<string, Scalar>,
  columns: readonly SqlColumn[],
  key: Key,
  collection: string,
): void {
  for (const [index, column] of columns.entries()) {
    const given = row[column.name];
    const part = key[index] ?? null;
    if (given !== undefined && given !== part) {
      throw new ChangeoverError(
        'STORE_REJECTED',
        `A record of "${collection}" has another value in key column "${column.name}" than its key: transforms must not change keys.`,
        { data: { collection, column: column.name } },
      );
    }
    row[column.name] = part;
  }
}

function unknownField(collection: string, field: string): ChangeoverError {
  return new ChangeoverError(
    'STORE_REJECTED',
    `A record of "${collection}" has the field "${field}", which its tables do not have in this form.`,
    { data: { collection, field } },
  );
}

/** Collects rows of one table by the set of columns that they give. */
class Grouping<Column extends SqlColumn> {
  readonly #table: SqlTable<Column>;
  readonly #collection: string;
  readonly #found = new Map<string, { columns: readonly Column[]; rows: Scalar[][] }>();
  #lastNames: readonly string[] = [];
  #last: { columns: readonly Column[]; rows: Scalar[][] } | null = null;

  constructor(table: SqlTable<Column>, collection: string) {
    this.#table = table;
    this.#collection = collection;
  }

  add(row: Row): void {
    const group = this.#groupOf(row);
    group.rows.push(group.columns.map(({ name }) => row[name] as Scalar));
  }

  groups(): readonly RowGroup<Column>[] {
    return [...this.#found.values()];
  }

  /** Most records of a batch have the same fields in the same order: that case costs no set operations. */
  #groupOf(row: Row): { columns: readonly Column[]; rows: Scalar[][] } {
    const names = Object.keys(row);
    const last = this.#last;
    if (last && names.length === this.#lastNames.length) {
      let same = true;
      for (let index = 0; index < names.length && same; index += 1)
        same = names[index] === this.#lastNames[index];
      if (same) return last;
    }
    const columns = this.#columnsOf(names);
    const signature = columns.map(({ name }) => name).join('\n');
    let group = this.#found.get(signature);
    if (group === undefined) {
      group = { columns, rows: [] };
      this.#found.set(signature, group);
    }
    this.#lastNames = names;
    this.#last = group;
    return group;
  }

  #columnsOf(names: readonly string[]): readonly Column[] {
    const wanted = new Set(names);
    const columns = this.#table.allColumns.filter(({ name }) => wanted.delete(name));
    const [unknown] = wanted;
    if (unknown !== undefined) throw unknownField(this.#collection, unknown);
    return columns.filter(({ generated }) => !generated);
  }
}
