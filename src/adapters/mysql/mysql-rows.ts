import type { Row, Scalar } from '../../record/index.ts';
import { groupChildren as grouped } from '../sql-records/record-rows.ts';
import type { CatalogChild, CatalogTable } from './mysql-catalog.ts';
import { keyOrder } from './mysql-key-sql.ts';
import { decodedValue, selectExpression } from './mysql-literals.ts';

export { groupId, keyOfRow, storedRecord, withChildren } from '../sql-records/record-rows.ts';

/** The columns that a table's rows are read with, in the order that `rowOf` expects. */
export function selectList(table: CatalogTable, alias: string): string {
  return table.columns.map((column) => selectExpression(column, alias)).join(', ');
}

/** Child rows come in the order of their keys, so that equal records read equal. */
export function childOrder(child: CatalogChild, alias: string): string {
  return keyOrder(child.key, alias);
}

/** A row object from values that begin at `from`. */
export function rowOf(table: CatalogTable, values: readonly Scalar[], from: number): Row {
  const row: Record<string, Scalar> = {};
  const { columns } = table;
  for (let index = 0; index < columns.length; index += 1) {
    const column = columns[index];
    if (column) row[column.name] = decodedValue(column, values[from + index] ?? null);
  }
  return row;
}

/** Rows of one child, by group: the first `prefix` values of each line say which record it belongs to. */
export const groupChildren = (
  child: CatalogChild,
  lines: readonly (readonly Scalar[])[],
  prefix: number,
): ReadonlyMap<string, readonly Row[]> => grouped(child, lines, prefix, rowOf);
