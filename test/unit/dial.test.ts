import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dialBucket, dialBuckets, isDialled } from '../../src/migration/index.ts';

describe('the dial', () => {
  test('gives these keys these buckets in every release', () => {
    const buckets = ['1', '42', 'customer-7', 'żółw', '😀', ''].map((key) =>
      dialBucket('shop', key),
    );
    expect(buckets).toMatchInlineSnapshot(`
      [
        9271,
        9617,
        7067,
        9592,
        6996,
        9397,
      ]
    `);
  });

  test('raising it only adds keys', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(10_000), fc.nat(10_000), (key, a, b) => {
        const bucket = dialBucket('shop', key);
        const [low, high] = a < b ? [a, b] : [b, a];
        if (isDialled(bucket, low)) expect(isDialled(bucket, high)).toBe(true);
      }),
    );
  });

  test('at 0 no key is dialled, at 10 000 every key', () => {
    fc.assert(
      fc.property(fc.string(), (key) => {
        const bucket = dialBucket('shop', key);
        expect(bucket).toBeGreaterThanOrEqual(0);
        expect(bucket).toBeLessThan(dialBuckets);
        expect([isDialled(bucket, 0), isDialled(bucket, 10_000)]).toEqual([false, true]);
      }),
    );
  });

  test.each(['sequential', 'uuid-like'])('spreads %s keys evenly', (kind) => {
    const counts = new Array<number>(100).fill(0);
    const keys = 200_000;
    for (let index = 0; index < keys; index++) {
      const key =
        kind === 'sequential' ? String(index) : `${index.toString(16).padStart(8, '0')}-4000`;
      const slot = Math.floor(dialBucket('shop', key) / 100);
      counts[slot] = (counts[slot] ?? 0) + 1;
    }
    // 100 slots of 2 000 expected; seven standard deviations (45) are never reached by an even hash.
    for (const count of counts) expect(Math.abs(count - keys / 100)).toBeLessThan(315);
  });

  test('two migrations do not share their guinea pigs', () => {
    const dialled = (migration: string): Set<number> => {
      const found = new Set<number>();
      for (let key = 0; key < 20_000; key++)
        if (isDialled(dialBucket(migration, String(key)), 500)) found.add(key);
      return found;
    };
    const [shop, billing] = [dialled('shop'), dialled('billing')];
    const shared = [...shop].filter((key) => billing.has(key)).length;
    expect(shared / shop.size).toBeLessThan(0.1);
  });
});
