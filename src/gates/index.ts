export type { Gate, GateAnswer, GateInput, GateResult, GateVerdict } from './gate.ts';
export { defaultProfile, demoProfile, type GateProfile } from './profile.ts';
