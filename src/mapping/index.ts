export { acceptFor } from './acceptance.ts';
export type { ColumnOverride } from './column-override.ts';
export type { ColumnKind, ColumnType, Spelling, StoredColumn } from './column-type.ts';
export { type ColumnMapping, engineLimits, mapColumn } from './mapping.ts';
export { mappingTable } from './mapping-table.ts';
export { passesText } from './passes-text.ts';
export { compileConverter, type RecordConverter, type RowConverts } from './record-converter.ts';
export type { Convert, Rule, RuleResult } from './rule.ts';
