export { evaluateGates, worstVerdict } from './evaluate-gates.ts';
export { type FollowingBegan, followingBegan } from './following-began.ts';
export type { Gate, GateAnswer, GateInput, GateResult, GateVerdict } from './gate.ts';
export { gateTable } from './gate-table.ts';
export {
  binomialAtMost,
  comparisonsNeeded,
  parityLowerBound,
  percentText,
  provesParity,
} from './parity-bound.ts';
export { defaultProfile, demoProfile, type GateProfile } from './profile.ts';
