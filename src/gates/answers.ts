import type { GateAnswer } from './gate.ts';

/** A pass with what was seen. */
export const pass = (message: string, evidence: GateAnswer['evidence'] = {}): GateAnswer => ({
  verdict: 'pass',
  message,
  evidence,
});

/** A fail with what was seen and what to do. */
export const fail = (message: string, evidence: GateAnswer['evidence'] = {}): GateAnswer => ({
  verdict: 'fail',
  message,
  evidence,
});

/** No answer, and why there is none. */
export const unknown = (message: string, evidence: GateAnswer['evidence'] = {}): GateAnswer => ({
  verdict: 'unknown',
  message,
  evidence,
});

/** `1 change`, `2 changes`, `2 mismatches`. */
export function counted(amount: number, noun: string): string {
  if (amount === 1) return `1 ${noun}`;
  return `${amount} ${noun}${noun.endsWith('ch') ? 'es' : 's'}`;
}
