export type { StoreCapabilities } from './capabilities.ts';
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
export type { Guard, GuardRole, GuardState } from './guard.ts';
export type { MigrationStore, StoreConnector, StoreContext } from './migration-store.ts';
export type { StorePressure } from './pressure.ts';
export type {
  AuthorityWrite,
  KeyRange,
  ReadAnswer,
  RecordStore,
  Reread,
  StoredRecord,
  Written,
} from './record-store.ts';
export type { RogueLook, RogueWatch, RogueWrite } from './rogue-watch.ts';
export type {
  DeferredIndexes,
  Finding,
  InspectPlan,
  InstalledObject,
  StoreSetup,
} from './setup.ts';
export type { OpenTransactionSeen, SwitchFacts, SwitchSurvey } from './switch-survey.ts';
export type { ForeignKeyDescription, TableDescription } from './table-description.ts';
export type { TextRows, TextSource } from './text-source.ts';
