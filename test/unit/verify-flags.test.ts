import { describe, expect, test } from 'vitest';
import { keys, range, share } from '../../src/cli/verify-flags.ts';
import {
  folded,
  LEAVES_MAX,
  type ProofLeaf,
  rootOf,
  SegmentDigest,
} from '../../src/verify/proof-digest.ts';

describe('what is given to verify', () => {
  test.each([
    ['1%', 0.01],
    ['0.01', 0.01],
    ['100%', 1],
    ['0.5%', 0.005],
  ])('the share %s is %d', (text, value) => expect(share(text)).toBe(value));
  test.each(['0', '0%', '101%', '1.5', 'half', '%'])('%s is no share', (text) => {
    expect(() => share(text)).toThrow('1% or 0.01');
  });
  test.each([
    ['10..20', ['10'], ['20']],
    ['10..', ['10'], null],
    ['..20', null, ['20']],
    ['["t","1"]..["t","9"]', ['t', '1'], ['t', '9']],
  ])('the range %s has these ends', (text, after, until) => {
    expect(range(text)).toEqual({ after, until });
  });
  test.each(['10', '..', ''])('"%s" is no range', (text) => {
    expect(() => range(text)).toThrow('FROM..UNTIL');
  });
  test('keys are gathered, and one that is no JSON array says so', () => {
    expect(keys('2', keys('1', undefined))).toEqual([['1'], ['2']]);
    expect(() => keys('[1', undefined)).toThrow('is no key');
  });
});

describe('the digest of a proof', () => {
  const leaf = (at: number, name = 'x'): ProofLeaf => {
    const digest = new SegmentDigest();
    digest.add([String(at)], { id: String(at), name });
    return digest.leaf(at === 0 ? null : [String(at - 1)], [String(at)]);
  };
  const many = (count: number, odd = -1): readonly ProofLeaf[] => {
    let leaves: readonly ProofLeaf[] = [];
    for (let at = 0; at < count; at++)
      leaves = folded([...leaves, leaf(at, at === odd ? 'y' : 'x')]);
    return leaves;
  };
  test('keeps few leaves, and all records in them', () => {
    const leaves = many(700);
    expect(leaves.length).toBeLessThanOrEqual(LEAVES_MAX);
    expect(leaves.reduce((sum, { records }) => sum + records, 0)).toBe(700);
    expect(leaves.at(0)?.after).toBe(null);
    expect(leaves.at(-1)?.until).toEqual(['699']);
    for (const [at, one] of leaves.slice(1).entries()) expect(one.after).toEqual(leaves[at]?.until);
  });
  test('is another one when a single record is another one', () => {
    expect(rootOf(many(300))).toBe(rootOf(many(300)));
    expect(rootOf(many(300, 123))).not.toBe(rootOf(many(300)));
  });
  test('of a range that the stores digested names the keys that differed', () => {
    const digested = (without: readonly (readonly string[])[]): string => {
      const digest = new SegmentDigest();
      digest.addRange({ after: null, until: ['9'] }, 'abc', 9, without);
      return digest.leaf(null, ['9']).digest;
    };
    expect(digested([['4']])).not.toBe(digested([]));
  });
});
