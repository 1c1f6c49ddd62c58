import { choice, ms, share, whole } from './option-entry.ts';
import { throttleOptions } from './throttle-options.ts';

/** The copy, and what holds it. */
export const backfillOptions = {
  rowsPerSecondMax: whole({
    unit: 'rows per second',
    default: 0,
    min: 0,
    max: 100_000_000,
    effect: 'Speed limit of the copy; 0: none.',
  }),
  chunkRows: whole({
    unit: 'rows',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    effect: 'Largest chunk of transformed records; the size below it follows `chunkTargetMs`.',
  }),
  chunkTargetMs: ms(500, 10, 60_000, 'What one chunk should take; its size is steered to this.'),
  concurrency: whole({
    unit: 'chunks',
    default: 2,
    min: 1,
    max: 64,
    effect: 'Chunks being written at a time.',
  }),
  chunkTimeoutMs: ms(60_000, 1_000, 3_600_000, 'Server-side limit of the write of one chunk.'),
  deadRowsMin: whole({
    unit: 'rows',
    default: 100,
    min: 1,
    max: 1_000_000_000,
    effect: 'The copy stops when at least so many rows are dead, and more than `deadShareMax`.',
  }),
  deadShareMax: share({
    unit: 'share of rows',
    default: 0.01,
    min: 0,
    max: 1,
    effect: 'The copy stops when a larger share of the rows cannot be transformed or stored.',
  }),
  transformThreads: whole({
    unit: 'threads',
    default: 0,
    min: 0,
    max: 64,
    effect:
      'Threads that read, transform and write chunks of records, each with connections of its own; 0: the main thread. They load the configuration file again: nothing of it may depend on what the process did before.',
  }),
  deferIndexes: choice({
    values: ['none', 'secondary', 'all'],
    default: 'none',
    effect:
      'Indexes of an empty target that are taken down for the copy and made again behind it: `secondary` those that are no constraint, `all` the key as well (live changes wait until it is back). PostgreSQL; not for fail-closed collections.',
  }),
  ...throttleOptions,
} as const;
