import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bucketLimits,
  countNewSubjects,
  countSubjects,
  latencyBucket,
  latencyQuantile,
  RecentSubjects,
  recordSubject,
  subjectOf,
} from '../../src/control/index.ts';
import { defaultProfile } from '../../src/gates/index.ts';
import type { ParityEvidence } from '../../src/gates/parity-evidence.ts';
import { parityForecast } from '../../src/gates/parity-forecast.ts';
import { answerText } from '../../src/router/answer-text.ts';

describe('subjects', () => {
  const subject = (number: number): string => subjectOf(`["${number}"]`, `{"n":"${number}"}`);

  test('are counted once each, in whatever parts and order they come', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 30 }), { maxLength: 8 }),
        (parts) => {
          const packed = parts.map((part) => part.map(subject).join(''));
          expect(countSubjects(packed)).toBe(new Set(parts.flat()).size);
        },
      ),
    );
  });

  test('are told from those before them', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((key) => subjectOf(key, '')) as [string, string, string];
    expect(countNewSubjects([a + b + a], [b + c, c])).toEqual({ former: 2, added: 1 });
    expect(countNewSubjects([], [b + c, c])).toEqual({ former: 0, added: 2 });
    expect(countNewSubjects([c, a, b], [])).toEqual({ former: 3, added: 0 });
  });

  test('of other keys or other content are others, and hold nothing that could be read', () => {
    expect(subjectOf('["1"]', 'a')).not.toBe(subjectOf('["2"]', 'a'));
    expect(subjectOf('["1"]', 'a')).not.toBe(subjectOf('["1"]', 'b'));
    expect(subjectOf('["1"]', 'a')).toMatch(/^[A-Za-z0-9+/]{8}$/);
  });

  test('of a record are the same for every detector, in whatever order its columns come', () => {
    const rows = [{ position: '1', city: 'Łódź' }];
    const one = recordSubject(['1'], { id: '1', name: null, addresses: rows });
    const other = [{ city: 'Łódź', position: '1' }];
    expect(recordSubject(['1'], { addresses: other, name: null, id: '1' })).toBe(one);
    expect(recordSubject(['1'], { addresses: [], name: null, id: '1' })).not.toBe(one);
  });

  test('what is forgotten is sent again, what is remembered is not', () => {
    const recent = new RecentSubjects(2, 60);
    expect(['a', 'a', 'b', 'a'].map((one) => recent.isNew(one, 100))).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(recent.isNew('c', 100)).toBe(true);
    expect(recent.isNew('d', 100)).toBe(true);
    expect(recent.isNew('e', 100)).toBe(true);
    // Two generations of two: the first two are gone.
    expect(recent.isNew('a', 100)).toBe(true);
    expect(recent.isNew('a', 300)).toBe(true);
    recent.forget();
    expect(recent.isNew('a', 300)).toBe(true);
  });

  test('of an answer do not depend on the order of its properties; rings have none', () => {
    const ring: Record<string, unknown> = {};
    ring['self'] = ring;
    expect(answerText([{ a: 1, b: { d: 2n, c: null } }])).toBe(
      answerText([{ b: { c: null, d: 2n }, a: 1 }]),
    );
    expect(answerText(new Map([['a', 1]]))).not.toBe(answerText(new Map([['a', 2]])));
    expect(answerText(ring)).toBeNull();
    expect(answerText(undefined)).toBeNull();
  });
});

describe('latencies', () => {
  test('lie within the limits of their bucket, which are 9 % apart', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.02, max: 60_000, noNaN: true }), (ms) => {
        const { fromMs, untilMs } = bucketLimits(latencyBucket(ms));
        expect(ms).toBeGreaterThan(fromMs * (1 - 1e-9));
        expect(ms).toBeLessThanOrEqual(untilMs * (1 + 1e-9));
        expect(untilMs / fromMs).toBeCloseTo(2 ** (1 / 8), 9);
      }),
    );
    expect(bucketLimits(latencyBucket(0))).toEqual({ fromMs: 0, untilMs: 0.01 });
  });

  test('the p99 is that of the sorted list, but for the width of a bucket', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.02, max: 5_000, noNaN: true }), {
          minLength: 1,
          maxLength: 300,
        }),
        (list) => {
          const buckets = new Map<number, number>();
          for (const ms of list)
            buckets.set(latencyBucket(ms), (buckets.get(latencyBucket(ms)) ?? 0) + 1);
          const sorted = [...list].sort((a, b) => a - b);
          const exact = sorted[Math.ceil(0.99 * list.length) - 1] ?? 0;
          const found = latencyQuantile(buckets, 0.99);
          expect(exact).toBeGreaterThan((found?.fromMs ?? 0) * (1 - 1e-9));
          expect(exact).toBeLessThanOrEqual((found?.untilMs ?? 0) * (1 + 1e-9));
        },
      ),
    );
    expect(latencyQuantile(new Map(), 0.99)).toBeNull();
  });
});

describe('the forecast of parity', () => {
  const NOW = 1_800_000_000_000;
  const minute = Math.floor(NOW / 60_000);
  const part = (change: Partial<ParityEvidence>): ParityEvidence => ({
    name: 'items',
    independent: 0,
    recent: 0,
    confirmed: 0,
    confirmedMinute: null,
    compared: 0,
    lately: { compared: 0, lost: 0 },
    shed: 0,
    timedOut: 0,
    failed: 0,
    byOthers: 0,
    ahead: 0,
    firstMinute: minute - 100,
    lastMinute: minute,
    ...change,
  });
  const inMinutes = ({ atMs }: { readonly atMs: number | null }): number | null =>
    atMs === null ? null : Math.round((atMs - NOW) / 60_000);

  test('goes by the new comparisons of the last ten minutes', () => {
    const some = part({ independent: 1_995_731, recent: 100_000 });
    expect(inMinutes(parityForecast(some, NOW, defaultProfile))).toBe(100);
  });

  test('with a mismatch waits for more comparisons, or for the mismatch to leave the window', () => {
    const fast = part({
      independent: 2_743_862,
      recent: 1_000_000,
      confirmed: 1,
      confirmedMinute: minute,
    });
    expect(inMinutes(parityForecast(fast, NOW, defaultProfile))).toBe(20);
    const slow = part({
      independent: 2_990_000,
      recent: 4_000,
      confirmed: 1,
      confirmedMinute: minute - defaultProfile.windowMinutes + 30,
    });
    expect(inMinutes(parityForecast(slow, NOW, defaultProfile))).toBeGreaterThan(30);
  });

  test('is none without comparisons, nor where a window never holds enough', () => {
    expect(parityForecast(part({ independent: 10 }), NOW, defaultProfile)).toMatchObject({
      atMs: null,
      text: expect.stringContaining('nothing new was compared'),
    });
    expect(
      parityForecast(part({ independent: 10, recent: 10 }), NOW, defaultProfile),
    ).toMatchObject({ atMs: null, text: expect.stringContaining('never holds enough') });
  });
});
