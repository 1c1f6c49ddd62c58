import { ChangeoverError } from '../errors/index.ts';
import {
  acceptFor,
  type ColumnMapping,
  type ColumnOverride,
  type Convert,
  compileConverter,
  mapColumn,
  passesText,
  type RecordConverter,
  type RowConverts,
  type Spelling,
  type StoredColumn,
} from '../mapping/index.ts';
import type { Collection, Shape, Side, Transform } from '../migration/index.ts';
import type { TableDescription } from '../store/index.ts';
import type { CollectionDraft } from './migration-config.ts';
import { findTable } from './resolve-shape.ts';
import { suggestion } from './suggestion.ts';

/** A column that both sides have under one name, and what becomes of its values. null: only a transform can say what is meant. */
export interface MappedColumn {
  /** `column`, or `child.column`. */
  readonly field: string;
  readonly child: string | null;
  readonly column: string;
  /** Part of a key, of the record or of a child row. */
  readonly key: boolean;
  readonly from: StoredColumn;
  readonly to: StoredColumn;
  readonly forward: ColumnMapping | null;
  readonly backward: ColumnMapping | null;
}

/** How the columns of one collection go over between two engines. */
export interface CollectionMapping {
  readonly collection: string;
  /** Both stores spell values alike; only columns with options of their own are converted. */
  readonly alike: boolean;
  /** Its own transforms say which column becomes which; only the spelling of their results is adapted. */
  readonly transformed: boolean;
  readonly columns: readonly MappedColumn[];
  /** Columns of one side that the other one has not, where there is no transform: nothing can be written with them. */
  readonly alone: Readonly<Record<Side, readonly string[]>>;
  readonly converters: Readonly<Record<'forward' | 'backward', RecordConverter | null>>;
  /** See `Collection.convertedFields`. */
  readonly convertedFields: Collection['convertedFields'];
  /** See `Collection.passesText`. */
  readonly passesText: boolean;
}

const SPELLINGS: Readonly<Record<string, Spelling>> = {
  postgres: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
};

/** How a store of this engine writes values; null: nothing is converted to or from it. */
export const spellingOf = (engine: string): Spelling | null => SPELLINGS[engine] ?? null;

/** Both sides of a collection: shapes, and the tables of their stores. */
export interface MappedSides {
  readonly shapes: Readonly<Record<Side, Shape>>;
  readonly tables: Readonly<Record<Side, readonly TableDescription[]>>;
  readonly spellings: Readonly<Record<Side, Spelling>>;
}

/**
 * The mapping of one collection. Between stores of one engine only the columns with an entry in `columns` are converted; there the text of a value
 * is understood by both. null: nothing is to be done. CONFIG_INVALID for entries of columns that do not exist.
 */
export function mapCollection(
  draft: CollectionDraft,
  sides: MappedSides,
  strict = true,
): CollectionMapping | null {
  const source = columnsOf(draft, sides, 'source');
  const target = columnsOf(draft, sides, 'target');
  if (source === null || target === null) return null;
  if (strict) checkOverrides(draft, source, target);
  const alike = sides.spellings.source === sides.spellings.target;
  const named = (field: string): boolean => !alike || field in draft.columns;
  const shared = [...source].filter(([field]) => target.has(field) && named(field));
  const transformed = !draft.identity;
  if (alike && !hasOverrides(draft.columns)) return null;
  const columns = shared.map(([field, from]): MappedColumn => {
    const to = target.get(field) as PlacedColumn;
    const how = draft.columns[field] ?? {};
    return {
      field,
      child: from.child,
      column: from.column,
      key: from.key || to.key,
      from: from.type,
      to: to.type,
      forward: mapColumn(from.type, to.type, how),
      backward: mapColumn(to.type, from.type, how),
    };
  });
  const missing = (here: Placed, there: Placed): readonly string[] =>
    transformed ? [] : [...here.keys()].filter((field) => !there.has(field));
  const accepted = (all: Placed): RecordConverter | null =>
    compiled(
      [...all].filter(([field]) => named(field)),
      ([field, { type }]) => acceptFor(type, draft.columns[field]),
    );
  const alone = { source: missing(source, target), target: missing(target, source) };
  return {
    collection: draft.name,
    alike,
    transformed,
    columns,
    alone,
    convertedFields:
      alike || transformed
        ? undefined
        : { source: new Set(source.keys()), target: new Set(target.keys()) },
    passesText:
      !transformed &&
      alone.source.length === 0 &&
      columns.every(({ field, forward }) => forward && passesText(forward, draft.columns[field])),
    converters: transformed
      ? { forward: accepted(target), backward: accepted(source) }
      : {
          forward: compiled(columns.map(placed), ([, { way }]) => way('forward')),
          backward: compiled(columns.map(placed), ([, { way }]) => way('backward')),
        },
  };
}

