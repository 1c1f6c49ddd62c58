import { ChangeoverError } from '../errors/index.ts';
import { type LogChange, type LogTable, type LogValue, unchanged } from '../log/index.ts';
import type { Collection } from '../migration/index.ts';
import { type DataRecord, decodeKey, type Key, type Scalar } from '../record/index.ts';
import type { LogRoute, LogRoutes } from './log-routes.ts';

/** The newest that a batch says about one key. */
export interface KeyChange {
  readonly key: Key;
  /** In the authority's shape; null: deleted; `reread`: the log does not hold the whole record. */
  readonly value: DataRecord | null | 'reread';
  readonly sequence: bigint;
}

/** What a batch says about one collection. */
export interface CollectionChanges {
  readonly collection: Collection;
  /** Key text → its newest state. */
  readonly keys: ReadonlyMap<string, KeyChange>;
  /** A table was emptied: nothing that the follower holds and that is not in `keys` is known to exist (`root`), or to be whole (`part`). */
  readonly truncated: { readonly kind: 'root' | 'part'; readonly sequence: bigint } | null;
}

interface Gathering {
  readonly collection: Collection;
  readonly keys: Map<string, KeyChange>;
  truncated: CollectionChanges['truncated'];
}

/**
 * Puts the changes of a batch together, one per key, the newest. Row changes of one key come in commit order, so the last one stands; what an update
 * leaves out because it did not touch it is taken from the change before it in this batch, or else the record has to be read again.
 * A row that leaves its key is a delete of the old and an insert of the new one; a child row that moves concerns both records. A record that is only named
 * (`LogTable.touches`) has to be read again.
 * In the order of the configuration.
 */
export function coalesce(
  changes: readonly LogChange[],
  routes: LogRoutes,
  collections: readonly Collection[],
): readonly CollectionChanges[] {
  const gathered = new Map<string, Gathering>();
  const gathering = (collection: Collection): Gathering => {
    let into = gathered.get(collection.name);
    if (into === undefined) {
      into = { collection, keys: new Map(), truncated: null };
      gathered.set(collection.name, into);
    }
    return into;
  };
  for (const change of changes) {
    if (change.table.touches !== undefined) {
      const touched = touchedBy(change, change.table.touches, collections);
      if (touched === null) continue;
      const { collection, key } = touched;
      const { sequence } = change;
      gathering(collection).keys.set(textOf(key), { key, value: 'reread', sequence });
      continue;
    }
    for (const route of routes.of(change.table)) {
      const into = gathering(route.collection);
      if (change.kind === 'truncate') truncate(into, route, change);
      else if (route.kind === 'root') takeRow(into, route, change);
      else takePart(into, route, change);
    }
  }
  return collections.flatMap(({ name }) => gathered.get(name) ?? []);
}

/** null: nothing was named (such a row is taken away again), or nothing that is migrated. */
function touchedBy(
  { kind, after }: LogChange,
  places: NonNullable<LogTable['touches']>,
  collections: readonly Collection[],
): { readonly collection: Collection; readonly key: Key } | null {
  if (kind !== 'insert') return null;
  const collection = collections.find(({ name }) => name === after?.[places.collection]);
  const text = after?.[places.key];
  if (collection === undefined || typeof text !== 'string') return null;
  return { collection, key: decodeKey(text) };
}

function truncate(into: Gathering, { kind }: LogRoute, { sequence }: LogChange): void {
  if (kind === 'root') into.keys.clear();
  // Emptied children do not bring back what the root's own truncation took.
  into.truncated = { kind: into.truncated?.kind === 'root' ? 'root' : kind, sequence };
}

function takeRow(into: Gathering, route: LogRoute, change: LogChange): void {
  const { before, after, sequence, kind, table } = change;
  const old = before === null ? null : keyIn(route, before);
  // Without its old key a row has kept it, provided that the log would have told.
  const told =
    kind !== 'update' || old !== null || route.keyAt.every((at) => table.columns[at]?.key);
  if (!told) throw withoutKey(route, change);
  if (after === null) {
    if (old === null) throw withoutKey(route, change);
    into.keys.set(textOf(old), { key: old, value: null, sequence });
    return;
  }
  const key = keyIn(route, after);
  if (key === null) throw withoutKey(route, change);
  const text = textOf(key);
  const oldText = old === null ? text : textOf(old);
  const value = recordOf(route, before, after, into.keys.get(oldText)?.value);
  if (old !== null && oldText !== text) {
    // The delete stands first: to the follower the two may be one key in two spellings, and a batch that it refuses is divided.
    into.keys.delete(text);
    into.keys.set(oldText, { key: old, value: null, sequence });
  }
  into.keys.set(text, { key, value, sequence });
}

function recordOf(
  route: LogRoute,
  before: readonly LogValue[] | null,
  after: readonly LogValue[],
  earlier: KeyChange['value'] | undefined,
): DataRecord | 'reread' {
  const record: Record<string, Scalar> = {};
  for (const { name, at } of route.fields) {
    let value = after[at];
    if (value === unchanged) {
      value = before?.[at];
      if (value === unchanged || value === undefined) {
        const known = typeof earlier === 'object' && earlier !== null ? earlier[name] : undefined;
        if (known === undefined || Array.isArray(known)) return 'reread';
        value = known as Scalar;
      }
    }
    record[name] = value ?? null;
  }
  return record;
}

/** A row of a record that consists of several: the record has to be read again; when the row moves between records, both. */
function takePart(into: Gathering, route: LogRoute, change: LogChange): void {
  const { before, after, kind, table, sequence } = change;
  // Without the old row it has not moved, provided that the log would have told.
  const told =
    kind !== 'update' || before !== null || route.keyAt.every((at) => table.columns[at]?.key);
  if (!told) throw withoutKey(route, change);
  for (const row of [before, after]) {
    // A child row whose parent columns are NULL belongs to no record.
    if (row === null || route.keyAt.some((at) => row[at] === null)) continue;
    const key =
      keyIn(route, row) ?? (row === after && before !== null ? keyIn(route, before) : null);
    if (key === null) throw withoutKey(route, change);
    into.keys.set(textOf(key), { key, value: 'reread', sequence });
  }
}

/** null: not all of its columns are there. */
function keyIn(route: LogRoute, row: readonly LogValue[]): Key | null {
  const key: string[] = [];
  for (const at of route.keyAt) {
    const part = row[at];
    if (typeof part !== 'string') return null;
    key.push(part);
  }
  return key;
}

/** A `Map` key; quicker than the encoded key where it can be. */
function textOf(key: Key): string {
  return key.length === 1 ? (key[0] ?? '') : JSON.stringify(key);
}

function withoutKey(route: LogRoute, { table, kind }: LogChange): ChangeoverError {
  const name = `${table.schema}.${table.name}`;
  return new ChangeoverError(
    'LOG_UNSUPPORTED',
    `The log holds a row (${kind}) of ${name} without the columns by which collection "${route.collection.name}" tells its records apart: the log has to carry whole old rows (PostgreSQL: ALTER TABLE ${name} REPLICA IDENTITY FULL; MySQL: binlog_row_image=FULL).`,
    { data: { table: name, collection: route.collection.name } },
  );
}
