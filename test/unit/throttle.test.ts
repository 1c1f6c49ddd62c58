import { describe, expect, test } from 'vitest';
import { createThrottle, latencyCheck, type ThrottleCheck } from '../../src/backfill/index.ts';
import type { Clock } from '../../src/runtime/index.ts';

/** A clock whose sleeps pass at once. */
function jumpingClock(): Clock & { at: number } {
  const clock = {
    at: 0,
    now: () => clock.at,
    monotonic: () => clock.at,
    async sleep(ms: number, signal?: AbortSignal) {
      signal?.throwIfAborted();
      clock.at += ms;
    },
    schedule(ms: number, run: () => void) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    yield: async () => {},
  };
  return clock;
}
const scope = () => ({ signal: new AbortController().signal });

describe('a throttle', () => {
  test('lets rows through at the configured rate on average, chunks larger than its bucket too', async () => {
    const clock = jumpingClock();
    const throttle = createThrottle(clock, { rowsPerSecondMax: 1_000 });
    for (let chunk = 0; chunk < 20; chunk++) await throttle.acquire(700, scope());
    // 19 chunks have been paid for, less half a second of burst.
    expect(clock.at).toBeGreaterThan(12_000);
    expect(clock.at).toBeLessThan(14_000);
  });

  test('holds the work while any one check says why, tells the reason once, and tells the release', async () => {
    const clock = jumpingClock();
    const said: (string | null)[] = [];
    const slow: ThrottleCheck = {
      name: 'target latency',
      ask: () => (clock.at < 1_000 ? { reason: `slow at ${clock.at}` } : { ok: true }),
    };
    const fine: ThrottleCheck = { name: 'fine', ask: () => ({ ok: true }) };
    const throttle = createThrottle(clock, {
      checks: [fine, slow],
      onChange: (reason) => said.push(reason),
    });
    expect(await throttle.acquire(1, scope())).toBe(true);
    expect(clock.at).toBeGreaterThanOrEqual(1_000);
    expect(said).toEqual(['slow at 0', null]);
  });

  test('a metric that throws throttles, and says that it cannot be read', async () => {
    const clock = jumpingClock();
    let asked = 0;
    const throttle = createThrottle(clock, {
      checks: [
        {
          name: 'lag',
          ask: () => {
            asked += 1;
            if (asked < 3) throw new Error('no such view');
            return { ok: true };
          },
        },
      ],
    });
    const reasons: (string | null)[] = [];
    const stopped = (): boolean => {
      reasons.push(throttle.reason());
      return false;
    };
    expect(await throttle.acquire(1, { ...scope(), stopped })).toBe(true);
    expect(reasons).toContain('lag cannot be read: no such view');
  });

  test('a check that hangs throttles after its deadline and is not asked twice at once', async () => {
    const clock = jumpingClock();
    let asked = 0;
    const throttle = createThrottle(clock, {
      checkDeadlineMs: 20,
      checks: [
        {
          name: 'hung',
          ask: () => {
            asked += 1;
            return new Promise(() => {});
          },
        },
      ],
    });
    let polls = 0;
    const stopped = (): boolean => (polls += 1) > 8;
    expect(await throttle.acquire(1, { ...scope(), stopped })).toBe(false);
    expect(asked).toBe(1);
    expect(throttle.reason()).toContain('hung cannot be read');
  });

  test('answers false when the signal aborts while it holds, without throwing', async () => {
    const clock = jumpingClock();
    const abort = new AbortController();
    const throttle = createThrottle(clock, {
      checks: [
        {
          name: 'hold',
          ask: () => {
            if (clock.at > 500) abort.abort();
            return { reason: 'held' };
          },
        },
      ],
    });
    expect(await throttle.acquire(1, { signal: abort.signal })).toBe(false);
  });

  test('latency throttles above its limit and releases only clearly below it', async () => {
    let ms = 10;
    const check = latencyCheck('source latency', () => ms, 20);
    expect(await check.ask()).toEqual({ ok: true });
    ms = 100;
    expect(await check.ask()).toEqual({ reason: 'source latency 46.0 ms is above 20 ms' });
    ms = 19;
    for (let look = 0; look < 20; look++) expect(await check.ask()).toHaveProperty('reason');
    ms = 10;
    for (let look = 0; look < 20; look++) await check.ask();
    expect(await check.ask()).toEqual({ ok: true });
  });

  test('a latency that is not a number throttles', async () => {
    const check = latencyCheck('target latency', () => Number.NaN, 20);
    expect(await check.ask()).toEqual({
      reason: 'target latency cannot be read: no measurement',
    });
  });
});
