import assert from 'node:assert/strict';
import { type Sample, sampleBounds } from '../../control/index.ts';
import { type ControlFact, migration } from './control-store-subject.ts';

const none: readonly number[] = [...sampleBounds.map(() => 0), 0];

/** Measurements of one minute. */
const sample = (minute: number, change: Partial<Sample> = {}): Sample => ({
  series: 'waiting',
  side: 'source',
  minute,
  count: 1,
  sum: 5,
  high: 5,
  buckets: none,
  ...change,
});

/** What plots are made of. */
export function sampleFacts(fact: ControlFact): void {
  fact('measurements of two processes add up, and the largest stays', async ({ first, second }) => {
    const spread = none.map((_, index) => index);
    const read = { series: 'read', side: 'target', buckets: spread } as const;
    const adds = Array.from({ length: 20 }, (_, index) =>
      (index % 2 === 0 ? first : second).samples.add(migration, [
        sample(100, { high: index, sum: index }),
        sample(101 - (index % 2), read),
        sample(100, { side: 'target', high: 20 - index }),
      ]),
    );
    await Promise.all(adds);
    const tens = { ...read, count: 10, sum: 50, buckets: spread.map((count) => count * 10) };
    const rows = await second.samples.since(migration, 0);
    assert.deepEqual(rows, [
      sample(100, tens),
      sample(100, { count: 20, sum: 190, high: 19 }),
      sample(100, { side: 'target', count: 20, sum: 100, high: 20 }),
      sample(101, tens),
    ]);
    assert.deepEqual(await first.samples.since(migration, 101), rows.slice(3));
    assert.deepEqual(await first.samples.since('another', 0), []);
  });

  fact('measurements of old minutes can be forgotten', async ({ first, second }) => {
    await first.samples.add(migration, [sample(7), sample(8), sample(9)]);
    await first.samples.add('another', [sample(1)]);
    await second.samples.prune(migration, 9);
    assert.deepEqual(await first.samples.since(migration, 0), [sample(9)]);
    assert.deepEqual(await first.samples.since('another', 0), [sample(1)]);
  });
}
