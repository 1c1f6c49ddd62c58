export {
  type CollectionMapping,
  type MappedColumn,
  mapCollection,
  spellingOf,
} from './column-mappings.ts';
export type { CustomGate, CustomGates } from './custom-gates.ts';
export { defineMigration } from './define-migration.ts';
export {
  backfillOptionsOf,
  cutoverLimitsOf,
  gateProfileOf,
  routerOptionsOf,
  throttleChecksOf,
  workerOptionsOf,
} from './engine-options.ts';
export { configFiles, type LoadedConfig, loadConfig, readsTypeScript } from './load-config.ts';
export type {
  ChildDraft,
  CollectionConfig,
  CollectionDraft,
  DefinedMigration,
  MigrationConfig,
  ShapeDraft,
} from './migration-config.ts';
export {
  controlOf,
  type OpenedMigration,
  type OpenOptions,
  openMigration,
} from './open-migration.ts';
export type { OptionEntry } from './option-entry.ts';
export {
  collectionOptions,
  type MigrationOptions,
  type OptionsInput,
  optionsReference,
  optionTable,
} from './options.ts';
export { findTable, foreignKeyTo, resolveShape, tableName } from './resolve-shape.ts';
export { suggestion } from './suggestion.ts';
export { unreachableStore } from './unreachable-store.ts';
