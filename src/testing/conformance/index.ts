export { conformanceShapes } from './conformance-shapes.ts';
export type {
  ConformanceStores,
  ConformanceSubject,
  ForeignStatement,
  LoggedStores,
  TestFramework,
} from './conformance-subject.ts';
export {
  type ControlStoreSubject,
  type ControlStores,
  registerControlStoreConformance,
} from './control-store-conformance.ts';
export { type ForeignDialect, foreignSql } from './foreign-sql.ts';
export { registerStoreConformance } from './register-store-conformance.ts';
