import * as v from 'valibot';
import { type Gate, type GateAnswer, type GateInput, standardGateNames } from '../gates/index.ts';
import { type Phase, phases } from '../migration/index.ts';

/** A question of one's own. A throw, no answer within `gates.answerMsMax`, or an answer of another form is `unknown`. */
export interface CustomGate {
  /** Lower-case words with `-`, and not the name of a standard gate: what `--override` names. */
  readonly name: string;
  /** For people. */
  readonly question: string;
  /** The phases whose entry it guards. */
  readonly before: readonly Phase[];
  /** False: `--override` is refused. Default true. */
  readonly overridable?: boolean;
  /** Changes nothing. May run at any time and several times at once: `status`, `plan`, `gate` and `advance` ask it. */
  evaluate(input: GateInput): Promise<GateAnswer> | GateAnswer;
}

/** As a list that says before which phases, or by phase. */
export type CustomGates = readonly CustomGate[] | Partial<Readonly<Record<Phase, readonly Gate[]>>>;

const isGate = (value: unknown): boolean =>
  typeof (value as { evaluate?: unknown } | null)?.evaluate === 'function';

const listed = v.array(
  v.custom(
    (value) => isGate(value) && Array.isArray((value as { before?: unknown }).before),
    'has to be a gate: { name, question, before, evaluate }',
  ),
  'has to be a list of gates { name, question, before, evaluate }, or lists of gates by phase',
);
const byPhase = v.strictObject(
  Object.fromEntries(
    phases.map((phase) => [
      phase,
      v.optional(
        v.array(
          v.custom(isGate, 'has to be a gate: { name, question, overridable, evaluate }'),
          'has to be a list of gates',
        ),
      ),
    ]),
  ),
);

/** A union would report the failure of every branch; the user meant one of them. */
export const customGatesSchema = v.lazy(
  (input): v.GenericSchema => (Array.isArray(input) ? listed : byPhase) as v.GenericSchema,
);

/** What is wrong with them beyond their form, each in a sentence. */
export function customGateProblems(gates: CustomGates): readonly string[] {
  const found: string[] = [];
  for (const [phase, own] of Object.entries(gatesByPhase(gates))) {
    const names = new Set<string>();
    for (const { name } of own ?? []) {
      const at = `"customGates": the gate "${name}" before ${phase}`;
      if (typeof name !== 'string' || !/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name))
        found.push(`${at} needs a name of lower-case words with "-" between them.`);
      else if (standardGateNames.has(name)) found.push(`${at} has the name of a standard gate.`);
      else if (names.has(name)) found.push(`${at} is there twice.`);
      names.add(name);
    }
    if (!phases.some((one) => one === phase))
      found.push(`"customGates": there is no phase "${phase}".`);
  }
  return found;
}

/** Phase → the gates before it, in the order of the configuration. */
export function gatesByPhase(
  gates: CustomGates,
): Partial<Readonly<Record<Phase, readonly Gate[]>>> {
  if (!isList(gates)) return gates;
  const lists: Partial<Record<Phase, readonly Gate[]>> = {};
  for (const own of gates) {
    const { name, question, overridable = true } = own;
    const gate: Gate = {
      name,
      question,
      overridable,
      evaluate: async (input) => own.evaluate(input),
    };
    for (const phase of own.before) lists[phase] = [...(lists[phase] ?? []), gate];
  }
  return lists;
}

const isList = (gates: CustomGates): gates is readonly CustomGate[] => Array.isArray(gates);
