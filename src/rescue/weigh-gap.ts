import type { GapRecord } from '../control/index.ts';
import { dispositionOf } from '../errors/index.ts';
import { type Collection, toFollower } from '../migration/index.ts';
import { type DataRecord, encodeKey, type Key, keyOf } from '../record/index.ts';
import { keyOfRecord, type OpenGap } from './open-gap.ts';
import { compareToSource } from './record-keys.ts';
import { sameRecord } from './same-record.ts';
import { touchedKeys } from './touched.ts';

/** What is to be done about a record of the gap, as both stores stand now. */
export interface Weighed {
  readonly record: GapRecord;
  readonly verdict: 'equal' | 'conflict' | 'refused' | 'put' | 'delete';
  readonly note: string;
  /** The source's record now. */
  readonly current: DataRecord | null;
  /** What the source would hold: the target's record in its shape. */
  readonly wanted: DataRecord | null;
  /** Every spelling of the key that is known. */
  readonly keys: readonly Key[];
}

/** Weighs records of one collection; nothing is locked, so a `put` or `delete` has to be looked at again under the key's lock. */
export async function weigh(
  gap: OpenGap,
  collection: Collection,
  records: readonly GapRecord[],
): Promise<readonly Weighed[]> {
  const keys = records.map(keyOfRecord);
  const answers = await gap.context.stores.source.records.read(collection.name, keys);
  const currents = answers.map(({ record }) => record);
  const wanted = records.map((record) => wantedOf(collection, record));
  const stored = await asStored(
    gap,
    collection,
    wanted.map(({ record }) => record),
  );
  const spellings = keys.map((key, index) =>
    spellingsOf(
      collection,
      key,
      currents[index] ?? null,
      wanted[index]?.record ?? null,
      stored[index] ?? null,
    ),
  );
  const touched = await touchedKeys(gap, collection, spellings);
  const pairs = keys.map((key, index) => ({
    key,
    authority: records[index]?.target ?? null,
    follower: currents[index] ?? null,
  }));
  const differences = await compareToSource(gap, collection, pairs);
  return records.map((record, index) => {
    const current = currents[index] ?? null;
    const { record: made, problem } = wanted[index] ?? { record: null, problem: '' };
    const told = { record, current, wanted: made, keys: spellings[index] ?? [], note: '' };
    const difference = differences[index] ?? null;
    if (difference === null) return { ...told, verdict: 'equal' };
    if (problem !== '') return { ...told, verdict: 'refused', note: problem };
    if (record.touched || touched[index])
      return { ...told, verdict: 'conflict', note: 'the source was written since the rescue' };
    if (!sameRecord(current, record.source))
      return {
        ...told,
        verdict: 'conflict',
        note: 'the source holds something else than when the gap was collected',
      };
    // What a person has to decide is not brought back by rule, however it looks by now.
    if (record.status === 'conflict') return { ...told, verdict: 'conflict', note: record.note };
    return { ...told, verdict: made === null ? 'delete' : 'put' };
  });
}

function wantedOf(
  collection: Collection,
  record: GapRecord,
): { readonly record: DataRecord | null; readonly problem: string } {
  try {
    return { record: toFollower(collection, 'source', record.target), problem: '' };
  } catch (error) {
    return { record: null, problem: error instanceof Error ? error.message : String(error) };
  }
}

/** As the source would hold them; null where it would refuse one. */
async function asStored(
  gap: OpenGap,
  collection: Collection,
  wanted: readonly (DataRecord | null)[],
): Promise<readonly (DataRecord | null)[]> {
  const records = wanted.filter((record) => record !== null);
  if (records.length === 0) return wanted;
  try {
    const stored = await gap.context.stores.source.records.canonicalise(collection.name, records);
    let at = 0;
    return wanted.map((record) => (record === null ? null : (stored[at++] ?? null)));
  } catch (error) {
    if (dispositionOf(error) !== 'reject') throw error;
    if (wanted.length === 1) return [null];
    const middle = Math.ceil(wanted.length / 2);
    return [
      ...(await asStored(gap, collection, wanted.slice(0, middle))),
      ...(await asStored(gap, collection, wanted.slice(middle))),
    ];
  }
}

/** Two engines may spell one key in two ways, and entries and fences go by the source's. */
function spellingsOf(
  collection: Collection,
  key: Key,
  ...records: readonly (DataRecord | null)[]
): readonly Key[] {
  const found = new Map([[encodeKey(key), key]]);
  for (const record of records) {
    if (record === null) continue;
    const columns = collection.source.key;
    if (columns.some((column) => typeof record[column] !== 'string')) continue;
    const other = keyOf(record, columns);
    found.set(encodeKey(other), other);
  }
  return [...found.values()];
}
