export type { StoreCapabilities } from './capabilities.ts';
export {
  type DigestEncoding,
  digestEncoding,
  type EncodedColumn,
  encodeRow,
  encodeValue,
  NULL_MARK,
  ROW_SEPARATOR,
  VALUE_SEPARATOR,
} from './digest-encoding.ts';
export type {
  ChunkTicket,
  CopiedText,
  CopySource,
  Door,
  DoorContext,
  DoorVerdict,
  LogApplied,
  LogApply,
  LogDoor,
  OpenChange,
} from './door.ts';
export type { FindingEntry } from './finding-entry.ts';
export type { GrantPlan } from './grant-plan.ts';
export type { Guard, GuardRole, GuardState } from './guard.ts';
export type { MigrationStore, StoreConnector, StoreContext } from './migration-store.ts';
export {
  type ModifiedFinding,
  type ModifiedHorizon,
  type ModifiedPlace,
  type ModifiedRange,
  type ModifiedRows,
  modifiedFindings,
} from './modified-rows.ts';
export type { StorePressure } from './pressure.ts';
export type {
  DigestFacts,
  DigestFunction,
  DigestPlan,
  RangeDigest,
  RecordDigests,
  RowDigest,
} from './record-digest.ts';
export type {
  KeyRange,
  QueuedKey,
  ReadAnswer,
  RecordReader,
  RecordSnapshot,
  SnapshotOptions,
  SnapshotPlace,
  SnapshotSource,
  StoredRecord,
} from './record-reader.ts';
export type { AuthorityWrite, HoldLimits, RecordStore, Reread, Written } from './record-store.ts';
export type { RogueLook, RogueWatch, RogueWrite } from './rogue-watch.ts';
export type {
  DeferredIndexes,
  Finding,
  InspectPlan,
  InstalledObject,
  StoreSetup,
} from './setup.ts';
export type { StoreFacts, StoreSpace, TableLimits } from './store-facts.ts';
export type {
  OpenTransactionSeen,
  StoreSign,
  SwitchFacts,
  SwitchSurvey,
} from './switch-survey.ts';
export type { ForeignKeyDescription, TableDescription } from './table-description.ts';
export type { TextRows, TextSource } from './text-source.ts';
