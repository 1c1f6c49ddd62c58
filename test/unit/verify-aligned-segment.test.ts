import { expect, test } from 'vitest';
import { encodeKey, type Key } from '../../src/record/index.ts';
import type { KeyRange, RecordSnapshot, StoredRecord } from '../../src/store/index.ts';
import type { AlignedPair } from '../../src/verify/aligned-pair.ts';
import { nextSegment } from '../../src/verify/aligned-segment.ts';
import { type Comparator, createComparator } from '../../src/verify/comparator.ts';
import { verifyScope } from '../../src/verify/verify-scope.ts';
import { never, type VerifyFixture, verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();
const batchRows = 500;
/** Keys that end a segment, and the pages, or the leaf of digests, that were under way. */
const DIFFERING_MAX = 5_000 + 2 * (batchRows + 1);
const DIGESTED_MAX = 5_000 + 2 * 2_000;

const keyOf = (index: number): Key => [String(index).padStart(6, '0')];
const placed = { collections: ['items'], placed: false, openMs: 1_000, ageMs: 60_000 };

/** The same snapshot, ordered by what `rank` makes of a key. */
function ordered(snapshot: RecordSnapshot, rank: (key: Key) => string): RecordSnapshot {
  return {
    ...snapshot,
    async scan(collection, { after, until }, limit) {
      const all = await snapshot.scan(collection, { after: null, until: null }, 1_000_000);
      const isIn = ({ key }: StoredRecord): boolean =>
        (after === null || rank(key) > rank(after)) && (until === null || rank(key) <= rank(until));
      const byRank = (a: StoredRecord, b: StoredRecord): number =>
        rank(a.key) < rank(b.key) ? -1 : 1;
      return all.filter(isIn).sort(byRank).slice(0, limit);
    },
  };
}

/** Compares everything, segment by segment, record by record. */
async function walked(
  { context, state }: VerifyFixture,
  digests: boolean,
  rank?: (key: Key) => string,
): Promise<{
  readonly times: ReadonlyMap<string, number>;
  readonly differing: readonly number[];
  readonly records: number;
  readonly equal: number;
}> {
  const scope = verifyScope(context, 'items', { currentState: state }, never);
  const times = new Map<string, number>();
  const inner = createComparator(scope);
  const comparator: Comparator = {
    compare(pairs) {
      for (const { key } of pairs) times.set(encodeKey(key), (times.get(encodeKey(key)) ?? 0) + 1);
      return inner.compare(pairs);
    },
  };
  const { source, target } = context.stores;
  if (!source.snapshots || !target.snapshots) throw new Error('Memory stores open snapshots.');
  const authority = await source.snapshots.open(placed);
  const opened = await target.snapshots.open(placed);
  const pair: AlignedPair = {
    authority,
    follower: rank ? ordered(opened, rank) : opened,
    place: { from: 0n, until: 0n, text: '' },
    reached: '',
    isYoung: () => true,
    close: async () => {},
  };
  const differing: number[] = [];
  let range: KeyRange = { after: null, until: null };
  let [records, equal] = [0, 0];
  for (let ended = false; !ended; ) {
    const walk = { scope, comparator, options: { currentState: state, batchRows } };
    const noDigests = digests ? null : 'not wanted';
    const wish = { range, ended, rowsMax: 100_000, noDigests };
    const segment = await nextSegment(walk, pair, wish);
    if ('stop' in segment) throw new Error(segment.stop);
    differing.push(segment.differing.size);
    records += segment.digest.records;
    equal += segment.equal;
    range = { after: segment.until, until: null };
    ({ ended } = segment);
    expect(differing.length).toBeLessThan(50);
  }
  await authority.close();
  await opened.close();
  return { times, differing, records, equal };
}

/** 900 records, of which the follower lacks 4; and 19 000 that only the follower has, between two of them and behind the last. */
async function torn(): Promise<VerifyFixture> {
  const fixture = await fixtureWith(900);
  const { target } = fixture.foreign;
  for (const index of [10, 150, 899, 900]) await target.delete(keyOf(index));
  for (const [before, count] of [
    ['000100', 7_000],
    ['1', 12_000],
  ] as const)
    for (let index = 0; index < count; index += 1) {
      const id = before + String(index).padStart(6, '0');
      await target.put([id], { id, name: 'extra' });
    }
  return fixture;
}

test.each([
  ['record by record', false, DIFFERING_MAX],
  ['by digests', true, DIGESTED_MAX],
])(
  'a segment ends within a page when too much differs, and each key is met once (%s)',
  async (_, digests, max) => {
    const { times, differing, records, equal } = await walked(await torn(), digests);
    expect(Math.max(...differing)).toBeLessThanOrEqual(max);
    expect(differing.length).toBeGreaterThan(1);
    expect(differing.reduce((sum, one) => sum + one, 0)).toBe(19_004);
    expect([records, equal]).toEqual([896, 896]);
    if (!digests) expect(times.size).toBe(19_900);
    expect([...times.values()].every((count) => count === 1)).toBe(true);
  },
);

test.each([
  ['backwards', ([id = '']: Key) => [...id].map((digit) => 9 - Number(digit)).join('')],
  ['by the last digits', ([id = '']: Key) => [...id].reverse().join('')],
])(
  'stores that order keys differently (%s) are walked to the end, and no key is left out',
  async (_, rank) => {
    const { times } = await walked(await torn(), false, rank);
    expect(times.size).toBe(19_900);
  },
);
