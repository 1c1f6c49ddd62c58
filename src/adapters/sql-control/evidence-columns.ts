/** The columns of `evidence` that are added up. */
export const evidenceCounts = [
  'compared',
  'matched',
  'suspect',
  'confirmed',
  'shed',
  'timed_out',
  'failed',
] as const;
