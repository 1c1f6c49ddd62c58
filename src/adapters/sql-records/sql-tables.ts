/** What records are put together from and taken apart into, whichever engine holds it: each engine's catalog knows more of its tables. */
export interface SqlColumn {
  readonly name: string;
  /** Computed by the store: never written. */
  readonly generated: boolean;
}

export interface SqlTable<Column extends SqlColumn = SqlColumn> {
  /** Carried columns, in the order in which rows are read. */
  readonly columns: readonly Column[];
  /** Every column of the table. */
  readonly allColumns: readonly Column[];
  /** In key order. */
  readonly key: readonly Column[];
}

export interface SqlChild<Column extends SqlColumn = SqlColumn> extends SqlTable<Column> {
  /** Field of the record that holds the rows. */
  readonly field: string;
  /** Columns that hold the root's key, in the root's key order. */
  readonly parent: readonly Column[];
}

export interface SqlCollection<
  Column extends SqlColumn = SqlColumn,
  Child extends SqlChild<Column> = SqlChild<Column>,
> {
  readonly collection: string;
  readonly root: SqlTable<Column>;
  readonly children: readonly Child[];
}
