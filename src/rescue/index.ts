export {
  type AppliedRecord,
  type ApplyOptions,
  type ApplyOutcome,
  type ApplyReport,
  applyGap,
} from './apply-gap.ts';
export { giveUpGap, settleGap, undecidedRecords } from './close-gap.ts';
export { type CollectOptions, type CollectReport, collectGap } from './collect-gap.ts';
export { findGap, type OpenGap } from './open-gap.ts';
export {
  type ResolveOptions,
  type ResolveReport,
  resolveGap,
  type ShownRecord,
  showGapRecord,
  type Take,
} from './resolve-gap.ts';
export { tendGap } from './tend-gap.ts';
