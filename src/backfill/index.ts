export { runBackfill } from './backfill.ts';
export type { BackfillOptions, BackfillResult, BackfillStop } from './backfill-options.ts';
export type { DeadRow } from './chunk-transform.ts';
export { type ChunkWorkshop, createWorkshop, type PreparedChunk } from './chunk-workshop.ts';
export { type BackfillProgress, progressOf, progressOfCheckpoint } from './progress.ts';
export {
  type CheckAnswer,
  createThrottle,
  type Throttle,
  type ThrottleCheck,
  type ThrottleOptions,
  type WaitScope,
} from './throttle.ts';
export {
  connectionsCheck,
  latencyCheck,
  operatorHoldCheck,
  probeLatency,
  queryCheck,
  queueAgeCheck,
  replicationLagCheck,
} from './throttle-checks.ts';
