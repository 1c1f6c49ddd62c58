import type { Key } from '../record/index.ts';
import type { KeyRange, StoredRecord } from '../store/index.ts';
import type { Pair } from './comparator.ts';
import { type AuthorityPage, type PageReaders, pairsOfPage } from './pages.ts';

/** Pairs of one page of the authority. */
export interface PairedPage {
  readonly range: KeyRange;
  readonly pairs: AsyncIterable<readonly Pair[]> | Iterable<readonly Pair[]>;
}

interface BothPages {
  readonly authority: AuthorityPage;
  /** The follower's first rows of the same range, as many as were asked for. */
  readonly follower: readonly StoredRecord[];
}

/**
 * Pages of both sides, read at the same time and one ahead. Where the keys of two pages are the same, one by one, which is nearly everywhere, they are paired by their place; elsewhere as
 * `pairsOfPage` pairs them. So the follower need not wait until the authority's page says which range it is, and no table of keys is built.
 */
export async function* pairedPages(
  readers: PageReaders,
  range: KeyRange,
  batchRows: number,
): AsyncGenerator<PairedPage, void, void> {
  let next: Promise<BothPages> | null = readBoth(readers, range, batchRows);
  try {
    while (next !== null) {
      const { authority, follower }: BothPages = await next;
      const behind: KeyRange = { after: authority.range.until, until: range.until };
      next = authority.last ? null : readBoth(readers, behind, batchRows);
      next?.catch(() => undefined);
      const aligned = alignedPairs(authority.rows, follower);
      const whole = aligned !== null && (!authority.last || follower.length < batchRows);
      yield {
        range: authority.range,
        pairs: whole ? [aligned] : pairsOfPage(readers, authority, batchRows),
      };
    }
  } finally {
    await next?.catch(() => undefined);
  }
}

async function readBoth(
  { collection, authority, follower, ask }: PageReaders,
  range: KeyRange,
  batchRows: number,
): Promise<BothPages> {
  const [rows, others] = await Promise.all([
    ask(() => authority.scan(collection, range, batchRows)),
    ask(() => follower.scan(collection, range, batchRows)),
  ]);
  const until = rows.at(-1)?.key;
  const page =
    rows.length < batchRows || until === undefined
      ? { rows, range, last: true }
      : { rows, range: { after: range.after, until }, last: false };
  return { authority: page, follower: others };
}

/** null: the keys are not the same. */
function alignedPairs(
  rows: readonly StoredRecord[],
  others: readonly StoredRecord[],
): readonly Pair[] | null {
  if (rows.length !== others.length) return null;
  const pairs: Pair[] = [];
  for (let at = 0; at < rows.length; at += 1) {
    const [one, other] = [rows[at] as StoredRecord, others[at] as StoredRecord];
    if (!sameKey(one.key, other.key)) return null;
    pairs.push({ key: one.key, authority: one.record, follower: other.record });
  }
  return pairs;
}

function sameKey(one: Key, other: Key): boolean {
  for (let part = 0; part < one.length; part += 1) if (one[part] !== other[part]) return false;
  return one.length === other.length;
}
