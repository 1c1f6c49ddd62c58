export type {
  ChangeSource,
  ChangeStream,
  LogBatch,
  LogChange,
  LogCheckpoint,
  LogColumn,
  LogIdentity,
  LogMark,
  LogRetention,
  LogStart,
  LogTable,
  LogValue,
  OpenStream,
} from './change-source.ts';
export { unchanged } from './change-source.ts';
