import type { Collection } from '../migration/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import type { Clock } from '../runtime/index.ts';
import type { ChunkTicket, DoorContext, MigrationStore, StoredRecord } from '../store/index.ts';
import { createChunkReader } from './chunk-reader.ts';
import { type DeadRow, transformChunk } from './chunk-transform.ts';

/** The records of a chunk in the follower's shape, wherever they are kept. */
export interface PreparedChunk {
  /** Rows that were read. */
  readonly read: number;
  /** The range holds more than the byte limit allows, the rows end there: nothing else of this says anything then. */
  readonly cutAt: Key | null;
  /** Rows that could not be transformed. */
  readonly dead: readonly DeadRow[];
  /** Those of `leaveOut` that were there. */
  readonly leftOut: readonly Key[];
  /** Records that are to be written. */
  readonly count: number;
  /** The key of one of them, in key order from 0. */
  keyAt(index: number): Promise<Key>;
  /** Errors as `Door.writeChunk`. */
  write(context: DoorContext): Promise<{ readonly inserted: number }>;
  /** Lets the records go. Idempotent. */
  drop(): void;
}

/** Where chunks are read, transformed and written: in this thread, or in others (`config/workshop-threads.ts`). */
export interface ChunkWorkshop {
  /**
   * Reads and transforms the range of a chunk that has begun.
   *
   * @param leaveOut encoded keys of records that are not to be written
   */
  prepare(
    ticket: ChunkTicket,
    expectedRows: number,
    leaveOut: ReadonlySet<string>,
  ): Promise<PreparedChunk>;
  /** Idempotent. Work under way fails. */
  close(): Promise<void>;
}

export interface WorkshopParts {
  readonly collection: Collection;
  readonly authority: MigrationStore;
  readonly follower: MigrationStore;
  /** Text of the records of one chunk, about. */
  readonly bytesMax: number;
  readonly clock: Clock;
}

/** Works in this thread. */
export function createWorkshop(parts: WorkshopParts): ChunkWorkshop {
  const { collection, authority, follower, bytesMax, clock } = parts;
  const reader = createChunkReader(authority.records, collection.name, bytesMax);
  return {
    async prepare(ticket, expectedRows, leaveOut) {
      const { records: rows, cutAt } = await reader.read(ticket.range, expectedRows);
      const { until } = ticket.range;
      const cut = cutAt !== null && (until === null || encodeKey(cutAt) !== encodeKey(until));
      if (cut && until !== null) return preparedChunk(parts, ticket, rows.length, cutAt, [], []);
      const made = await transformChunk(collection, follower.side, rows, clock);
      const leftOut: Key[] = [];
      const records =
        leaveOut.size === 0
          ? made.records
          : made.records.filter(({ key }) => {
              const stays = !leaveOut.has(encodeKey(key));
              if (!stays) leftOut.push(key);
              return stays;
            });
      const chunk = preparedChunk(parts, ticket, rows.length, null, records, made.dead);
      return { ...chunk, leftOut };
    },
    async close() {},
  };
}

function preparedChunk(
  { follower }: WorkshopParts,
  ticket: ChunkTicket,
  read: number,
  cutAt: Key | null,
  records: readonly StoredRecord[],
  dead: readonly DeadRow[],
): PreparedChunk {
  let kept = records;
  return {
    read,
    cutAt,
    dead,
    leftOut: [],
    count: records.length,
    keyAt: async (index) => kept[index]?.key ?? [],
    write: (context) => follower.door.writeChunk(ticket, kept, context),
    drop() {
      kept = [];
    },
  };
}
