import type { EvidenceCounts } from '../control/index.ts';

/** Evidence added up, exact. */
export interface ParitySummary {
  readonly compared: number;
  /** Agreed at first sight. */
  readonly matched: number;
  readonly suspect: number;
  /** Suspects that their recheck confirmed. */
  readonly confirmed: number;
  /** Not compared: shed, timed out or failed. */
  readonly uncompared: number;
  /** Compared share of what should have been compared; null without data. */
  readonly coverage: number | null;
  readonly firstMinute: number | null;
  readonly lastMinute: number | null;
}

/** Adds evidence up; filter it before by collection or detector where that is wanted. */
export function summariseEvidence(counts: readonly EvidenceCounts[]): ParitySummary {
  let [compared, matched, suspect, confirmed, uncompared] = [0, 0, 0, 0, 0];
  let [firstMinute, lastMinute]: [number | null, number | null] = [null, null];
  for (const row of counts) {
    compared += row.compared;
    matched += row.matched;
    suspect += row.suspect;
    confirmed += row.confirmed;
    uncompared += row.shed + row.timedOut + row.failed;
    firstMinute = Math.min(firstMinute ?? row.minute, row.minute);
    lastMinute = Math.max(lastMinute ?? row.minute, row.minute);
  }
  const wanted = compared + uncompared;
  return {
    compared,
    matched,
    suspect,
    confirmed,
    uncompared,
    coverage: wanted === 0 ? null : compared / wanted,
    firstMinute,
    lastMinute,
  };
}
