import { whole } from './option-entry.ts';
import { proofOptions } from './proof-options.ts';

/** Full comparisons. */
export const verifyOptions = {
  rowsPerSecondMax: whole({
    unit: 'rows per second',
    default: 0,
    min: 0,
    max: 100_000_000,
    effect: 'Speed limit of a full comparison; 0: none.',
  }),
  pageRows: whole({
    unit: 'rows',
    default: 1_000,
    min: 1,
    max: 100_000,
    effect: 'Records that are read and compared at a time.',
  }),
  ...proofOptions,
} as const;
