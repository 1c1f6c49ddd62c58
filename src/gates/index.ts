export { earliestOf, evaluateGates, worstVerdict } from './evaluate-gates.ts';
export { type FollowingBegan, followingBegan } from './following-began.ts';
export type {
  Gate,
  GateAnswer,
  GateDrill,
  GateForecast,
  GateInput,
  GateResult,
  GateVerdict,
} from './gate.ts';
export { gatesBefore, gateTable, standardGateNames } from './gate-table.ts';
export {
  binomialAtMost,
  comparisonsNeeded,
  parityLowerBound,
  percentText,
  provesParity,
} from './parity-bound.ts';
export { AHEAD_MINUTES_MAX, asCounted } from './parity-evidence.ts';
export { planHash } from './plan-hash.ts';
export { defaultProfile, demoProfile, type GateProfile } from './profile.ts';
