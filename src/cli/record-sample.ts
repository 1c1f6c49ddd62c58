import { isChangeoverError } from '../errors/index.ts';
import { type DataRecord, encodeKey, type Key } from '../record/index.ts';
import type { Random } from '../runtime/index.ts';
import type { KeyRange, RecordStore, StoredRecord } from '../store/index.ts';

/** Places that are looked at, and records from each: enough to find what is wrong everywhere, not what is wrong in one row. */
const PLACES = 20;
const ROWS = 5;
/** As far a place is looked for by counting, where no key can be made up: a wider look costs the store more than it tells. */
const COUNTED_MAX = 20_000;
const PAGE = 1_000;

const everything: KeyRange = { after: null, until: null };

/**
 * Records of a collection, in pages: up to a hundred from random places, or all of them (`exact`). The first records are the oldest ones, which are not like the
 * others. Errors are those of a scan.
 */
export async function* sampledRecords(
  records: RecordStore,
  collection: string,
  { random, exact }: { readonly random: Random; readonly exact: boolean },
): AsyncGenerator<readonly DataRecord[]> {
  if (exact) {
    yield* allRecords(records, collection);
    return;
  }
  const head = await records.scan(collection, everything, PLACES * ROWS);
  if (head.length < PLACES * ROWS) {
    yield head.map(({ record }) => record);
    return;
  }
  const found = new Map<string, StoredRecord>();
  const first = head[0]?.key ?? [];
  const { last, estimatedRows } = await records.extent(collection);
  for (let place = 0; place < PLACES; place += 1) {
    const after = await randomPlace(records, collection, { first, last, estimatedRows }, random);
    for (const one of await records.scan(collection, { after, until: null }, ROWS))
      found.set(encodeKey(one.key), one);
  }
  yield [...found.values()].map(({ record }) => record);
}

async function* allRecords(
  records: RecordStore,
  collection: string,
): AsyncGenerator<readonly DataRecord[]> {
  for (let after: Key | null = null; ; ) {
    const page: readonly StoredRecord[] = await records.scan(
      collection,
      { after, until: null },
      PAGE,
    );
    if (page.length > 0) yield page.map(({ record }) => record);
    after = page.at(-1)?.key ?? null;
    if (page.length < PAGE) return;
  }
}

interface Extent {
  readonly first: Key;
  readonly last: Key | null;
  readonly estimatedRows: number;
}

async function randomPlace(
  records: RecordStore,
  collection: string,
  { first, last, estimatedRows }: Extent,
  random: Random,
): Promise<Key | null> {
  const made = last === null ? null : keyBetween(first, last, random);
  if (made !== null) {
    try {
      if ((await records.scan(collection, { after: made, until: null }, 1)).length > 0) return made;
    } catch (error) {
      // A key that its column does not take; places can be counted as well.
      if (!isChangeoverError(error, 'KEY_INVALID', 'STORE_REJECTED')) throw error;
    }
  }
  const rows = Math.floor(random.next() * Math.min(Math.max(estimatedRows, 1), COUNTED_MAX));
  return rows === 0 ? null : records.boundary(collection, everything, rows);
}

/** A key whose first column lies somewhere between two integers, or is a random UUID; null: there is no telling. It need not exist. */
function keyBetween(first: Key, last: Key, random: Random): Key | null {
  const [low = '', ...rest] = first;
  const [high = ''] = last;
  if (/^-?\d{1,30}$/.test(low) && /^-?\d{1,30}$/.test(high)) {
    const [from, to] = [BigInt(low), BigInt(high)];
    const share = BigInt(Math.floor(random.next() * 1_000_000_000));
    return [String(from + ((to - from) * share) / 1_000_000_000n), ...rest];
  }
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-/.test(low)) return null;
  // Of time-ordered ones (UUID 7) the beginnings are alike: between them, then.
  const [from, to] = [low, high].map((text) => Number.parseInt(text.slice(0, 8), 16)) as [
    number,
    number,
  ];
  const head = Math.floor(from + random.next() * (to - from + 1));
  return [`${head.toString(16).padStart(8, '0')}${low.slice(8)}`, ...rest];
}
