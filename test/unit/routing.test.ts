import { describe, expect, test } from 'vitest';
import {
  authorityOf,
  followerOf,
  phaseOrder,
  phases,
  routingTable,
} from '../../src/migration/index.ts';

/** SPEC.md, table R, as text: authority, follow, reads, shadow reads. */
const table = {
  off: 'source none authority -',
  'shadow-write': 'source discard authority -',
  'dual-write': 'source apply authority -',
  backfill: 'source apply authority -',
  'shadow-read': 'source apply authority shadow',
  'read-switch': 'source apply dial shadow',
  'write-switch': 'target apply authority shadow',
  retired: 'target none authority -',
} as const;

describe('the routing table', () => {
  test.each(phases)('%s is as the specification says', (phase) => {
    const { authority, follow, reads, shadowReads } = routingTable[phase];
    expect([authority, follow, reads, shadowReads ? 'shadow' : '-'].join(' ')).toBe(table[phase]);
  });

  test.each(phases)('in %s authority and follower are different stores', (phase) => {
    expect(new Set([authorityOf(phase), followerOf(phase)]).size).toBe(2);
  });

  test('authority moves once on the way forward', () => {
    const moves = phases.filter((phase, index) => {
      const before = phases[index - 1];
      return before !== undefined && authorityOf(before) !== authorityOf(phase);
    });
    expect(moves).toEqual(['write-switch']);
  });

  test('between dual-write and write-switch there is no phase without a follower', () => {
    for (const phase of phases) {
      const between =
        phaseOrder(phase) >= phaseOrder('dual-write') &&
        phaseOrder(phase) <= phaseOrder('write-switch');
      expect(routingTable[phase].follow === 'apply').toBe(between);
    }
  });

  test('reads that can come from the target are compared', () => {
    for (const phase of phases) {
      if (routingTable[phase].reads === 'dial') expect(routingTable[phase].shadowReads).toBe(true);
    }
  });
});
