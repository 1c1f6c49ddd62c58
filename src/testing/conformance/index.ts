export { conformanceShapes } from './conformance-shapes.ts';
export type {
  ConformanceStores,
  ConformanceSubject,
  TestFramework,
} from './conformance-subject.ts';
export { registerStoreConformance } from './register-store-conformance.ts';
