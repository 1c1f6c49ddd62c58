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
} from '../log/index.ts';
export { unchanged } from '../log/index.ts';
export { type ApplierOptions, applierDefaults, type DrainRound, drainOnce } from './applier.ts';
export { drainUntilEmpty } from './drain.ts';
export { type Following, type FollowingWorker, observeFollowing } from './following.ts';
export { groupByCollection, groupByKey, type KeyWork } from './key-work.ts';
export {
  followLog,
  type LogApplierOptions,
  logApplierDefaults,
  type StatePasses,
} from './log-applier.ts';
export { type CollectionChanges, coalesce } from './log-coalesce.ts';
export { moveIdleStreams } from './log-idle-streams.ts';
export {
  caughtUp,
  drainLog,
  type LogLag,
  logLag,
  logReaders,
  logStopped,
  workerSuffix,
} from './log-lag.ts';
export { LogRoutes } from './log-routes.ts';
export {
  endStreams,
  loggedCollections,
  prepareStream,
  presentStream,
  removeAllStreams,
  removeStreams,
  type StreamEnds,
  streamEnds,
  streamName,
} from './log-stream.ts';
