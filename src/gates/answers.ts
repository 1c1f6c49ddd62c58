import type { GateAnswer, GateForecast } from './gate.ts';

type Evidence = GateAnswer['evidence'];

/** A pass with what was seen. */
export const pass = (message: string, evidence: Evidence = {}): GateAnswer => ({
  verdict: 'pass',
  message,
  evidence,
});

/** A fail with what was seen and what to do. */
export const fail = (
  message: string,
  evidence: Evidence = {},
  earliest: GateForecast = waitsForSomebody,
): GateAnswer => ({ verdict: 'fail', message, evidence, earliest });

/** No answer, and why there is none. */
export const unknown = (
  message: string,
  evidence: Evidence = {},
  earliest: GateForecast = waitsForSomebody,
): GateAnswer => ({ verdict: 'unknown', message, evidence, earliest });

/** Time alone opens nothing here. */
export const waitsForSomebody: GateForecast = {
  atMs: null,
  text: 'cannot be predicted: it waits for somebody to act',
};

/** `1 change`, `2 changes`, `2 mismatches`. */
export function counted(amount: number, noun: string): string {
  if (amount === 1) return `1 ${noun}`;
  return `${amount} ${noun}${noun.endsWith('ch') ? 'es' : 's'}`;
}

/** `1.5 s`. */
export const seconds = (ms: number): string => `${Number((ms / 1_000).toFixed(1))} s`;

/** `2026-11-21 14:20 UTC`. */
export const clockTime = (ms: number): string =>
  `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
