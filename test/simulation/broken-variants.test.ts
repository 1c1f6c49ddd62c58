import { describe, expect, test } from 'vitest';
import { brokenVariants, seedsMax } from './broken-variants.ts';
import { simulate } from './simulate.ts';

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

  test('at least fifteen of them', () => {
    expect(new Set(brokenVariants.map(({ name }) => name)).size).toBeGreaterThanOrEqual(15);
  });
});
