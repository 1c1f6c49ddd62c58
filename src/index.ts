/** The public API. Stores and control stores come from `changeover/postgres`, `changeover/sqlite`, `changeover/memory`. */
export {
  type CollectionConfig,
  type CustomGate,
  type DefinedMigration,
  defineMigration,
  type LoadedConfig,
  loadConfig,
  type MigrationConfig,
  type MigrationOptions,
  type OpenedMigration,
  type OpenOptions,
  openMigration,
  routerOptionsOf,
  type ShapeDraft,
  workerOptionsOf,
} from './config/index.ts';
export type { ControlConnector, ControlStore, MigrationContext } from './control/index.ts';
export {
  type Controller,
  type ControllerOptions,
  createController,
  type Plan,
  type Status,
} from './controller/index.ts';
export {
  ChangeoverError,
  type Disposition,
  type ErrorCode,
  errorCatalogue,
  isChangeoverError,
} from './errors/index.ts';
export {
  defaultProfile,
  demoProfile,
  type Gate,
  type GateAnswer,
  type GateForecast,
  type GateInput,
  type GateProfile,
  type GateVerdict,
} from './gates/index.ts';
export {
  type ChangeoverEvent,
  type ChangeoverEventType,
  type Collection,
  type EventHub,
  type MigrationState,
  type Phase,
  phases,
  type Shape,
  type Side,
  type Transform,
} from './migration/index.ts';
export type { DataRecord, Key, Row, Scalar } from './record/index.ts';
export {
  type CollectionHandle,
  createRouter,
  type ReadOptions,
  type Router,
  type RouterOptions,
  type RouterOptionsInput,
  type WriteReceipt,
} from './router/index.ts';
export { type Runtime, systemRuntime } from './runtime/index.ts';
export type { Finding, MigrationStore, StoreConnector } from './store/index.ts';
export {
  bridgeSpans,
  createLogger,
  createMetrics,
  type EventLogger,
  type LoggerOptions,
  type Metrics,
  type MetricsOptions,
  metricTable,
  type TraceApi,
} from './telemetry/index.ts';
export type { TrafficHook } from './traffic/index.ts';
export { startWorker, type Worker, type WorkerOptions } from './worker/index.ts';
