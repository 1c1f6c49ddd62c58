export type { AlignedOptions } from './aligned-options.ts';
export {
  type Baseline,
  baselineOf,
  baselines,
  type MismatchOrigin,
  originOf,
  originText,
  recordBaseline,
} from './baseline.ts';
export { createComparator, type Pair, type PairDifference } from './comparator.ts';
export { isCopied } from './copied.ts';
export { diffKey, type KeyDiff } from './diff-key.ts';
export {
  createModifiedSweeper,
  type ModifiedSweeper,
  modifiedDetector,
  type SweeperOptions,
} from './modified-sweeper.ts';
export { type ParitySummary, summariseEvidence } from './parity.ts';
export { type ParityPace, parityPace } from './parity-pace.ts';
export type { SweepPlace } from './parity-sweep.ts';
export {
  createParityWorker,
  type ParityOptions,
  type ParityTurn,
  type ParityWorker,
  parityDetector,
} from './parity-worker.ts';
export { proofByRecheck, type VerifyProof } from './proof.ts';
export { type ProofLeaf, rootOf } from './proof-digest.ts';
export type { Standing } from './queue-standing.ts';
export { RecheckDesk, type SuspectReport } from './recheck-desk.ts';
export { type RecheckEntry, RecheckQueue } from './recheck-queue.ts';
export type { Decision, RecheckOptions } from './rechecker.ts';
export {
  isReconciliation,
  noteRun,
  type Reconciled,
  type ReconciliationKind,
} from './reconciliation.ts';
export { repair } from './repair.ts';
export type { RepairedKey, RepairOptions, RepairOutcome, RepairReport } from './repair-options.ts';
export { type RepairStop, resumeRepair, stoppedRepairs } from './repair-stop.ts';
export { SampleFrame } from './sample-frame.ts';
export { linesToRecheck, recheckSuspects, type SuspectOptions } from './suspects.ts';
export { type VerifyOptions, type VerifyReport, verifyCollection } from './verify.ts';
export { persistentTotal } from './verify-counts.ts';
export { type ScopeOptions, type VerifyStop, verifyScope } from './verify-scope.ts';
export { createWorkLease, type WorkLease } from './work-lease.ts';
