export { createComparator, type Pair, type PairDifference } from './comparator.ts';
export { diffKey, type KeyDiff } from './diff-key.ts';
export { type ParitySummary, summariseEvidence } from './parity.ts';
export type { Standing } from './queue-standing.ts';
export { type RecheckEntry, RecheckQueue } from './recheck-queue.ts';
export type { Decision, RecheckOptions } from './rechecker.ts';
export { repair } from './repair.ts';
export type { RepairedKey, RepairOptions, RepairOutcome, RepairReport } from './repair-options.ts';
export { recheckSuspects, type SuspectOptions, type SuspectReport } from './suspects.ts';
export {
  persistentTotal,
  proofByRecheck,
  type VerifyOptions,
  type VerifyReport,
  verifyCollection,
} from './verify.ts';
export type { ScopeOptions, VerifyStop } from './verify-scope.ts';
