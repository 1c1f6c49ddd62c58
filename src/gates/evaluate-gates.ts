import { messageOf } from '../errors/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { waitsForSomebody } from './answers.ts';
import type { Gate, GateAnswer, GateForecast, GateInput, GateResult, GateVerdict } from './gate.ts';

/** All answers, in the order of the gates. A gate that throws, or does not answer in time, is `unknown`. Never throws. */
export function evaluateGates(
  gates: readonly Gate[],
  input: GateInput,
): Promise<readonly GateResult[]> {
  return Promise.all(gates.map((gate) => evaluateOne(gate, input)));
}

async function evaluateOne(gate: Gate, input: GateInput): Promise<GateResult> {
  const { name, question, overridable } = gate;
  const { clock } = input.context.runtime;
  try {
    // Through a promise, so that a gate of the user's which throws at once is unknown as well.
    const asked = Promise.resolve().then(() => gate.evaluate(input));
    const answer = await withDeadline(clock, input.profile.answerMsMax, `gate ${name}`, asked);
    if (!isAnswer(answer)) return unanswered(gate, 'it gave no answer { verdict, message }');
    // It goes into the audit: what cannot be written there (a bigint, a ring) throws here, not in the middle of an advance.
    JSON.stringify(answer.evidence);
    const { verdict, message, evidence = {} } = answer;
    const earliest = verdict === 'pass' ? null : (answer.earliest ?? waitsForSomebody);
    return { gate: name, question, overridable, verdict, message, evidence, earliest };
  } catch (error) {
    return unanswered(gate, messageOf(error));
  }
}

const unanswered = ({ name, question, overridable }: Gate, why: string): GateResult => ({
  gate: name,
  question,
  overridable,
  verdict: 'unknown',
  message: `Not answered: ${why}`,
  evidence: {},
  earliest: { atMs: null, text: 'cannot be predicted: the gate does not answer' },
});

const verdicts: ReadonlySet<unknown> = new Set<GateVerdict>(['pass', 'fail', 'unknown']);

/** A gate of the user's may answer anything; what is no answer is no pass. */
function isAnswer(answer: unknown): answer is Omit<GateAnswer, 'evidence'> & Partial<GateAnswer> {
  if (typeof answer !== 'object' || answer === null) return false;
  const { verdict, message, evidence } = answer as Partial<Record<keyof GateAnswer, unknown>>;
  const facts = evidence === undefined || (typeof evidence === 'object' && evidence !== null);
  return verdicts.has(verdict) && typeof message === 'string' && facts;
}

/** The worst answer: `fail`, then `unknown`, then `pass`. `pass` when there are no gates. */
export function worstVerdict(results: readonly GateResult[]): GateVerdict {
  if (results.some(({ verdict }) => verdict === 'fail')) return 'fail';
  return results.some(({ verdict }) => verdict !== 'pass') ? 'unknown' : 'pass';
}

/** When all gates can pass at the earliest: the latest of their times. null: all pass. */
export function earliestOf(results: readonly GateResult[]): GateForecast | null {
  const closed = results.filter(({ verdict }) => verdict !== 'pass');
  if (closed.length === 0) return null;
  const open = closed.filter(({ earliest }) => (earliest?.atMs ?? null) === null);
  const names = (of: readonly GateResult[]): string => of.map(({ gate }) => gate).join(', ');
  if (open.length > 0) return { atMs: null, text: `cannot be predicted for ${names(open)}` };
  const last = closed.reduce((a, b) => ((b.earliest?.atMs ?? 0) > (a.earliest?.atMs ?? 0) ? b : a));
  return { atMs: last.earliest?.atMs ?? null, text: `${last.gate} takes longest` };
}
