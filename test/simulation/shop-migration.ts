import type { Collection, FailureMode, Migration, WriteMode } from '../../src/migration/index.ts';
import type { DataRecord, Row } from '../../src/record/index.ts';

/** How one collection is written. */
export interface CollectionMode {
  readonly write: WriteMode;
  readonly failureMode: FailureMode;
}

export type CollectionName = 'items' | 'orders' | 'feed';

const renamed =
  (from: string, to: string) =>
  (record: DataRecord): DataRecord => {
    const { [from]: value, ...rest } = record;
    return value === undefined ? rest : { ...rest, [to]: value };
  };

const base = {
  identity: false,
  latencyBudgetMs: 30,
  shadowReadSample: 0.3,
  ignore: {},
  transformVersion: 1,
} as const;

/** One table, one column renamed. */
function items(mode: CollectionMode): Collection {
  return {
    ...base,
    ...mode,
    name: 'items',
    capture: 'app',
    source: { table: 'items', key: ['id'], columns: ['id', 'name', 'stamp'] },
    target: { table: 'new_items', key: ['id'], columns: ['id', 'label', 'stamp'] },
    forward: renamed('name', 'label'),
    backward: renamed('label', 'name'),
  };
}

/** An aggregate; its children have other names in the target. */
function orders(mode: CollectionMode): Collection {
  const children = (table: string) => ({
    table,
    key: ['order_id', 'line'],
    parent: ['order_id'],
    columns: ['order_id', 'line', 'product'],
  });
  const sorted = (from: string, to: string) => (record: DataRecord) => {
    const made = renamed(from, to)(record);
    const rows = made[to] as readonly Row[] | undefined;
    return rows ? { ...made, [to]: rows } : made;
  };
  return {
    ...base,
    ...mode,
    name: 'orders',
    capture: 'app',
    source: {
      table: 'orders',
      key: ['id'],
      columns: ['id', 'city', 'stamp'],
      children: { lines: children('order_lines') },
    },
    target: {
      table: 'new_orders',
      key: ['id'],
      columns: ['id', 'city', 'stamp'],
      children: { parts: children('new_order_parts') },
    },
    forward: sorted('lines', 'parts'),
    backward: sorted('parts', 'lines'),
  };
}

/** Written by programs that do not know the library; captured by trigger. */
function feed(): Collection {
  const same = (record: DataRecord): DataRecord => record;
  return {
    ...base,
    name: 'feed',
    capture: 'outbox',
    write: 'deferred',
    failureMode: 'fail-open',
    source: { table: 'feed', key: ['id'], columns: ['id', 'body', 'stamp'] },
    target: { table: 'new_feed', key: ['id'], columns: ['id', 'body', 'stamp'] },
    forward: same,
    backward: same,
    identity: true,
  };
}

/** Whoever writes, the log tells; nothing is written inline. */
const fromLog = (collection: Collection): Collection => ({
  ...collection,
  capture: 'log',
  write: 'deferred',
  failureMode: 'fail-open',
});

export function shopMigration(modes: {
  readonly items: CollectionMode;
  readonly orders: CollectionMode;
  readonly logged: readonly CollectionName[];
}): Migration {
  const all = [items(modes.items), orders(modes.orders), feed()].map((one) =>
    modes.logged.some((name) => name === one.name) ? fromLog(one) : one,
  );
  return { name: 'shop', collections: new Map(all.map((one) => [one.name, one])) };
}
