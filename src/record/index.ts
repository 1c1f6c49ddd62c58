export type { Change, Origin } from './change.ts';
export { type ChildKeys, differences, type FieldDifference } from './difference.ts';
export { decodeKey, encodeKey, type Key, keyOf, toKey } from './key.ts';
export {
  type ClassDescription,
  classTable,
  type MismatchClass,
  mismatchClasses,
  mostTelling,
} from './mismatch-class.ts';
export type { Position } from './position.ts';
export {
  type DataRecord,
  type LooseRecord,
  type LooseValue,
  type Row,
  type Scalar,
  toRecord,
  toScalar,
} from './value.ts';
export { compareVersions, formatVersion, parseVersion, type Version } from './version.ts';
