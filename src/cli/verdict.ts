import type { ErrorCode } from '../errors/index.ts';

/** How a command ended. `done`: it did what was asked; `yes`, `no`, `unknown`: it answered. */
export type Verdict =
  | 'done'
  | 'yes'
  | 'no'
  | 'unknown'
  | 'usage'
  | 'refused'
  | 'unreachable'
  | 'partial'
  | 'bug';

/** Exit codes; part of the public API. */
export const exitCodes: Readonly<Record<Verdict, number>> = {
  done: 0,
  yes: 0,
  no: 1,
  usage: 2,
  unknown: 3,
  refused: 4,
  unreachable: 5,
  partial: 6,
  bug: 70,
};

/** What an exit code says: in a word for the help, in a sentence for the reference. */
export const exitCodeMeanings: Readonly<
  Record<number, { readonly short: string; readonly long: string }>
> = {
  0: { short: 'yes or done', long: 'The answer is yes, or what was asked for is done.' },
  1: { short: 'no', long: 'The answer is no: a gate fails, records differ, a switch was undone.' },
  2: {
    short: 'usage or configuration',
    long: 'The command line or the configuration is wrong; nothing was changed.',
  },
  3: { short: 'unknown', long: 'There is no answer yet: data is missing. Never a yes.' },
  4: {
    short: 'refused',
    long: 'Not from here, not without an answer (`--yes`), or the state has changed meanwhile (`--expect`); nothing was changed.',
  },
  5: { short: 'store unreachable', long: 'A store or the control store does not answer.' },
  6: { short: 'partial', long: 'A part is done or answered; the output says which part is left.' },
  70: { short: 'bug', long: 'A defect of changeover, of a transform or of a gate.' },
};

/** What each error means for a caller of the command line. */
export const verdictOfError: Readonly<Record<ErrorCode, Verdict>> = {
  CONFIG_INVALID: 'usage',
  KEY_INVALID: 'usage',
  VALUE_INVALID: 'usage',
  COLLECTION_UNKNOWN: 'usage',
  TOKEN_INVALID: 'usage',
  TOKEN_GAP: 'usage',
  TRANSFORM_FAILED: 'usage',
  MAPPING_REFUSED: 'usage',
  STORE_REJECTED: 'usage',
  STATE_CHANGED: 'refused',
  TRANSITION_REFUSED: 'refused',
  LEFTOVERS_FOUND: 'refused',
  CONTROL_MISMATCH: 'refused',
  STORE_RESTORED: 'refused',
  AUTHORITY_FENCED: 'refused',
  DOOR_SHUT: 'refused',
  GATE_FAILED: 'no',
  FLEET_NOT_ACKNOWLEDGED: 'no',
  REVERSE_NOT_DRAINED: 'no',
  CUTOVER_ABORTED: 'no',
  PAUSE_TOO_LONG: 'no',
  FOLLOWER_FAILED: 'no',
  HOLD_EXPIRED: 'no',
  CHUNK_LOST: 'no',
  CHECKPOINT_MOVED: 'no',
  LOG_LOST: 'no',
  LOG_UNSUPPORTED: 'usage',
  SCHEMA_CHANGED: 'no',
  STORE_CONFLICT: 'no',
  OUTCOME_UNKNOWN: 'unknown',
  CONTROL_UNAVAILABLE: 'unreachable',
  STORE_UNAVAILABLE: 'unreachable',
  DEADLINE_EXCEEDED: 'unreachable',
  CLOSED: 'bug',
  BUG: 'bug',
};
