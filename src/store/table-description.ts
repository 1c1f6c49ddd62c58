import type { ColumnType } from '../mapping/index.ts';

/** A table as the store's catalog has it: enough to fill in what a configuration leaves out. */
export interface TableDescription {
  readonly schema: string;
  readonly name: string;
  /** True when the bare name means this table (search path). */
  readonly visible: boolean;
  /** In order, generated ones left out. */
  readonly columns: readonly string[];
  /** Column → what it holds. Optional: without it, values pass between engines unconverted. */
  readonly types?: Readonly<Record<string, ColumnType>>;
  /** In key order; null: none. */
  readonly primaryKey: readonly string[] | null;
  readonly foreignKeys: readonly ForeignKeyDescription[];
  /** The planner's estimate; -1: unknown. */
  readonly estimatedRows: number;
}

export interface ForeignKeyDescription {
  readonly columns: readonly string[];
  readonly schema: string;
  readonly table: string;
  /** Columns of the other table, in the order of `columns`. */
  readonly references: readonly string[];
}
