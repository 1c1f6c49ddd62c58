import { decodeKey, encodeKey, type Key } from '../../record/index.ts';
import type {
  KeyRange,
  QueuedKey,
  ReadAnswer,
  RecordSnapshot,
  SnapshotPlace,
  SnapshotSource,
  StoredRecord,
} from '../../store/index.ts';
import { type RowView, readRecord } from './memory-aggregates.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { createMemoryDigests } from './memory-digest.ts';
import { type FenceRow, fenceId, type QueueRow, rootTable, tablesOf } from './memory-layout.ts';
import { checkedKey } from './memory-reread.ts';
import { lookOnce, type MemorySession, shapeOf } from './memory-session.ts';
import { compareKeys, MemoryTable, tableRef } from './memory-table.ts';

/**
 * Snapshots of a memory database: copies of its rows in one turn. What is in the log and cannot be seen yet is not in them, so `from` lies before the first of those; a server that
 * has one can wait instead. They do not grow old.
 */
export function createMemorySnapshots(session: MemorySession): SnapshotSource {
  return {
    open: ({ placed, numbered = false }) =>
      lookOnce(session, 'snapshot/open', () => {
        const frozen = freeze(session);
        const place = placed ? placeOf(session.database) : numbered ? numberOf(session) : null;
        const reader = readerOf(session, frozen, place);
        return { ...reader, digests: createMemoryDigests(session, reader.scan) };
      }),
  };
}

function placeOf({ log }: MemoryDatabase): SnapshotPlace {
  const until = log.end;
  let from = until;
  for (const position of log.surfacing.values()) if (position <= from) from = position - 1n;
  return { from, until, text: `memory:${until}` };
}

function numberOf({ database, layout }: MemorySession): SnapshotPlace {
  const number = database.sequenceValue(layout.sequence);
  return { from: number, until: number, text: `number ${number}` };
}

type Tables = ReadonlyMap<string, MemoryTable>;

function freeze({ database, context, layout }: MemorySession): Tables {
  const names = [
    layout.fences.name,
    layout.queue.name,
    ...[...context.shapes.values()].flatMap(tablesOf),
  ];
  return new Map(
    names.map((name) => {
      const table = new MemoryTable();
      for (const [id, row] of database.committedRows(tableRef(name))) table.set(id, row);
      return [name, table];
    }),
  );
}

function viewOf(tables: Tables): RowView {
  return {
    get: <R>({ name }: { readonly name: string }, id: string) =>
      tables.get(name)?.rows.get(id) as R | undefined,
    group: <R>({ name }: { readonly name: string }, group: string) => {
      const table = tables.get(name);
      return Array.from(table?.idsOf(group) ?? [], (id) => [id, table?.rows.get(id) as R] as const);
    },
  };
}

function readerOf(
  session: MemorySession,
  tables: Tables,
  place: SnapshotPlace | null,
): RecordSnapshot {
  const view = viewOf(tables);
  const keysIn = (collection: string, { after, until }: KeyRange): readonly string[] =>
    (tables.get(rootTable(shapeOf(session, collection)).name)?.inKeyOrder() ?? []).filter((id) => {
      const key: Key = decodeKey(id);
      return (!after || compareKeys(key, after) > 0) && (!until || compareKeys(key, until) <= 0);
    });
  return {
    place,
    read: (collection, keys, options = {}) =>
      lookOnce(session, 'snapshot/read', () => {
        const shape = shapeOf(session, collection);
        return keys.map((key): ReadAnswer => {
          const id = checkedKey(key, shape.key.length);
          const fence = options.withFence
            ? view.get<FenceRow>(session.layout.fences, fenceId(collection, id))
            : undefined;
          return {
            record: readRecord(view, shape, id),
            fence: fence ? { epoch: fence.epoch, sequence: fence.sequence } : null,
          };
        });
      }),
    scan: (collection, range, limit) =>
      lookOnce(session, 'snapshot/scan', () => {
        const shape = shapeOf(session, collection);
        return keysIn(collection, range)
          .slice(0, limit)
          .flatMap((id): StoredRecord[] => {
            const record = readRecord(view, shape, id);
            return record ? [{ key: decodeKey(id), record }] : [];
          });
      }),
    boundary: (collection, range, rows) =>
      lookOnce(session, 'snapshot/boundary', () => {
        const last = keysIn(collection, range).slice(0, rows).at(-1);
        return last === undefined ? null : decodeKey(last);
      }),
    queued: (collection, keys) =>
      lookOnce(session, 'snapshot/queued', () => {
        const rows = [
          ...(tables.get(session.layout.queue.name)?.rows.values() ?? []),
        ] as QueueRow[];
        return keys.map((key) => {
          const id = encodeKey(key);
          return queuedKey(rows.filter((row) => row.collection === collection && row.key === id));
        });
      }),
    close: async () => {},
  };
}

function queuedKey(rows: readonly QueueRow[]): QueuedKey {
  const ids = rows.map(({ id }) => id).sort((a, b) => (a < b ? -1 : 1));
  const dead = rows.some((row) => row.dead !== null);
  return {
    standing: rows.length === 0 ? 'none' : dead ? 'dead' : 'waiting',
    first: ids[0] ?? null,
    last: ids.at(-1) ?? null,
  };
}
