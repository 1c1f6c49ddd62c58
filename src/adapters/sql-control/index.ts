export { controlFormat } from './control-schema.ts';
export type { ControlTables } from './control-tables.ts';
export type {
  ControlDatabase,
  ControlTransaction,
  SqlControlEngine,
} from './sql-control-engine.ts';
export { createSqlControlStore } from './sql-control-store.ts';
