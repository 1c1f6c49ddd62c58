import { expect, test } from 'vitest';
import { seededRandom } from '../../src/runtime/index.ts';
import { SampleFrame } from '../../src/verify/index.ts';

/** Numbers as keys, in an index that can be changed; `seeks` counts what was asked, `entries` what was walked over. */
function index(numbers: readonly number[]) {
  const store = { keys: [...numbers], seeks: 0, entries: 0 };
  const boundary = async (
    _name: string,
    { after, until }: { after: readonly string[] | null; until: readonly string[] | null },
    rows: number,
  ) => {
    const low = after === null ? -Infinity : Number(after[0]);
    const high = until === null ? Infinity : Number(until[0]);
    const range = store.keys.filter((key) => key > low && key <= high);
    store.seeks += 1;
    store.entries += Math.min(rows, range.length);
    const found = range[Math.min(rows, range.length) - 1];
    return found === undefined ? null : ([String(found)] as const);
  };
  return { store, reader: { boundary } };
}

const go = async (): Promise<boolean> => true;

/** How often each key was drawn, in `draws` draws that met a record. */
async function drawn(frame: SampleFrame, draws: number, seed: number) {
  const random = seededRandom(seed);
  const counts = new Map<string, number>();
  for (let met = 0, tries = 0; met < draws; tries++) {
    if (tries > draws * 50) throw new Error('hardly a draw meets a record');
    const key = await frame.draw(random);
    if (key === null) continue;
    met += 1;
    counts.set(key[0] as string, (counts.get(key[0] as string) ?? 0) + 1);
  }
  return counts;
}

/** Pearson's statistic against an even distribution, per degree of freedom: about 1 when it is even. */
function unevenness(counts: ReadonlyMap<string, number>, keys: number, draws: number): number {
  const expected = draws / keys;
  const met = [...counts.values()].reduce((sum, one) => sum + (one - expected) ** 2 / expected, 0);
  return (met + (keys - counts.size) * expected) / (keys - 1);
}

test('each key is drawn with the same chance, however far apart keys are', async () => {
  // A thousand neighbours and a hundred keys with gaps of a million: by gaps, the neighbours would never be drawn.
  const keys = Array.from({ length: 1_100 }, (_, at) => (at < 1_000 ? at : at * 1_000_000));
  const { reader, store } = index(keys);
  const frame = (await SampleFrame.open(reader, 'items', { estimatedRows: 1_100, pace: go }))!;
  const counts = await drawn(frame, 22_000, 7);
  expect(unevenness(counts, keys.length, 22_000)).toBeLessThan(1.2);
  expect(Math.abs(frame.records - 1_100)).toBeLessThan(20);
  // A draw is two seeks and half a page, not a scan.
  store.seeks = 0;
  store.entries = 0;
  await drawn(frame, 100, 8);
  expect(store.seeks).toBeLessThan(100 * 2 * 1.6);
  expect(store.entries).toBeLessThan(100 * 20);
});

test('what was deleted or appended since the walk makes it no less even', async () => {
  const { reader, store } = index(Array.from({ length: 800 }, (_, at) => at));
  const frame = (await SampleFrame.open(reader, 'items', { estimatedRows: 800, pace: go }))!;
  // Some pages become nearly empty, and as much comes behind the last key.
  store.keys = store.keys.filter((key) => key >= 400 || key % 10 === 0);
  store.keys.push(...Array.from({ length: 360 }, (_, at) => 1_000 + at));
  await frame.extend();
  const counts = await drawn(frame, 16_000, 3);
  expect(unevenness(counts, store.keys.length, 16_000)).toBeLessThan(1.2);
});

test('a walk over far more records than were estimated is kept in bounded memory', async () => {
  // Each page begins behind the last one: the keys are counted, not stored.
  let walked = 0;
  const total = 1_500_000;
  const boundary = async (
    _name: string,
    { after }: { after: readonly string[] | null },
    rows: number,
  ) => {
    const from = after === null ? 0 : Number(after[0]);
    if (from >= total) return null;
    walked += 1;
    return [String(Math.min(total, from + rows))] as const;
  };
  const options = { estimatedRows: 0, pace: go };
  const frame = (await SampleFrame.open({ boundary }, 'items', options))!;
  expect(Math.abs(frame.records - total)).toBeLessThan(total * 0.01);
  expect(walked).toBeLessThan(180_000);
});

test('a walk ends when the work is not wanted any more', async () => {
  const { reader } = index(Array.from({ length: 1_000 }, (_, at) => at));
  let left = 3;
  const pace = async (): Promise<boolean> => left-- > 0;
  expect(await SampleFrame.open(reader, 'items', { estimatedRows: 100, pace })).toBeNull();
});
