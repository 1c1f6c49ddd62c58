import type { Shape } from '../../migration/index.ts';
import type { NamedTable } from './binlog-query.ts';

/** A table whose rows are handed out. */
export interface PublishedTable {
  /** As the server spells it. */
  readonly schema: string;
  readonly name: string;
  /** As the shape spells it: what a `LogTable` is called. */
  readonly spelled: NamedTable;
  /** Columns that hold keys of records: by them a moved row is told. */
  readonly watched: ReadonlySet<string>;
}

/**
 * The tables of the collections that are captured from the log. A shape's table without a database is in the connection's. With `foldCase`
 * (`lower_case_table_names`) names are compared in lower case, as the server does.
 */
export class PublishedTables {
  readonly #tables = new Map<string, PublishedTable>();
  readonly #foldCase: boolean;

  constructor(shapes: Iterable<Shape>, database: string, foldCase: boolean) {
    this.#foldCase = foldCase;
    for (const { table, key, children } of shapes) {
      this.#add(table, database, key);
      for (const child of Object.values(children ?? {}))
        this.#add(child.table, database, [...child.key, ...child.parent]);
    }
  }

  find(schema: string, name: string): PublishedTable | undefined {
    return this.#tables.get(this.#id(schema, name));
  }

  has({ schema, name }: NamedTable): boolean {
    return this.find(schema, name) !== undefined;
  }

  get all(): readonly PublishedTable[] {
    return [...this.#tables.values()];
  }

  inSchema(schema: string): readonly PublishedTable[] {
    const wanted = this.#fold(schema);
    return this.all.filter((one) => this.#fold(one.schema) === wanted);
  }

  #add(table: string, database: string, columns: readonly string[]): void {
    const dot = table.indexOf('.');
    const spelled = {
      schema: dot < 0 ? database : table.slice(0, dot),
      name: table.slice(dot + 1),
    };
    const id = this.#id(spelled.schema, spelled.name);
    const known = this.#tables.get(id);
    this.#tables.set(id, {
      schema: this.#fold(spelled.schema),
      name: this.#fold(spelled.name),
      spelled: known?.spelled ?? spelled,
      watched: new Set([...(known?.watched ?? []), ...columns]),
    });
  }

  #fold(name: string): string {
    return this.#foldCase ? name.toLowerCase() : name;
  }

  #id(schema: string, name: string): string {
    return `${this.#fold(schema)}\0${this.#fold(name)}`;
  }
}

/** One text for a table, for maps and messages. */
export function tableText({ schema, name }: NamedTable): string {
  return `${schema}.${name}`;
}
