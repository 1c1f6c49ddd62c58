import { expect, test } from 'vitest';
import { forecast } from '../../src/cli/commands/status.ts';

test('the status says whether a backfill converges, when it ends, and nothing that it does not know', () => {
  const say = (convergencePerSecond: number | null, estimatedRemainingMs: number | null) =>
    forecast({ convergencePerSecond, estimatedRemainingMs });
  expect(say(null, null)).toBe('');
  expect(say(1_250.4, null)).toMatch(/^, converging by 1.250 rows a second$/);
  expect(say(1_250.4, 90_000)).toMatch(/^, converging by 1.250 rows a second, about \S.* to go$/);
  expect(say(0, null)).toBe(', not converging: what is left grows by 0 a second');
  expect(say(-20, null)).toBe(', not converging: what is left grows by 20 a second');
});
