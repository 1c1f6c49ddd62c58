export {
  coordinatorPrefix,
  describeInstances,
  type Laggards,
  laggards,
  notAcknowledged,
  waitForAcknowledgements,
} from './acknowledgement.ts';
export { applyEvent, type EventEntry } from './apply-event.ts';
export {
  type Approval,
  approvalAction,
  approvalDetail,
  approvalsOf,
  plainName,
  samePerson,
} from './approval.ts';
export { isNewerCheckpoint } from './checkpoint-order.ts';
export {
  comparatorFingerprint,
  comparatorNumber,
  comparatorsOf,
  fingerprintOf,
  migrationFingerprint,
} from './comparator-fingerprint.ts';
export type {
  AuditEntry,
  BackfillCheckpoint,
  BackfillGrowth,
  ControlConnector,
  ControlStore,
  NewAuditEntry,
} from './control-store.ts';
export type {
  EvidenceCounts,
  EvidenceDelta,
  EvidenceKept,
  EvidenceLatency,
  EvidenceLedger,
  EvidenceSubjects,
  SubjectFilter,
} from './evidence-ledger.ts';
export {
  countNewSubjects,
  countSubjects,
  RecentSubjects,
  recordSubject,
  subjectLength,
  subjectOf,
  subjectsMax,
} from './evidence-subject.ts';
export type { Fleet, Instance, WorkerReport } from './fleet.ts';
export {
  type ForeignGuard,
  type ForeignGuardOptions,
  findForeignGuard,
  foreignGuardError,
  refuseForeignGuard,
  startBegun,
} from './foreign-guard.ts';
export {
  type GapDecision,
  type GapFilter,
  type GapFinder,
  type GapLedger,
  type GapRecord,
  type GapStatus,
  noGapCounts,
  undecidedGapStatuses,
} from './gap-ledger.ts';
export { bucketLimits, latencyBucket, latencyQuantile } from './latency-buckets.ts';
export type { Memo, MemoLedger } from './memo-ledger.ts';
export type { MigrationContext } from './migration-context.ts';
export type {
  Mismatch,
  MismatchCondition,
  MismatchFilter,
  MismatchGone,
  MismatchKind,
  MismatchLedger,
  MismatchLine,
  MismatchLook,
  MismatchPlace,
  MismatchStatus,
  MismatchTally,
  MismatchTurn,
  MismatchVersions,
} from './mismatch-ledger.ts';
export {
  agreesNow,
  classedFields,
  decided,
  fieldName,
  firstLine,
  hasExpired,
  type MismatchDecision,
  meets,
  seenAgain,
  seenSince,
  turnsMax,
  unresolvedStatuses,
} from './mismatch-life.ts';
export {
  createRedactor,
  hideValues,
  isRedacted,
  lengthClass,
  openRedactor,
  type Redactor,
  redactingLedger,
} from './redaction.ts';
export { rogueAcknowledged, rogueWriteNote } from './rogue-note.ts';
export {
  addSamples,
  type Sample,
  type SampleLedger,
  type SampleSeries,
  sampleBounds,
  sampleQuantile,
  sampleSeries,
} from './sample-ledger.ts';
export {
  recordSamples,
  type SampleRecorder,
  type SampleSource,
  sampleDays,
} from './sample-recorder.ts';
