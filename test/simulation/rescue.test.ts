import { describe, expect, test } from 'vitest';
import { brokenRescues } from './broken-rescue.ts';
import { type RescueResult, simulateRescue } from './rescue-world.ts';

/** `npx tsx test/simulation/rescue-run.ts 500` is the long run. */
const seeds = 24;
const seedsMax = 200;
const timeoutMs = 400_000;

function report({ seed, violation, lastLines }: RescueResult): string {
  if (violation === null) return 'clean';
  return [
    ...lastLines(60, violation.subject),
    `seed ${seed}: ${violation.message}`,
    `again: npx tsx test/simulation/rescue-run.ts 1 ${seed} "" '${violation.subject}'`,
  ].join('\n');
}

describe('a rescue in a simulated world', () => {
  test(
    `loses nothing, overwrites nothing and brings nothing back over ${seeds} seeds`,
    async () => {
      const statuses = new Set<string>();
      let lost = 0;
      for (let seed = 1; seed <= seeds; seed++) {
        const result = await simulateRescue(seed);
        expect(report(result)).toBe('clean');
        lost += result.lost;
        for (const status of Object.keys(result.statuses)) statuses.add(status);
      }
      // A rescue that leaves nothing behind would be clean, too.
      expect(lost).toBeGreaterThan(seeds * 3);
      for (const status of ['applied', 'conflict', 'taken-source', 'taken-target'])
        expect(statuses).toContain(status);
    },
    timeoutMs,
  );

  test.each(brokenRescues.map((variant) => [variant.name, variant] as const))(
    'catches: %s',
    async (_name, { defect }) => {
      let caught: string | null = null;
      for (let seed = 1; seed <= seedsMax && caught === null; seed++) {
        const { violation } = await simulateRescue(seed, defect);
        caught = violation?.guarantee ?? null;
      }
      expect(caught).toMatch(/^G[1-7]$/);
    },
    timeoutMs,
  );
});
