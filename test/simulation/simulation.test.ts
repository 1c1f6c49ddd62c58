import { describe, expect, test } from 'vitest';
import { withoutGuard } from './broken-switches.ts';
import { type SimulationResult, simulate } from './simulate.ts';

/** Seeds of the short run; `npm run sim -- --seeds 2000` is the long one. */
const seeds = 60;

/** Ten seconds on an idle machine; others may be at work on it. */
const timeoutMs = 400_000;

/** What the reader needs when a seed breaks a guarantee. */
function report(result: SimulationResult): string {
  const { seed, violation } = result;
  if (violation === null) return 'clean';
  return [
    ...result.lastLines(60, violation.subject),
    `seed ${seed}: ${violation.message}`,
    `again: npm run sim -- --seed ${seed} --lines 400 --about '${violation.subject}'`,
  ].join('\n');
}

describe('the real engines in a simulated world', () => {
  test(
    `hold every guarantee over ${seeds} seeds`,
    async () => {
      const phases = new Set<string>();
      const judged = { linearizable: 0, token: 0, written: 0 };
      let writes = 0;
      for (let seed = 1; seed <= seeds; seed++) {
        const result = await simulate(seed);
        expect(report(result)).toBe('clean');
        phases.add(result.phase);
        writes += result.writes;
        for (const demand of ['linearizable', 'token', 'written'] as const)
          judged[demand] += result.judged[demand];
      }
      // A world in which nothing happens would be clean, too.
      expect(writes).toBeGreaterThan(seeds * 50);
      expect(phases).toContain('write-switch');
      expect(phases).toContain('shadow-read');
      for (const reads of Object.values(judged)) expect(reads).toBeGreaterThan(seeds * 10);
    },
    timeoutMs,
  );

  test(
    'hold without a guard in the stores as long as every process runs',
    async () => {
      for (let seed = 1; seed <= 20; seed++) {
        const result = await simulate(seed, withoutGuard);
        expect(report(result)).toBe('clean');
      }
    },
    timeoutMs,
  );

  test('do the same again for the same seed', async () => {
    for (const seed of [3, 11, 26]) {
      const first = await simulate(seed);
      const second = await simulate(seed);
      expect(second.digest).toBe(first.digest);
      expect(second.lastLines(50)).toEqual(first.lastLines(50));
    }
  });

  test('do something else for another seed', async () => {
    const [one, other] = [await simulate(1), await simulate(2)];
    expect(one.digest).not.toBe(other.digest);
  });
});
