import { describe, expect, test } from 'vitest';
import { type AuditEntry, fingerprintOf, subjectOf } from '../../src/control/index.ts';
import { independentEvidence, independentSince } from '../../src/report/independent-evidence.ts';
import { newestProof, proofsOf } from '../../src/report/proofs.ts';
import { memoryMigration } from '../support/memory-migration.ts';

const verified = (atMs: number, comparator: string): AuditEntry => ({
  stateVersion: null,
  atMs,
  actor: 'ann',
  action: 'verify',
  reason: '',
  detail: {
    collections: ['items'],
    finished: true,
    open: 0,
    startedAtMs: atMs,
    comparators: { items: comparator },
  },
});
const frame = { generation: 1, comparators: { items: 'now' }, beganMs: 50, showKeys: false };
const newest = (...entries: readonly AuditEntry[]) =>
  newestProof(proofsOf(entries, frame), 'items', 0)?.atMs ?? null;

describe('a report takes no proof from', () => {
  test('a comparison by another comparator than that of now', () => {
    expect(newest(verified(100, 'now'))).toBe(100);
    expect(newest(verified(100, 'former'))).toBeNull();
  });

  test('a comparison since which the follower has missed changes', () => {
    expect(newest(verified(40, 'now'))).toBeNull();
  });

  test('a host whose clock is ahead, nor from closures that differed', async () => {
    const context = await memoryMigration().open('one');
    const nowMs = context.runtime.clock.now();
    const none = { compared: 0, confirmed: 0, shed: 0, timedOut: 0, failed: 0 };
    const counted = (collection: string, minute: number, matched: number, suspect: number) => ({
      ...none,
      collection,
      detector: 'shadow-read',
      fingerprint: fingerprintOf(context.migration, collection, nowMs),
      minute,
      matched,
      suspect,
      compared: matched + suspect,
      subjects: [subjectOf(`${collection} ${minute}`, '')],
    });
    const minute = Math.floor(nowMs / 60_000);
    await context.control.evidence.add('shop', [
      counted('items', minute, 1, 0),
      counted('items', minute + 60, 7, 0),
      counted('list', minute, 1, 5),
    ]);
    const [items, list] = await independentEvidence(context, 0, nowMs);
    expect(items?.counts.map(({ matched }) => matched)).toEqual([1, 0]);
    expect(independentSince(items?.subjects ?? [], 0)).toBe(1);
    expect(list?.counts[0]).toMatchObject({ confirmed: 5 });
  });
});
