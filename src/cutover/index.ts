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
export type { ResumeResult } from './resume-result.ts';
