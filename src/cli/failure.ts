import { type ErrorCode, errorCatalogue } from '../errors/index.ts';
import type { CommandResult } from './result.ts';
import { type Verdict, verdictOfError } from './verdict.ts';

/** The parts of a ChangeoverError. By shape: a configuration may bring another copy of the library. */
interface OurError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Our error inside anything that was thrown; null: it is none of ours. */
export function asOurError(error: unknown): OurError | null {
  if (!(error instanceof Error) || error.name !== 'ChangeoverError') return null;
  const { code, message, data } = error as Error & Partial<OurError>;
  return code !== undefined && code in errorCatalogue ? { code, message, data: data ?? {} } : null;
}

/** What went wrong, as the result of the command. A GATE_FAILED whose gates only lack data answers `unknown`. */
export function failureOf(error: unknown): CommandResult {
  const ours = asOurError(error);
  if (ours === null) return defect(error);
  const { code, message, data } = ours;
  return {
    kind: 'error',
    verdict: gateVerdict(ours) ?? verdictOfError[code],
    stateVersion: null,
    data: { ...data, code, message, action: errorCatalogue[code].action },
    next: hints[code] ?? [],
    text: code === 'GATE_FAILED' ? gateLines(message) : [message],
  };
}

/** One line for each gate that is not passed. */
const gateLines = (message: string): readonly string[] =>
  message.replace(/(not passed:|\);) (?=[\w-]+ (?:fail|unknown) \()/g, '$1\n  ').split('\n');

function gateVerdict({ code, message }: OurError): Verdict | null {
  if (code !== 'GATE_FAILED') return null;
  return / fail \(/.test(message) ? 'no' : 'unknown';
}

const hints: Partial<Readonly<Record<ErrorCode, readonly string[]>>> = {
  GATE_FAILED: ['changeover plan'],
  STATE_CHANGED: ['changeover plan'],
  TRANSITION_REFUSED: ['changeover status'],
  FLEET_NOT_ACKNOWLEDGED: ['changeover status', 'changeover attest-gone INSTANCE --reason TEXT'],
  LEFTOVERS_FOUND: ['changeover start --truncate-target', 'changeover start --reconcile'],
  CONTROL_MISMATCH: ['changeover status'],
  STORE_RESTORED: ['changeover rescue collect --sweep', 'changeover verify'],
  REVERSE_NOT_DRAINED: ['changeover dlq list', 'changeover run'],
  CUTOVER_ABORTED: ['changeover status'],
  PAUSE_TOO_LONG: ['changeover switch-writes --dry-run'],
};

/** Something that no command expects: a bug of ours, or of a transform or gate of the user. */
function defect(error: unknown): CommandResult {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    kind: 'error',
    verdict: 'bug',
    stateVersion: null,
    data: { code: 'BUG', message: text },
    next: [],
    text: [`Unexpected: ${text}`, errorCatalogue.BUG.action],
  };
}

/** A question that nobody is there to answer. */
export function needsConfirmation(what: string, state: number | null): CommandResult {
  return {
    kind: 'confirmation',
    verdict: 'refused',
    stateVersion: state,
    data: { question: what },
    next: [],
    text: [`${what} Nobody is there to ask: repeat the command with --yes.`],
  };
}
