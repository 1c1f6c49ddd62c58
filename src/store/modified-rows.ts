import type { Key } from '../record/index.ts';

/** A row of the root table, by the time that it says it was changed at. */
export interface ModifiedPlace {
  /** The column's value, as the store writes it. */
  readonly at: string;
  readonly key: Key;
}

/** Which rows: from − `backMs` ≤ column ≤ `until`, in the order of column and key, behind `after`. */
export interface ModifiedRange {
  readonly from: string;
  readonly backMs: number;
  readonly until: string;
  readonly after: ModifiedPlace | null;
}

/** How far the column has come. */
export interface ModifiedHorizon {
  /** Largest value, but none that lies in the store's future; null: no row has one. */
  readonly newest: string | null;
  /** Age of the oldest open transaction, ms: what it commits may carry a time as old as this. null: not told to us. */
  readonly openMs: number | null;
}

/** Something about the column that a person should know. */
export interface ModifiedFinding {
  readonly severity: 'fail' | 'warn';
  readonly text: string;
  readonly fix: string;
}

/**
 * Keys by a column of the root table that holds when its row was changed. It knows what the column says and no more: rows that were deleted, rows whose column was not touched by a
 * change, and rows with NULL in it are not found.
 *
 * Errors: CONFIG_INVALID for a column that is not there or holds no time; those of a read.
 */
export interface ModifiedRows {
  /** Empty: the column is there, holds a time, and has an index. */
  check(collection: string, column: string): Promise<readonly ModifiedFinding[]>;
  horizon(collection: string, column: string): Promise<ModifiedHorizon>;
  keys(
    collection: string,
    column: string,
    range: ModifiedRange,
    limit: number,
  ): Promise<readonly ModifiedPlace[]>;
}

/** What is said of a column that cannot be used; shared by the adapters. */
export const modifiedFindings = {
  missing: (table: string, column: string): ModifiedFinding => ({
    severity: 'fail',
    text: `${table} has no column "${column}" for the sweeper`,
    fix: 'Name the column that holds when a row was changed, or leave `modified` out.',
  }),
  noTime: (table: string, column: string, type: string): ModifiedFinding => ({
    severity: 'fail',
    text: `"${column}" of ${table} is ${type}, which is no time`,
    fix: 'Name a column with date and time, or leave `modified` out.',
  }),
  noIndex: (table: string, column: string): ModifiedFinding => ({
    severity: 'warn',
    text: `"${column}" of ${table} leads no index: each sweep reads the whole table`,
    fix: `Create an index on ${table} ("${column}").`,
  }),
} as const;
