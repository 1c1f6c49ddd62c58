import { choice, share, whole } from './option-entry.ts';

/** What happens to mismatches that are confirmed. */
export const repairOptions = {
  mode: choice({
    values: ['off', 'propose', 'automatic'],
    default: 'propose',
    effect:
      '`automatic`: a worker repairs what is confirmed. `propose`: nothing is written before a person says `mismatch repair --apply`. `off`: that is refused, too.',
  }),
  extras: choice({
    values: ['keep', 'delete'],
    default: 'keep',
    effect:
      'With `automatic`: whether records that only the follower has are deleted. Their absence is proven under the key lock first.',
  }),
  keysPerSecond: whole({
    unit: 'keys per second',
    default: 100,
    min: 1,
    max: 10_000,
    effect: 'Speed limit of repairs, automatic or by hand.',
  }),
  stopShare: share({
    unit: 'share of records',
    default: 0.01,
    min: 0,
    max: 1,
    effect:
      'Repair stops when a larger share of the collection differs, or did in the last day: that is a bug, not drift. `mismatch repair --resume` lets it go on.',
  }),
  stopKeysMin: whole({
    unit: 'keys',
    default: 100,
    min: 0,
    max: 1_000_000_000,
    effect: 'So few never stop it.',
  }),
} as const;
