import { ChangeoverError } from '../../errors/index.ts';
import type { ChildShape, Shape } from '../../migration/index.ts';
import type { SqlColumn, SqlTable } from './sql-tables.ts';

/** Resolved shapes of one store. Looked up once, on first use, and kept; `forget` after DDL. */
export interface ShapeCatalog<Collection> {
  readonly collections: readonly string[];
  /** COLLECTION_UNKNOWN; STORE_REJECTED for missing tables and columns; KEY_INVALID for a key that the engine cannot use. */
  collection(name: string): Promise<Collection>;
  shape(name: string): Shape;
  forget(): void;
}

/** A catalog of these shapes; `resolve` looks one up in the store. */
export function createShapeCatalog<Collection>(
  shapes: ReadonlyMap<string, Shape>,
  resolve: (collection: string, shape: Shape) => Promise<Collection>,
): ShapeCatalog<Collection> {
  const resolved = new Map<string, Promise<Collection>>();
  const shape = (name: string): Shape => {
    const found = shapes.get(name);
    if (found) return found;
    throw new ChangeoverError(
      'COLLECTION_UNKNOWN',
      `There is no collection "${name}" (there are: ${[...shapes.keys()].join(', ')}).`,
    );
  };
  return {
    collections: [...shapes.keys()],
    shape,
    async collection(name) {
      let promise = resolved.get(name);
      if (promise === undefined) {
        promise = resolve(name, shape(name));
        resolved.set(name, promise);
        // A failure is not kept: the table may be created, or the server come back.
        promise.catch(() => resolved.delete(name));
      }
      return promise;
    },
    forget: () => resolved.clear(),
  };
}

/** A table as its engine names it in messages. */
interface NamedTable<Column extends SqlColumn> extends Pick<SqlTable<Column>, 'allColumns'> {
  readonly quoted: string;
}

/** The root and its children; `resolveTable` looks one table up. */
export async function resolveTables<
  Column extends SqlColumn,
  Table extends SqlTable<Column> & NamedTable<Column>,
>(
  collection: string,
  shape: Shape,
  resolveTable: (shape: Pick<Shape, 'table' | 'key' | 'columns'>) => Promise<Table>,
): Promise<{
  readonly root: Table;
  readonly children: readonly (Table & {
    readonly field: string;
    readonly parent: readonly Column[];
  })[];
}> {
  const root = await resolveTable(shape);
  const children = [];
  for (const [field, child] of Object.entries(shape.children ?? {})) {
    const table = await resolveTable(child);
    children.push({
      ...table,
      field,
      parent: parentOf<Column>(collection, field, child, root, table),
    });
  }
  return { root, children };
}

function parentOf<Column extends SqlColumn>(
  collection: string,
  field: string,
  { parent }: ChildShape,
  root: SqlTable<Column> & NamedTable<Column>,
  table: NamedTable<Column>,
): readonly Column[] {
  if (parent.length !== root.key.length) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `Child "${field}" of "${collection}" names ${parent.length} parent columns, the key of ${root.quoted} has ${root.key.length}.`,
    );
  }
  return parent.map((name) => columnOf(table, name, collection));
}

/** The column of this name; STORE_REJECTED with those that there are. */
export function columnOf<Column extends SqlColumn>(
  table: NamedTable<Column>,
  name: string,
  collection: string,
): Column {
  const column = table.allColumns.find((one) => one.name === name);
  if (column) return column;
  const known = table.allColumns.map((one) => one.name).join(', ');
  throw new ChangeoverError(
    'STORE_REJECTED',
    `${table.quoted} has no column "${name}", which "${collection}" names (it has: ${known}).`,
    { data: { table: table.quoted, column: name } },
  );
}

/**
 * Carried columns and key of a table; KEY_INVALID without a key. The key travels with every record, also when the shape does not name it.
 *
 * @param named whether a shape may name generated columns, which are carried only then
 */
export function carriedColumns<Column extends SqlColumn>(
  facts: NamedTable<Column>,
  shape: Pick<Shape, 'key' | 'columns'>,
  collection: string,
  { generated: named }: { readonly generated: boolean },
): { readonly columns: readonly Column[]; readonly key: readonly Column[] } {
  const writable = facts.allColumns.filter(({ generated }) => !generated);
  const nameable = named ? facts : { quoted: facts.quoted, allColumns: writable };
  const columns = shape.columns?.map((name) => columnOf(nameable, name, collection)) ?? writable;
  if (shape.key.length === 0) {
    throw new ChangeoverError('KEY_INVALID', `Collection "${collection}" declares no key columns.`);
  }
  const key = shape.key.map((name) => columnOf(facts, name, collection));
  const missing = key.filter(({ name }) => !columns.some((column) => column.name === name));
  return { columns: [...missing, ...columns], key };
}

export function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
