/** The thresholds of the gates. */
export interface GateProfile {
  /** Shown wherever a gate's answer is shown: nobody shall take a demo's pass for a production's. */
  readonly name: string;
  /** Least share of equal shadow reads that must be proven, e.g. 0.999999. In [0, 1). */
  readonly parity: number;
  /** One-sided confidence of the proof, e.g. 0.95. In (0, 1). */
  readonly confidence: number;
  /** Only comparisons of the last so many minutes count. */
  readonly windowMinutes: number;
  /** Waiting changes in the authority's queue, at most. */
  readonly queueWaitingMax: number;
  /** Age of the oldest waiting change in milliseconds, at most. */
  readonly queueOldestMsMax: number;
  /** Each store must answer a gate within this many milliseconds, else `unknown`. */
  readonly answerMsMax: number;
}

/** What a production migration has to show. */
export const defaultProfile: GateProfile = {
  name: 'default',
  parity: 0.999999,
  confidence: 0.95,
  windowMinutes: 7 * 24 * 60,
  queueWaitingMax: 1_000,
  queueOldestMsMax: 30_000,
  answerMsMax: 5_000,
};

/** For a demonstration of minutes: proves 99 % at 95 %, which takes 299 comparisons without a mismatch. */
export const demoProfile: GateProfile = {
  ...defaultProfile,
  name: 'demo profile',
  parity: 0.99,
  windowMinutes: 60,
};
