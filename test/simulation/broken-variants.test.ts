import { describe, expect, test } from 'vitest';
import { brokenVariants, seedsMax } from './broken-variants.ts';
import { simulate } from './simulate.ts';

/** Found by one order of what the clients wrote down, without a look at commits and fences. */
const shownByHistory = [
  'the door applies without looking at the fence',
  'a retry carries the payload of the moment when it was enqueued',
  'a timeout is taken for a failure',
  'the flip does not wait for the drain',
  'the token is ignored',
  'a transaction of which a part is applied counts as done',
];

/** A simulation that finds nothing proves something only if it finds these. */
describe('the simulation catches', () => {
  test.each(brokenVariants.map((variant) => [variant.name, variant] as const))(
    '%s',
    async (_name, variant) => {
      let caught: string | null = null;
      for (let seed = 1; seed <= seedsMax && caught === null; seed++) {
        const { violation } = await simulate(seed, variant.defect);
        caught = violation?.guarantee ?? null;
      }
      expect(caught).toMatch(/^(G[1-7]|H)$/);
    },
    400_000,
  );

  test.each(shownByHistory)(
    '%s, by what clients saw alone',
    async (name) => {
      const { defect } = brokenVariants.find((variant) => variant.name === name)!;
      let caught: string | null = null;
      for (let seed = 1; seed <= seedsMax && caught === null; seed++) {
        const { violation } = await simulate(seed, { ...defect, judge: 'history' });
        caught = violation?.guarantee ?? null;
      }
      expect(caught).toMatch(/^G[16]$/);
    },
    400_000,
  );

  test('at least fifteen of them', () => {
    expect(new Set(brokenVariants.map(({ name }) => name)).size).toBeGreaterThanOrEqual(15);
  });
});
