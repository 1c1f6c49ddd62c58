import { ChangeoverError } from '../errors/index.ts';
import type { ChildShape, Shape, Side } from '../migration/index.ts';
import type { TableDescription } from '../store/index.ts';
import type { ChildDraft, ShapeDraft } from './migration-config.ts';
import { suggestion } from './suggestion.ts';

/** Where a shape stands, for messages. */
export interface ShapePlace {
  readonly collection: string;
  readonly side: Side;
}

/** True when the catalog has to be looked at. */
export function isComplete(draft: ShapeDraft): boolean {
  const children = Object.values(draft.children ?? {});
  return (
    draft.key !== undefined &&
    children.every((child) => child.key !== undefined && child.parent !== undefined)
  );
}

/** A draft that states everything, as a shape. */
export function asShape(draft: ShapeDraft): Shape {
  return draft as Shape;
}

/**
 * Fills in keys from primary keys and the parent columns of children from their one foreign key to the root. Throws CONFIG_INVALID for
 * tables and columns that are not there, and where the catalog leaves a choice.
 */
export function resolveShape(
  draft: ShapeDraft,
  tables: readonly TableDescription[],
  place: ShapePlace,
): Shape {
  const root = findTable(draft.table, tables, place);
  checkColumns(root, [...(draft.key ?? []), ...(draft.columns ?? [])], place);
  const key = draft.key ?? primaryKey(root, place);
  const children = Object.entries(draft.children ?? {}).map(
    ([field, child]) => [field, resolveChild(field, child, root, key, tables, place)] as const,
  );
  return Object.freeze({
    table: draft.table,
    key,
    ...(draft.columns && { columns: draft.columns }),
    ...(children.length > 0 && { children: Object.freeze(Object.fromEntries(children)) }),
  });
}

function resolveChild(
  field: string,
  draft: ChildDraft,
  root: TableDescription,
  rootKey: readonly string[],
  tables: readonly TableDescription[],
  place: ShapePlace,
): ChildShape {
  const table = findTable(draft.table, tables, place);
  checkColumns(
    table,
    [...(draft.key ?? []), ...(draft.parent ?? []), ...(draft.columns ?? [])],
    place,
  );
  return Object.freeze({
    table: draft.table,
    key: draft.key ?? primaryKey(table, place),
    parent: draft.parent ?? parentColumns(field, table, root, rootKey, place),
    ...(draft.columns && { columns: draft.columns }),
  });
}

/** The columns that hold the root's key, by the one foreign key that refers to it; null: none, or several. */
export function foreignKeyTo(
  child: TableDescription,
  root: TableDescription,
  rootKey: readonly string[],
): readonly string[] | null {
  const found = child.foreignKeys.flatMap(({ columns, references, schema, table }) => {
    if (schema !== root.schema || table !== root.name) return [];
    const ordered = rootKey.map((column) => columns[references.indexOf(column)]);
    const whole = references.length === rootKey.length && ordered.every((one) => one !== undefined);
    return whole ? [ordered as readonly string[]] : [];
  });
  return found.length === 1 ? (found[0] as readonly string[]) : null;
}

function parentColumns(
  field: string,
  child: TableDescription,
  root: TableDescription,
  rootKey: readonly string[],
  place: ShapePlace,
): readonly string[] {
  const columns = foreignKeyTo(child, root, rootKey);
  if (columns) return columns;
  throw invalid(
    place,
    `child "${field}": there is not exactly one foreign key from ${child.name} to ${root.name}; state "parent", the columns that hold (${rootKey.join(', ')}).`,
  );
}

/** `table` in the search path, or `schema.table`. */
export function findTable(
  name: string,
  tables: readonly TableDescription[],
  place: ShapePlace,
): TableDescription {
  const dot = name.indexOf('.');
  const found = tables.find((table) =>
    dot < 0
      ? table.visible && table.name === name
      : table.schema === name.slice(0, dot) && table.name === name.slice(dot + 1),
  );
  if (found) return found;
  throw invalid(place, `there is no table "${name}".${suggestion(name, tables.map(tableName))}`);
}

/** How a configuration names the table. */
export function tableName(table: TableDescription): string {
  return table.visible ? table.name : `${table.schema}.${table.name}`;
}

function checkColumns(
  table: TableDescription,
  columns: readonly string[],
  place: ShapePlace,
): void {
  for (const column of columns) {
    if (table.columns.includes(column)) continue;
    throw invalid(
      place,
      `table "${tableName(table)}" has no column "${column}".${suggestion(column, table.columns)}`,
    );
  }
}

function primaryKey(table: TableDescription, place: ShapePlace): readonly string[] {
  if (table.primaryKey) return table.primaryKey;
  throw invalid(
    place,
    `table "${tableName(table)}" has no primary key; state "key", columns that are unique and NOT NULL.`,
  );
}

const invalid = ({ collection, side }: ShapePlace, why: string): ChangeoverError =>
  new ChangeoverError('CONFIG_INVALID', `Collection "${collection}", ${side}: ${why}`, {
    data: { collection, side },
  });
