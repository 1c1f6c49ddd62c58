import { describe, expect, test } from 'vitest';
import { forecast, logLine } from '../../src/cli/commands/status.ts';

test('the status says whether a backfill converges, when it ends, and nothing that it does not know', () => {
  const say = (convergencePerSecond: number | null, estimatedRemainingMs: number | null) =>
    forecast({ convergencePerSecond, estimatedRemainingMs });
  expect(say(null, null)).toBe('');
  expect(say(1_250.4, null)).toMatch(/^, converging by 1.250 rows a second$/);
  expect(say(1_250.4, 90_000)).toMatch(/^, converging by 1.250 rows a second, about \S.* to go$/);
  expect(say(0, null)).toBe(', not converging: what is left grows by 0 a second');
  expect(say(-20, null)).toBe(', not converging: what is left grows by 20 a second');
});

describe('the status says of the log', () => {
  const log = {
    position: 'binlog.000001:40244@1-1795267902 0-1-812,3-1-9 40100#00ab12cd',
    end: 'binlog.000001:42213',
    level: false,
    retention: { retainedBytes: 7_195, leftBytes: null, state: 'kept' },
    error: null,
  } as const;
  const kept = log.retention;

  test.each([
    [
      log,
      'log: behind: applied to binlog.000001:40244, ends at binlog.000001:42213; the store keeps 7.2 kB of it',
    ],
    [
      { ...log, level: true },
      'log: applied to its end (binlog.000001:42213); the store keeps 7.2 kB of it',
    ],
    [
      { ...log, level: true, retention: { ...kept, leftBytes: 2_500_000 } },
      'log: applied to its end (binlog.000001:42213); the store keeps 7.2 kB of it, and at most 2.5 MB more',
    ],
    [
      { ...log, level: true, retention: { ...kept, state: 'at-risk' } },
      'log: applied to its end (binlog.000001:42213); the store keeps 7.2 kB of it; AT RISK: soon it throws away what is not applied',
    ],
    [
      { ...log, retention: { retainedBytes: 0, leftBytes: 0, state: 'lost' } },
      'log: LOST: applied to binlog.000001:40244; what came behind it can never be read again',
    ],
    [{ ...log, error: 'the source does not answer' }, 'log: the source does not answer'],
  ] as const)('%#: where it stands, what is kept, what is at risk', (status, line) => {
    expect(logLine(status)).toBe(line);
  });
});
