import type * as rows from '../sql-records/table-rows.ts';
import type { CatalogChild, CatalogColumn } from './postgres-catalog.ts';

export { type KeyedRecord, tableRows } from '../sql-records/table-rows.ts';

/** Rows of one table that give values to the same columns. */
export type RowGroup = rows.RowGroup<CatalogColumn>;
/** The rows of one child table that belong to given roots. */
export type ChildRows = rows.ChildRows<CatalogColumn, CatalogChild>;
