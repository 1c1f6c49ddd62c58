import { ChangeoverError } from '../errors/index.ts';
import type { LogTable } from '../log/index.ts';
import type { Collection, Shape, Side } from '../migration/index.ts';

/** What a row of a table means for one collection. */
export interface LogRoute {
  readonly collection: Collection;
  /** `root`: the row is the record. `part`: it belongs to a record of several rows, which has to be read again. */
  readonly kind: 'root' | 'part';
  /** Where the columns stand that hold the key of the record (for child rows: the key of the root). */
  readonly keyAt: readonly number[];
  /** `root`: name and place of the columns that the record consists of. */
  readonly fields: readonly { readonly name: string; readonly at: number }[];
}

/**
 * Which collections the rows of a table belong to; computed once per form of a table. SCHEMA_CHANGED when the table lacks a column that
 * a collection names.
 */
export class LogRoutes {
  readonly #collections: readonly Collection[];
  readonly #side: Side;
  readonly #known = new WeakMap<LogTable, readonly LogRoute[]>();

  constructor(collections: readonly Collection[], authority: Side) {
    this.#collections = collections;
    this.#side = authority;
  }

  of(table: LogTable): readonly LogRoute[] {
    const known = this.#known.get(table);
    if (known) return known;
    const qualified = this.#routes(table, true);
    // A bare name means whatever the search path finds; another collection that names the schema knows better.
    const routes = qualified.length > 0 ? qualified : this.#routes(table, false);
    this.#known.set(table, routes);
    return routes;
  }

  #routes(table: LogTable, qualified: boolean): readonly LogRoute[] {
    const wanted = qualified ? `${table.schema}.${table.name}` : table.name;
    const routes: LogRoute[] = [];
    for (const collection of this.#collections) {
      const shape = collection[this.#side];
      const children = Object.values(shape.children ?? {});
      if (shape.table === wanted) {
        const kind = children.length === 0 ? ('root' as const) : ('part' as const);
        const fields = kind === 'root' ? fieldsOf(table, shape, collection) : [];
        routes.push({ collection, kind, keyAt: places(table, shape.key, collection), fields });
      }
      for (const child of children) {
        if (child.table !== wanted) continue;
        const keyAt = places(table, child.parent, collection);
        routes.push({ collection, kind: 'part', keyAt, fields: [] });
      }
    }
    return routes;
  }
}

function places(
  table: LogTable,
  columns: readonly string[],
  collection: Collection,
): readonly number[] {
  return columns.map((column) => {
    const at = table.columns.findIndex(({ name }) => name === column);
    if (at < 0) throw lacking(table, column, collection);
    return at;
  });
}

function fieldsOf(
  table: LogTable,
  { columns }: Shape,
  collection: Collection,
): readonly { readonly name: string; readonly at: number }[] {
  if (columns === undefined) return table.columns.map(({ name }, at) => ({ name, at }));
  const at = places(table, columns, collection);
  return columns.map((name, index) => ({ name, at: at[index] ?? 0 }));
}

function lacking(table: LogTable, column: string, collection: Collection): ChangeoverError {
  return new ChangeoverError(
    'SCHEMA_CHANGED',
    `Table ${table.schema}.${table.name} has no column "${column}" in the log, which collection "${collection.name}" needs: it was dropped or renamed. Adapt the configuration and start the worker again, or take the change back.`,
    { data: { table: `${table.schema}.${table.name}`, column, collection: collection.name } },
  );
}
