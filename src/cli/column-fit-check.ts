import type { DefinedMigration } from '../config/index.ts';
import { type CollectionMapping, findTable, mapCollection, spellingOf } from '../config/index.ts';
import type { Collection, Side } from '../migration/index.ts';
import type { TableDescription } from '../store/index.ts';

/**
 * What becomes of the columns of a collection between stores of *one* engine, where nothing is converted: the columns whose types differ, and those of one side
 * alone. As `mappingFindings` takes it; null: nothing can be said (a transform of the application's, types that are not told), or a mapping says it.
 */
export function columnFit(
  definition: DefinedMigration,
  collection: Collection,
  tables: Readonly<Record<Side, readonly TableDescription[]>>,
): CollectionMapping | null {
  const draft = definition.collections.get(collection.name);
  const spelling = spellingOf(definition.source.engine);
  if (draft === undefined || !draft.identity || spelling === null) return null;
  if (spelling !== spellingOf(definition.target.engine)) return null;
  if (Object.keys(draft.columns).length > 0) return null;
  const { name, source, target } = collection;
  const root = findTable(source.table, tables.source, { collection: name, side: 'source' });
  const children = Object.entries(source.children ?? {}).flatMap(([field, child]) => {
    const table = findTable(child.table, tables.source, { collection: name, side: 'source' });
    return (child.columns ?? table.columns).map((column) => `${field}.${column}`);
  });
  const fields = [...new Set([...source.key, ...(source.columns ?? root.columns)]), ...children];
  // Columns with options are the ones that are mapped: here every column has some that say nothing.
  const asked = { ...draft, columns: Object.fromEntries(fields.map((field) => [field, {}])) };
  const spellings = { source: spelling, target: spelling };
  const mapped = mapCollection(asked, { shapes: { source, target }, tables, spellings }, false);
  if (mapped === null) return null;
  const columns = mapped.columns.filter(
    ({ from, to }) => from.declared !== to.declared || from.nullable !== to.nullable,
  );
  return { ...mapped, columns };
}
