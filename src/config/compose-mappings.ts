import { ChangeoverError } from '../errors/index.ts';
import type { StoredColumn } from '../mapping/index.ts';
import type { Collection, Shape, Side } from '../migration/index.ts';
import type { TableDescription } from '../store/index.ts';
import {
  type CollectionMapping,
  hasOverrides,
  mapCollection,
  spellingOf,
  withConversion,
} from './column-mappings.ts';
import type { CollectionDraft, DefinedMigration } from './migration-config.ts';
import { findTable } from './resolve-shape.ts';

/** What opening has learnt of one side. */
export interface SideShapes {
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Set when the store had to be asked for keys or types and did not answer; shapes that were to be looked up are then without keys. */
  readonly error: { readonly reason: unknown } | null;
  /** With types; null: not asked for, or not known. */
  readonly tables: readonly TableDescription[] | null;
}

/** The tables, once every table of the shapes was found among them (CONFIG_INVALID); null: the store does not tell types. */
export function tablesOf(
  shapes: ReadonlyMap<string, Shape>,
  tables: readonly TableDescription[],
  side: Side,
): readonly TableDescription[] | null {
  if (!tables.some(({ types }) => types !== undefined)) return null;
  for (const [collection, shape] of shapes) {
    for (const { table } of [shape, ...Object.values(shape.children ?? {})])
      findTable(table, tables, { collection, side });
  }
  return tables;
}

/** The transforms with the conversions around them. */
export function transformsOf(
  { forward, backward, identity, columns }: CollectionDraft,
  mapping: CollectionMapping | undefined,
): Pick<
  Collection,
  'forward' | 'backward' | 'identity' | 'columnwise' | 'passesText' | 'convertedFields' | 'mapping'
> {
  if (mapping === undefined) return { forward, backward, identity };
  const { converters, transformed, convertedFields } = mapping;
  return {
    mapping: mappingText(mapping, columns),
    ...(convertedFields === undefined ? {} : { convertedFields }),
    passesText: mapping.passesText,
    forward: withConversion(forward, converters.forward, transformed),
    backward: withConversion(backward, converters.backward, transformed),
    columnwise: identity,
    // Stores of two engines spell even equal texts by themselves: nothing is passed through as it is.
    identity:
      identity && mapping.alike && converters.forward === null && converters.backward === null,
  };
}

/** The same text in every process that sees the same tables and the same options. */
function mappingText({ columns }: CollectionMapping, said: CollectionDraft['columns']): string {
  // Without what the converters do not depend on.
  const plain = ({ declared: _word, nullable: _null, ...type }: StoredColumn): object => type;
  const typed = columns.map(({ field, from, to }) => [field, plain(from), plain(to)]);
  const byName = (a: readonly unknown[], b: readonly unknown[]): number =>
    String(a[0]) < String(b[0]) ? -1 : 1;
  return JSON.stringify([typed.sort(byName), Object.entries(said).sort(byName)]);
}

/** Types are looked up only where values have to be converted: that look is a connection more, and the store has to be up for it. */
export function needsTypes({ source, target, collections }: DefinedMigration): boolean {
  const [here, there] = [spellingOf(source.engine), spellingOf(target.engine)];
  const said = [...collections.values()].find(({ columns }) => hasOverrides(columns));
  if (here !== null && there !== null) return here !== there || said !== undefined;
  if (said === undefined) return false;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `"collections.${said.name}.columns": types are not known of ${here === null ? source.engine : target.engine} stores.`,
  );
}

/**
 * The mapping of each collection that needs one. `strict`: options of columns that do not exist are CONFIG_INVALID, not passed over (the way back must
 * not fail for them). Nothing when a side did not answer: its store then refuses every call, so nothing gets there unconverted.
 */
export function mappingsOf(
  definition: DefinedMigration,
  source: SideShapes,
  target: SideShapes,
  strict: boolean,
): ReadonlyMap<string, CollectionMapping> {
  const spellings = {
    source: spellingOf(definition.source.engine),
    target: spellingOf(definition.target.engine),
  };
  const tables = { source: source.tables, target: target.tables };
  if (!isKnown(spellings) || !isKnown(tables)) return new Map();
  const mapped = [...definition.collections.values()].flatMap((draft) => {
    const shapes = {
      source: source.shapes.get(draft.name) as Shape,
      target: target.shapes.get(draft.name) as Shape,
    };
    const mapping = mapCollection(draft, { shapes, tables, spellings }, strict);
    return mapping === null ? [] : [[draft.name, mapping] as const];
  });
  return new Map(mapped);
}

const isKnown = <T>(sides: Readonly<Record<Side, T | null>>): sides is Readonly<Record<Side, T>> =>
  sides.source !== null && sides.target !== null;
