import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  binomialAtMost,
  comparisonsNeeded,
  defaultProfile,
  demoProfile,
  gateTable,
  parityLowerBound,
  percentText,
  provesParity,
  standardGateNames,
} from '../../src/gates/index.ts';
import { phases } from '../../src/migration/index.ts';

const { parity, confidence } = defaultProfile;

describe('the parity bound', () => {
  test.each([
    [2_995_731, 0, true],
    [2_995_730, 0, false],
    [4_743_863, 1, true],
    [4_743_862, 1, false],
    [0, 0, false],
    [1, 1, false],
  ])(
    '%i comparisons with %i mismatches prove 99.9999 %% at 95 %%: %s',
    (comparisons, mismatches, proven) => {
      expect(provesParity(comparisons, mismatches, parity, confidence)).toBe(proven);
    },
  );

  test.each([
    [0, 2_995_731],
    [1, 4_743_863],
  ])('with %i mismatches %i comparisons are needed', (mismatches, needed) => {
    expect(comparisonsNeeded(mismatches, parity, confidence)).toBe(needed);
  });

  test('the demo profile takes 299 comparisons', () => {
    expect(comparisonsNeeded(0, demoProfile.parity, demoProfile.confidence)).toBe(299);
  });

  test('the distribution function agrees with values known by heart', () => {
    expect(binomialAtMost(0, 10, 0.5)).toBeCloseTo(1 / 1024, 15);
    expect(binomialAtMost(5, 10, 0.5)).toBeCloseTo(638 / 1024, 14);
    expect(binomialAtMost(10, 10, 0.5)).toBe(1);
    expect(binomialAtMost(3, 20, 0.1)).toBeCloseTo(0.8670466765656649, 12);
  });

  test('the bound agrees with the closed form without mismatches', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000_000 }), (comparisons) => {
        const closed = 0.05 ** (1 / comparisons);
        expect(parityLowerBound(comparisons, 0, 0.95)).toBeCloseTo(closed, 10);
      }),
    );
  });

  test('the bound is below what was seen, and more comparisons never lower it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.integer({ min: 0, max: 50 }),
        (comparisons, mismatches) => {
          if (mismatches >= comparisons) return;
          const bound = parityLowerBound(comparisons, mismatches, 0.95);
          expect(bound).toBeLessThan(1 - mismatches / comparisons + 1e-12);
          expect(parityLowerBound(comparisons * 2, mismatches, 0.95)).toBeGreaterThanOrEqual(bound);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('very many mismatches do not take long, and prove little', () => {
    expect(parityLowerBound(1_000_000, 100_000, 0.95)).toBeGreaterThan(0.89);
    expect(parityLowerBound(1_000_000, 100_000, 0.95)).toBeLessThan(0.9);
    expect(provesParity(1_000_000, 100_000, 0.999, 0.95)).toBe(false);
  });

  test.each([
    [0.99999999996, '99.99999999 %'],
    [0.999999, '99.9999 %'],
    [0.95, '95 %'],
    [1, '100 %'],
    [0, '0 %'],
  ])('%d is written as %s: cut off, never rounded up', (share, text) => {
    expect(percentText(share)).toBe(text);
  });
});

describe('the gate table', () => {
  test('no phase from backfill on is entered without a gate', () => {
    for (const phase of [
      'backfill',
      'shadow-read',
      'read-switch',
      'write-switch',
      'retired',
    ] as const)
      expect(gateTable[phase].length).toBeGreaterThan(0);
  });

  test('names are unique within a phase', () => {
    for (const gates of Object.values(gateTable))
      expect(new Set(gates.map(({ name }) => name)).size).toBe(gates.length);
  });

  test('dead letters cannot be overridden at the write switch, and a silent fleet not before the backfill', () => {
    const fixed = (phase: 'write-switch' | 'backfill'): readonly string[] =>
      gateTable[phase].filter(({ overridable }) => !overridable).map(({ name }) => name);
    expect(fixed('write-switch')).toEqual(['dead-letters', 'reverse-ready', 'approval']);
    expect(fixed('backfill')).toEqual(['fleet-follows', 'approval']);
  });

  test('is what docs/reference/gates.md says', () => {
    const page = readFileSync(new URL('../../docs/reference/gates.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (.+) \| (.+) \| (.+) \|$/gm)];
    const written = rows.map(([, name, question, before, override]) => [
      name,
      question,
      before,
      override,
    ]);
    const names = [...standardGateNames].sort();
    const meant = names.map((name) => {
      const before = phases.filter((to) => gateTable[to].some((gate) => gate.name === name));
      const gates = before.flatMap((to) => gateTable[to].filter((gate) => gate.name === name));
      const fixed = before.filter((_, index) => !gates[index]?.overridable);
      const override =
        fixed.length === 0
          ? 'yes'
          : fixed.length === before.length
            ? 'no'
            : `not before ${fixed.join(', ')}`;
      return [name, gates[0]?.question, before.join(', '), override];
    });
    expect(written.sort()).toEqual(meant);
  });
});
