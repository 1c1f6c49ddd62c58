import { choice, share, textOrNone, whole } from './option-entry.ts';

/** How much of a collection is compared all the time, in the background: what that may cost. */
export const parityOptions = {
  mode: choice({
    values: ['off', 'sample', 'sweep'],
    default: 'off',
    effect:
      '`sweep`: every record of both stores, once in each period: 100 %, for what must not be wrong. `sample`: `share` of the records in each period, each with the same chance.',
  }),
  share: share({
    unit: 'share of records',
    default: 0.01,
    min: 0,
    max: 1,
    effect: 'With `sample`: how many of the records are compared in one period.',
  }),
  periodMinutes: whole({
    unit: 'minutes',
    default: 1_440,
    min: 1,
    max: 525_600,
    effect: 'The comparisons are spread evenly over so long; then it begins anew.',
  }),
  recordsPerSecondMax: whole({
    unit: 'records per second',
    default: 500,
    min: 1,
    max: 1_000_000,
    effect:
      'Never faster than this, also where the period then gets longer. What holds the copy (`backfill.*`) holds this as well.',
  }),
} as const;

/** The sweeper over a column that says when a record was changed. */
export const modifiedOptions = {
  source: textOrNone({
    unit: 'column',
    effect:
      'Column of the source’s root table that holds when a record was changed; while the source is the authority, what was changed is compared soon after. null: no sweeper. It needs an index.',
  }),
  target: textOrNone({
    unit: 'column',
    effect: 'The same of the target, for the time after the write switch.',
  }),
  everySeconds: whole({
    unit: 'seconds',
    default: 60,
    min: 1,
    max: 86_400,
    effect: 'Between two sweeps.',
  }),
  overlapSeconds: whole({
    unit: 'seconds',
    default: 300,
    min: 0,
    max: 86_400,
    effect:
      'A sweep begins so long before the end of the last one, and before the start of the oldest open transaction: for clocks that differ and for transactions that commit late.',
  }),
} as const;
