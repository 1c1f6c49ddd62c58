import { ms, whole } from './option-entry.ts';

/** How whole collections are compared at one position of both stores, where they are captured from the log or by triggers. */
export const proofOptions = {
  segmentRows: whole({
    unit: 'rows',
    default: 50_000,
    min: 100,
    max: 10_000_000,
    effect: 'Records that are compared in one pair of snapshots, at most.',
  }),
  snapshotMs: ms(
    60_000,
    1_000,
    3_600_000,
    'A snapshot ends after this, comparing in it after a third: a long one holds back VACUUM and purge, and DDL on MariaDB.',
  ),
  openMs: ms(
    5_000,
    100,
    600_000,
    'How long a snapshot of PostgreSQL waits for transactions that were writing before; then the segment is compared by recheck.',
  ),
  lagMs: ms(
    30_000,
    100,
    3_600_000,
    'How long a follower that is behind is waited for; then the segment is compared by recheck.',
  ),
  resumeMinutes: whole({
    unit: 'minutes',
    default: 720,
    min: 0,
    max: 525_600,
    effect: 'A comparison that was stopped is gone on with when it began not longer ago; 0: never.',
  }),
} as const;
