import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isWithin,
  type KeyComparison,
  lastKey,
} from '../../src/adapters/postgres/postgres-key-bytes.ts';

const spelled = (text: string): string =>
  text.replace(/[\\\t\n\r]/g, (one) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n' })[one] ?? '\\r');

const line = (key: readonly string[]): string => `${key.map(spelled).join('\t')}\tmore\\n\n`;

/** As PostgreSQL orders them, by other means. */
function compare(
  a: readonly string[],
  b: readonly string[],
  kinds: readonly KeyComparison[],
): number {
  for (const [index, kind] of kinds.entries()) {
    const [left = '', right = ''] = [a[index], b[index]];
    const order =
      kind === 'integer'
        ? Number(BigInt(left) > BigInt(right)) - Number(BigInt(left) < BigInt(right))
        : Buffer.compare(bytes(left, kind), bytes(right, kind));
    if (order !== 0) return order;
  }
  return 0;
}

const bytes = (text: string, kind: KeyComparison): Buffer =>
  Buffer.from(kind === 'bytes' ? text : text.replace(/ +$/, ''));

const integer = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map(String),
  fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map(String),
);
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\t', '\n', '\\', '\u0001', 'é', '😀') }),
  fc.string({ unit: 'grapheme', maxLength: 5 }),
);
const kinds = fc.array(fc.constantFrom<KeyComparison>('integer', 'bytes', 'bytes, filled up'), {
  minLength: 1,
  maxLength: 3,
});

describe('keys of rows as text', () => {
  test('lie in a range exactly when their values do, however they are escaped', () => {
    const cases = kinds.chain((given) => {
      const key = fc.tuple(...given.map((kind) => (kind === 'integer' ? integer : text)));
      return fc.tuple(
        fc.constant(given),
        fc.option(key),
        fc.option(key),
        fc.array(key, { maxLength: 4 }),
      );
    });
    fc.assert(
      fc.property(cases, ([given, after, until, keys]) => {
        const expected = keys.every(
          (key) =>
            (after === null || compare(key, after, given) > 0) &&
            (until === null || compare(key, until, given) <= 0),
        );
        const rows = Buffer.from(keys.map(line).join(''));
        return isWithin(rows, given, { after, until }) === expected;
      }),
      { numRuns: 3_000 },
    );
  });

  test('are found again in the last row, however they are escaped', () => {
    const parts = fc.integer({ min: 1, max: 3 });
    const some = parts.chain((count) =>
      fc.array(fc.array(text, { minLength: count, maxLength: count }), { minLength: 1 }),
    );
    fc.assert(
      fc.property(some, (keys) => {
        const key = keys.at(-1) as readonly string[];
        expect(lastKey(Buffer.from(keys.map(line).join('')), key.length)).toEqual(key);
      }),
    );
  });

  test('that are no integers do not lie in a range of integers', () => {
    const range = { after: ['1'], until: ['9'] };
    expect(isWithin(Buffer.from('5\n'), ['integer'], range)).toBe(true);
    expect(isWithin(Buffer.from('5.5\n'), ['integer'], range)).toBe(false);
    expect(isWithin(Buffer.from('\\N\n'), ['integer'], range)).toBe(false);
    expect(isWithin(Buffer.from(''), ['integer'], range)).toBe(true);
  });
});
