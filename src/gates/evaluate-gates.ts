import { messageOf } from '../errors/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { Gate, GateInput, GateResult, GateVerdict } from './gate.ts';

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
    return { ...answer, gate: name, question, overridable };
  } catch (error) {
    return {
      gate: name,
      question,
      overridable,
      verdict: 'unknown',
      message: `Not answered: ${messageOf(error)}`,
      evidence: {},
    };
  }
}

/** The worst answer: `fail`, then `unknown`, then `pass`. `pass` when there are no gates. */
export function worstVerdict(results: readonly GateResult[]): GateVerdict {
  if (results.some(({ verdict }) => verdict === 'fail')) return 'fail';
  return results.some(({ verdict }) => verdict !== 'pass') ? 'unknown' : 'pass';
}
