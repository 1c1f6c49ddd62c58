export { conformanceShapes } from './conformance-shapes.ts';
export type {
  ConformanceStores,
  ConformanceSubject,
  TestFramework,
} from './conformance-subject.ts';
export {
  type ControlStoreSubject,
  type ControlStores,
  registerControlStoreConformance,
} from './control-store-conformance.ts';
export { registerStoreConformance } from './register-store-conformance.ts';
