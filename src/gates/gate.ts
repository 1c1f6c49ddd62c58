import type { MigrationContext } from '../control/index.ts';
import type { MigrationState, Phase } from '../migration/index.ts';
import type { GateProfile } from './profile.ts';

/** `unknown` (no data, or a store that does not answer) is never pass. */
export type GateVerdict = 'pass' | 'fail' | 'unknown';

/** What a gate says, with what it saw. */
export interface GateAnswer {
  readonly verdict: GateVerdict;
  /** What was seen, with values, and what to do when it is not a pass. */
  readonly message: string;
  /** JSON-able facts; goes into the audit with the advance. */
  readonly evidence: Readonly<Record<string, unknown>>;
}

/** What a gate may look at: the migration, the state that the answer is bound to, and the thresholds. */
export interface GateInput {
  readonly context: MigrationContext;
  readonly state: MigrationState;
  /** The phase that somebody wants to enter. */
  readonly to: Phase;
  readonly profile: GateProfile;
}

/** A question with evidence. `evaluate` changes nothing; a throw counts as `unknown`. */
export interface Gate {
  /** Stable, kebab-case: what `--override` names. */
  readonly name: string;
  /** The question, for people. */
  readonly question: string;
  /** False: an override is refused (a dead letter at the write switch would be re-read from the wrong store). */
  readonly overridable: boolean;
  evaluate(input: GateInput): Promise<GateAnswer>;
}

/** One gate's answer, by name. */
export interface GateResult extends GateAnswer {
  readonly gate: string;
  readonly question: string;
  readonly overridable: boolean;
}
