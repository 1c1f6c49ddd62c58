import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../src/runtime/index.ts';
import { checkHistory, type Operation } from '../../../src/testing/history/index.ts';
import { hasOrder } from './brute-force.ts';
import { randomHistory } from './random-register.ts';

const initial = new Map<string, string>();
const faults = (operations: readonly Operation[]) => checkHistory({ initial, operations }).faults;
const seeds = fc.integer({ min: 1, max: 2 ** 31 });

test('what a correct register did is always in order', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const { operations } = randomHistory(seededRandom(seed), { operations: 120, keys: 2 });
      expect(faults(operations).map(({ text }) => text)).toEqual([]);
    }),
    { numRuns: 150 },
  );
});

test('tiny histories, sound and spoiled, are judged as by trying every order', () => {
  let broken = 0;
  fc.assert(
    fc.property(seeds, (seed) => {
      const random = seededRandom(seed);
      const { operations, spoiled } = randomHistory(random, { operations: 7, keys: 1 });
      expect(hasOrder(null, operations)).toBe(true);
      const sound = hasOrder(null, spoiled);
      if (!sound) broken += 1;
      expect(faults(spoiled).length === 0).toBe(sound);
    }),
    { numRuns: 1_500 },
  );
  // About 125 of them are broken; the seeds are new each time.
  expect(broken).toBeGreaterThan(50);
});

test('a write that is lost, and values that are swapped, are found in long histories', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const random = seededRandom(seed);
      const { lost, swapped } = randomHistory(random, { operations: 150, keys: 1, observed: true });
      for (const operations of [lost, swapped]) {
        const found = faults(operations);
        expect(found).toHaveLength(1);
        // The window proves the fault by itself, and nothing of it is left out without need.
        const window = found[0]!.operations;
        expect(faults(window)).toHaveLength(1);
        expect(window.length).toBeLessThanOrEqual(8);
      }
    }),
    { numRuns: 60 },
  );
});

test('100 000 operations on 1 000 keys take seconds', () => {
  const { operations } = randomHistory(seededRandom(7), { operations: 100_000, keys: 1_000 });
  // Of the processor, not of the clock: others may be at work on the machine.
  const before = process.cpuUsage();
  expect(faults(operations)).toEqual([]);
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(5_000);
}, 60_000);
