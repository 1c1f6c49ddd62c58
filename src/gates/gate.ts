import type { MigrationContext } from '../control/index.ts';
import type { MigrationState, Phase } from '../migration/index.ts';
import type { GateProfile } from './profile.ts';

/** `unknown` (no data, or a store that does not answer) is never pass. */
export type GateVerdict = 'pass' | 'fail' | 'unknown';

/** When a gate can pass at the earliest, if things go on as they do now. A prediction, never a promise. */
export interface GateForecast {
  /** Epoch milliseconds; null: it cannot be predicted, `text` says why. */
  readonly atMs: number | null;
  readonly text: string;
}

/** What a gate says, with what it saw. */
export interface GateAnswer {
  readonly verdict: GateVerdict;
  /** What was seen, with values, and what to do when it is not a pass. */
  readonly message: string;
  /** JSON-able facts; goes into the audit with the advance. */
  readonly evidence: Readonly<Record<string, unknown>>;
  /** Of a gate that does not pass; absent: it waits for somebody to act. */
  readonly earliest?: GateForecast | null;
}

/** A rehearsal of the way back, as a gate wants to know it. */
export interface GateDrill {
  readonly atMs: number;
  readonly ok: boolean;
  readonly phase: Phase;
  /** Checks that failed. */
  readonly failed: readonly string[];
}

/** What a gate may look at: the migration, the state that the answer is bound to, and the thresholds. */
export interface GateInput {
  readonly context: MigrationContext;
  readonly state: MigrationState;
  /** The phase that somebody wants to enter. */
  readonly to: Phase;
  readonly profile: GateProfile;
  /** Who wants to enter it, as the audit would name them; null: somebody only looks. */
  readonly requester: string | null;
  /** Names the plan: what approvals are bound to, see `planHash`. */
  readonly plan: string;
  /** The newest drill of this generation; null: none. */
  readonly lastDrill: () => Promise<GateDrill | null>;
}

/** A question with evidence. `evaluate` changes nothing; a throw counts as `unknown`. */
export interface Gate {
  /** Stable, kebab-case: what `--override` names. */
  readonly name: string;
  /** The question, for people. */
  readonly question: string;
  /** False: an override is refused (a dead letter at the write switch would be re-read from the wrong store). */
  readonly overridable: boolean;
  /** Whether the thresholds ask this question at all before this phase. Absent: they do. */
  readonly asked?: (profile: GateProfile, to: Phase) => boolean;
  evaluate(input: GateInput): Promise<GateAnswer>;
}

/** One gate's answer, by name. */
export interface GateResult extends GateAnswer {
  readonly gate: string;
  readonly question: string;
  readonly overridable: boolean;
  /** null: it passes. */
  readonly earliest: GateForecast | null;
}
