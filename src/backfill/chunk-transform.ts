import { messageOf } from '../errors/index.ts';
import { type Collection, type Side, toFollower } from '../migration/index.ts';
import type { DataRecord, Key } from '../record/index.ts';
import type { Clock } from '../runtime/index.ts';
import type { StoredRecord } from '../store/index.ts';

/** A row that cannot be brought to the follower, and why. */
export interface DeadRow {
  readonly key: Key;
  readonly reason: string;
  /** It may pass when another record has arrived: left to the queue, not to a person. */
  readonly waits?: boolean;
}

export interface TransformedChunk {
  readonly records: readonly StoredRecord[];
  readonly dead: readonly DeadRow[];
}

/** Rows between two turns of the event loop: heartbeats and live writes of the same process go on. */
const SLICE_ROWS = 2_048;

/**
 * The chunk in the follower's shape. A row whose transform throws, or which the transform gives another key (it could
 * never be updated or deleted), is dead; a row for which it returns null is left out.
 */
export async function transformChunk(
  collection: Collection,
  follower: Side,
  rows: readonly StoredRecord[],
  clock: Clock,
): Promise<TransformedChunk> {
  if (collection.identity) return { records: rows, dead: [] };
  const keyColumns = collection[follower].key;
  const records: StoredRecord[] = [];
  const dead: DeadRow[] = [];
  for (let index = 0; index < rows.length; index++) {
    if (index > 0 && index % SLICE_ROWS === 0) await clock.yield();
    const { key, record } = rows[index] as StoredRecord;
    try {
      const value = toFollower(collection, follower, record);
      if (value === null) continue;
      if (keeps(key, value, keyColumns)) records.push({ key, record: value });
      else dead.push({ key, reason: 'TRANSFORM_FAILED: the transform changed the key' });
    } catch (error) {
      dead.push({ key, reason: messageOf(error) });
    }
  }
  return { records, dead };
}

/** Key columns that the transform leaves out are filled in by the store. */
function keeps(key: Key, value: DataRecord, columns: readonly string[]): boolean {
  for (let part = 0; part < columns.length; part++) {
    const text = value[columns[part] as string];
    if (text !== undefined && text !== key[part]) return false;
  }
  return true;
}
