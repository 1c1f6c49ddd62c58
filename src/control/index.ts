export {
  coordinatorPrefix,
  describeInstances,
  type Laggards,
  laggards,
  notAcknowledged,
  waitForAcknowledgements,
} from './acknowledgement.ts';
export { applyEvent, type EventEntry } from './apply-event.ts';
export { isNewerCheckpoint } from './checkpoint-order.ts';
export type {
  AuditEntry,
  BackfillCheckpoint,
  BackfillGrowth,
  ControlConnector,
  ControlStore,
  NewAuditEntry,
} from './control-store.ts';
export type { EvidenceCounts, EvidenceLedger } from './evidence-ledger.ts';
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
export type { MigrationContext } from './migration-context.ts';
export type { Mismatch, MismatchKind, MismatchLedger, MismatchStatus } from './mismatch-ledger.ts';
export { rogueAcknowledged, rogueWriteNote } from './rogue-note.ts';
