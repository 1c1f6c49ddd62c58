import type { Change, Key } from '../../record/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import { type KeyedRecord, tableRows } from './postgres-door-rows.ts';
import {
  type DoorStatement,
  deleteRecords,
  deleteSurplus,
  lockCoveringChunks,
  upsertChildRows,
  upsertRows,
} from './postgres-door-sql.ts';
import type { PostgresLayout } from './postgres-schema.ts';

/** A change as far as rows are concerned. */
export type RowChange = Pick<Change, 'key' | 'value' | 'version'>;

/** Changes of one collection as statements; `deletes` and `upserts` each in the order in which they have to run. The fences are locked. */
export interface RowStatements {
  readonly deletes: readonly DoorStatement[];
  readonly upserts: readonly DoorStatement[];
}

export function splitStatements(
  layout: PostgresLayout,
  collection: CatalogCollection,
  changes: readonly RowChange[],
): RowStatements {
  const gone: Key[] = [];
  const present: KeyedRecord[] = [];
  for (const { key, value, version } of changes) {
    if (value === null) gone.push(key);
    else present.push({ key, record: value, version });
  }
  const deletes =
    gone.length === 0
      ? []
      : [lockCoveringChunks(layout, collection, gone), ...deleteRecords(collection, gone)];
  return { deletes, upserts: upsertStatements(layout, collection, present) };
}

function upsertStatements(
  layout: PostgresLayout,
  collection: CatalogCollection,
  present: readonly KeyedRecord[],
): readonly DoorStatement[] {
  if (present.length === 0) return [];
  const statements: DoorStatement[] = [];
  const rows = tableRows(collection, present);
  for (const group of rows.roots) statements.push(upsertRows(collection.root, group));
  // A statement of its own for each step: what a chunk has committed while the roots were waited for is seen by the next.
  for (const child of rows.children)
    if (child.roots.length > 0) statements.push(deleteSurplus(collection.root, child));
  for (const { child, groups } of rows.children)
    for (const group of groups)
      statements.push(...upsertChildRows(layout, collection, child, group));
  return statements;
}

/** The statements that make the rows what the changes say; deletes go first, a unique value may move from one record to another. */
export function rowStatements(
  layout: PostgresLayout,
  collection: CatalogCollection,
  changes: readonly RowChange[],
): readonly DoorStatement[] {
  const { deletes, upserts } = splitStatements(layout, collection, changes);
  return [...deletes, ...upserts];
}
