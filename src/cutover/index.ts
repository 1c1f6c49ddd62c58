export {
  type CutoverLimits,
  type CutoverStep,
  cutoverSteps,
  type DrainQueue,
  defaultCutoverLimits,
  type StepTiming,
  type SwitchOptions,
  type SwitchResult,
} from './cutover-options.ts';
export { describeGuard, expectedGuard, expectedRole, sameRole } from './guard-roles.ts';
export { saysHeld } from './held-mark.ts';
export {
  describePrediction,
  drillAction,
  fits,
  type PausePart,
  type PausePartName,
  type PausePrediction,
} from './pause-prediction.ts';
export type { RehearsalCheck } from './rehearsal-checks.ts';
export { type ResumeOptions, resumeCutover } from './resume-cutover.ts';
export type { ResumeResult } from './resume-result.ts';
export { switchAuthority } from './switch-authority.ts';
export {
  type RehearsalOptions,
  rehearseSwitch,
  type SwitchRehearsal,
} from './switch-rehearsal.ts';
export { inspectTraffic } from './traffic.ts';
export { type UndoLimits, type UndoResult, undoCutover } from './undo-cutover.ts';
export { type Obstacle, type WayBack, wayBack } from './way-back.ts';
