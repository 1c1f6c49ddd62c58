export { readRecord } from './memory-aggregates.ts';
export {
  type ControlHook,
  MemoryControl,
  type MemoryControlOptions,
  memoryControl,
} from './memory-control-store.ts';
export {
  type CommitRecord,
  MemoryDatabase,
  type MemoryDatabaseOptions,
  type RowChange,
  type RowConstraint,
} from './memory-database.ts';
export {
  type ForeignStatement,
  type MemoryForeignWriter,
  memoryForeignWriter,
} from './memory-foreign-writer.ts';
export {
  type ChunkRow,
  type FenceRow,
  type MemoryLayout,
  memoryLayout,
  type QueueRow,
} from './memory-layout.ts';
export { type LoggedRow, MemoryLog } from './memory-log.ts';
export { type MemoryStoreOptions, memoryCapabilities, memoryStore } from './memory-store.ts';
export {
  MemoryTransaction,
  type SessionMark,
  type TransactionOptions,
} from './memory-transaction.ts';
export { type Sabotage, sabotages } from './sabotage.ts';
export type { CommitServer, Step, StepHook } from './step-hook.ts';