interface PlacedColumn {
  readonly child: string | null;
  readonly column: string;
  readonly key: boolean;
  readonly type: StoredColumn;
}

/** Field → column, of root and children. */
type Placed = ReadonlyMap<string, PlacedColumn>;

const placed = (column: MappedColumn) => {
  const way = (direction: 'forward' | 'backward'): Convert | null => {
    const mapping = column[direction];
    if (mapping === null) return incomparable(column, direction);
    return mapping.identity ? null : mapping.convert;
  };
  return [column.field, { ...column, way }] as const;
};

function incomparable({ from, to }: MappedColumn, direction: 'forward' | 'backward'): Convert {
  const [here, there] = direction === 'forward' ? [from, to] : [to, from];
  return () => {
    const told = `${here.declared} and ${there.declared} have nothing in common: write a transform for the collection.`;
    throw new ChangeoverError('MAPPING_REFUSED', told, { data: { told } });
  };
}

function compiled<T extends Pick<PlacedColumn, 'child' | 'column'>>(
  columns: readonly (readonly [field: string, T])[],
  convertOf: (entry: readonly [field: string, T]) => Convert | null,
): RecordConverter | null {
  const root = new Map<string, Convert>();
  const children = new Map<string, Map<string, Convert>>();
  for (const entry of columns) {
    const convert = convertOf(entry);
    if (convert === null) continue;
    const [, { child, column }] = entry;
    if (child === null) root.set(column, convert);
    else children.set(child, (children.get(child) ?? new Map()).set(column, convert));
  }
  return compileConverter(root, children as ReadonlyMap<string, RowConverts>);
}

/** The columns that a shape carries, with their types; null: the store does not tell types. */
function columnsOf(draft: CollectionDraft, sides: MappedSides, side: Side): Placed | null {
  const place = { collection: draft.name, side };
  const shape = sides.shapes[side];
  const spelling = sides.spellings[side];
  const found = new Map<string, PlacedColumn>();
  const add = (
    child: string | null,
    table: TableDescription,
    columns: readonly string[],
    key: readonly string[],
  ): boolean => {
    if (table.types === undefined) return false;
    for (const column of columns) {
      const type = table.types[column];
      if (type === undefined) continue;
      const field = child === null ? column : `${child}.${column}`;
      found.set(field, { child, column, key: key.includes(column), type: { ...type, spelling } });
    }
    return true;
  };
  const root = findTable(shape.table, sides.tables[side], place);
  let typed = add(null, root, shape.columns ?? root.columns, shape.key);
  for (const [field, child] of Object.entries(shape.children ?? {})) {
    const table = findTable(child.table, sides.tables[side], place);
    const key = [...child.key, ...child.parent];
    typed = add(field, table, child.columns ?? table.columns, key) && typed;
  }
  return typed ? found : null;
}

function checkOverrides(draft: CollectionDraft, source: Placed, target: Placed): void {
  for (const field of Object.keys(draft.columns)) {
    if (source.has(field) || target.has(field)) continue;
    const known = [...new Set([...source.keys(), ...target.keys()])];
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `"collections.${draft.name}.columns.${field}": neither side has this column (those of children are "child.column").${suggestion(field, known)}`,
      { data: { collection: draft.name, field } },
    );
  }
}

/** A transform, and the conversion of its result. */
export function withConversion(
  transform: Transform,
  convert: RecordConverter | null,
  own: boolean,
): Transform {
  if (convert === null) return transform;
  if (!own) return convert;
  return (record) => {
    const result = transform(record);
    // What is no record at all is told by the caller, as without a mapping.
    return typeof result === 'object' && result !== null && !Array.isArray(result)
      ? convert(result)
      : result;
  };
}

/** True when the override says something. */
export const hasOverrides = (columns: Readonly<Record<string, ColumnOverride>>): boolean =>
  Object.keys(columns).length > 0;
