import type { Phase } from '../migration/index.ts';

/** The thresholds of the gates. */
export interface GateProfile {
  /** Shown wherever a gate's answer is shown: nobody shall take a demo's pass for a production's. */
  readonly name: string;
  /** Least share of equal comparisons that must be proven, e.g. 0.999999. In [0, 1). */
  readonly parity: number;
  /** One-sided confidence of the proof, e.g. 0.95. In (0, 1). */
  readonly confidence: number;
  /** Only comparisons of the last so many minutes count. */
  readonly windowMinutes: number;
  /** `shadow-read`: only those. `any`: those of the parity worker as well. One record in one version counts once in any case. */
  readonly parityFrom: 'shadow-read' | 'any';
  /** `migration`: over all together. `collection`: each collection has to prove it by itself. */
  readonly parityOf: 'migration' | 'collection';
  /** The newest comparison may be so many minutes old; older evidence says nothing of today. */
  readonly evidenceMinutesMax: number;
  /** Least share of the reads to be compared that were compared: not shed, timed out or failed. 0: not asked. */
  readonly coverageMin: number;
  /** The target's p99 read latency may be so many times the source's. 0: not asked. */
  readonly latencyRatioMax: number;
  /** Of the last so many minutes. */
  readonly latencyMinutes: number;
  /** Reads on both stores that it takes to tell. */
  readonly latencyReadsMin: number;
  /** A p99 at or below this many milliseconds is fast enough, whatever the ratio. */
  readonly latencyMsFine: number;
  /** Waiting changes in the authority's queue, at most. */
  readonly queueWaitingMax: number;
  /** Age of the oldest waiting change in milliseconds, at most. */
  readonly queueOldestMsMax: number;
  /** The way back was drilled within so many days before the write switch. 0: not asked. */
  readonly drillDaysMax: number;
  /** People other than the one who advances that have to approve, by the phase to be entered. Absent or 0: none. */
  readonly approvals: Partial<Readonly<Record<Phase, number>>>;
  /** An approval holds for so many minutes. */
  readonly approvalMinutes: number;
  /** Each store must answer a gate within this many milliseconds, else `unknown`. */
  readonly answerMsMax: number;
}

/** What a production migration has to show. */
export const defaultProfile: GateProfile = {
  name: 'default',
  parity: 0.999999,
  confidence: 0.95,
  windowMinutes: 7 * 24 * 60,
  parityFrom: 'shadow-read',
  parityOf: 'migration',
  evidenceMinutesMax: 30,
  coverageMin: 0.95,
  latencyRatioMax: 2,
  latencyMinutes: 60,
  latencyReadsMin: 1_000,
  latencyMsFine: 5,
  queueWaitingMax: 1_000,
  queueOldestMsMax: 30_000,
  drillDaysMax: 7,
  approvals: {},
  approvalMinutes: 24 * 60,
  answerMsMax: 5_000,
};

/**
 * For a demonstration of minutes: proves 99 % at 95 %, which takes 299 comparisons without a mismatch; asks for no drill, and for latencies and coverage
 * that a busy laptop has.
 */
export const demoProfile: GateProfile = {
  ...defaultProfile,
  name: 'demo profile',
  parity: 0.99,
  windowMinutes: 60,
  coverageMin: 0.5,
  latencyRatioMax: 10,
  latencyReadsMin: 200,
  latencyMsFine: 100,
  drillDaysMax: 0,
};
