import { ChangeoverError } from '../../errors/index.ts';
import type { CatalogCollection, CatalogColumn } from './mysql-catalog.ts';
import { acts, type ForeignAction, quotedTable, type TableName } from './mysql-foreign-actions.ts';

/** A record that a changed row belongs to. */
export interface NamedRecord {
  readonly collection: string;
  /** Columns of the changed table that hold the record's key. */
  readonly key: readonly CatalogColumn[];
  /** The row is the record, or its root: the key is never NULL. */
  readonly isRoot: boolean;
  /** It has another key before the change than after it, or cannot be found afterwards. */
  readonly before: boolean;
  /** It can be found when the change is done, by the new values: ON UPDATE CASCADE all the way. */
  readonly after: boolean;
}

/** Rows that InnoDB changes, found by a chain of foreign keys from the row that a statement changes. */
export interface Reach {
  /** From the changed row outwards; never empty. */
  readonly path: readonly ForeignAction[];
  readonly records: readonly NamedRecord[];
  /** What their change changes in turn. */
  readonly further: readonly Reach[];
}

/** `deleted`, or the columns that have another value; null: any may have. */
type Effect = 'deleted' | ReadonlySet<string> | null;

/** InnoDB itself goes no further. */
const DEPTH_MAX = 15;
const REACHES_MAX = 500;

/**
 * Everything that InnoDB may change by itself when a row of `parent` is deleted or updated, as far as it ends in records of these collections. Rather too much
 * than too little. What goes with the root of its own record is left out: the root is told of.
 *
 * LOG_UNSUPPORTED when the keys form so many chains that they cannot be listed.
 */
export function reachOf(
  actions: readonly ForeignAction[],
  collections: readonly CatalogCollection[],
  parent: TableName,
  event: 'DELETE' | 'UPDATE',
): readonly Reach[] {
  let count = 0;
  const further = (
    from: string,
    effect: Effect,
    path: readonly ForeignAction[],
  ): readonly Reach[] => {
    if (path.length >= DEPTH_MAX) return [];
    return actions.flatMap((action): readonly Reach[] => {
      if (quotedTable(action.parent) !== from) return [];
      const result = effectOn(action, effect, path);
      if (result === undefined) return [];
      count += 1;
      if (count > REACHES_MAX) throw tooMany(parent);
      const here = [...path, action];
      const records = collections.flatMap((one) => recordsOf(one, action, result, here, event));
      const more = further(quotedTable(action.child), result, here);
      return records.length + more.length === 0 ? [] : [{ path: here, records, further: more }];
    });
  };
  return further(quotedTable(parent), event === 'DELETE' ? 'deleted' : null, []);
}

/** What becomes of the referring row; undefined: nothing. */
function effectOn(
  { columns, references, child, onDelete, onUpdate }: ForeignAction,
  effect: Effect,
  path: readonly ForeignAction[],
): Effect | undefined {
  if (effect === 'deleted') {
    if (!acts(onDelete)) return undefined;
    return onDelete === 'cascade' ? 'deleted' : new Set(columns);
  }
  if (!acts(onUpdate)) return undefined;
  if (effect !== null && !references.some((name) => effect.has(name))) return undefined;
  // InnoDB refuses to update a table twice on one way.
  if (path.some((one) => quotedTable(one.child) === quotedTable(child))) return undefined;
  return new Set(columns);
}

function recordsOf(
  { collection, root, children }: CatalogCollection,
  action: ForeignAction,
  effect: Effect,
  path: readonly ForeignAction[],
  event: 'DELETE' | 'UPDATE',
): readonly NamedRecord[] {
  const table = quotedTable(action.child);
  const changed = event === 'UPDATE' && effect instanceof Set ? effect : null;
  const after = changed !== null && path.every(({ onUpdate }) => onUpdate === 'cascade');
  const named = (key: readonly CatalogColumn[], isRoot: boolean): NamedRecord => {
    const before = !after || key.some(({ name }) => changed.has(name));
    return { collection, key, isRoot, before, after };
  };
  const parts = children.flatMap(({ quoted, parent }) => {
    if (quoted !== table) return [];
    const own =
      quotedTable(action.parent) === root.quoted &&
      same(action.references, root.key) &&
      same(action.columns, parent);
    return own ? [] : [named(parent, false)];
  });
  return root.quoted === table ? [named(root.key, true), ...parts] : parts;
}

function same(names: readonly string[], columns: readonly CatalogColumn[]): boolean {
  const wanted = new Set(columns.map(({ name }) => name));
  return names.length === wanted.size && names.every((name) => wanted.has(name));
}

function tooMany(parent: TableName): ChangeoverError {
  const table = quotedTable(parent);
  return new ChangeoverError(
    'LOG_UNSUPPORTED',
    `The foreign keys that act by themselves (ON DELETE, ON UPDATE) form more than ${REACHES_MAX} chains from ${table}: which rows InnoDB changes there cannot be followed. Take the action from some of them for the time of the migration, or declare capture "app" for what they change.`,
    { data: { table } },
  );
}
