export { type PgBouncerOptions, pgbouncer } from './pgbouncer.ts';
export type { PostgresOptions } from './postgres-connections.ts';
export { type PostgresControlOptions, postgresControl } from './postgres-control-store.ts';
export { postgres } from './postgres-store.ts';
export {
  type ChangedRecord,
  type RecordedChange,
  recordChange,
  type TransactionClient,
} from './record-change.ts';
