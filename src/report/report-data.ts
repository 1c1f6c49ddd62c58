import type { GateVerdict } from '../gates/index.ts';
import type { Phase, Side } from '../migration/index.ts';
import type { ProgrammeStatus } from './programme.ts';

/** Raised when a reader of the JSON would notice. */
export const reportSchemaVersion = 1;

/** All that a report says, with nothing that is only for the eye. Times are epoch milliseconds; no row values, no secrets. */
export interface ReportData {
  readonly subject: ReportSubject;
  readonly verdict: ReportVerdict;
  readonly history: readonly PhaseStep[];
  readonly decisions: readonly Decision[];
  readonly collections: readonly CollectionFacts[];
  readonly proofs: readonly ProofFacts[];
  readonly parity: readonly ParityFacts[];
  readonly mismatches: MismatchFacts;
  readonly repairs: readonly NoteFacts[];
  readonly pipeline: PipelineFacts;
  readonly wayBack: WayBackFacts;
  readonly intruders: IntruderFacts;
  readonly fleet: readonly FleetFacts[];
  readonly programme: ProgrammeStatus;
  readonly gates: GateFacts | null;
  readonly unchecked: readonly Unchecked[];
  readonly series: readonly Series[];
}

export interface ReportSubject {
  readonly schemaVersion: number;
  readonly migration: string;
  readonly observedAtMs: number;
  /** What happened before is left out of history, decisions, evidence and plots; null: nothing is. */
  readonly sinceMs: number | null;
  readonly by: string;
  readonly phase: Phase;
  readonly stateVersion: number;
  readonly generation: number;
  readonly epoch: number;
  readonly dialBasisPoints: number;
  readonly authority: Side;
  readonly source: string;
  readonly target: string;
  readonly control: string;
  /** The oldest lines of the audit were not read. */
  readonly auditCut: boolean;
}

/** `proven`: all that was asked for was compared and is equal. `open`: nothing speaks against it, but not all is proven. `differs`: records differ. */
export interface ReportVerdict {
  readonly level: 'proven' | 'open' | 'differs';
  readonly title: string;
  readonly statements: readonly string[];
  /** The moment up to which it is proven; null: not at all. */
  readonly provenUntilMs: number | null;
}

/** A step from phase to phase. */
export interface PhaseStep {
  readonly atMs: number;
  readonly stateVersion: number;
  readonly action: string;
  readonly from: string;
  readonly to: string;
  readonly actor: string;
  readonly reason: string;
  readonly profile: string | null;
  readonly gates: readonly StepGate[];
}

/** A gate as it answered when the step was made. */
export interface StepGate {
  readonly gate: string;
  readonly verdict: string;
  readonly message: string;
  /** Why it did not have to pass; null: it was not overridden. */
  readonly override: string | null;
}

/** A word of a person: an override, an approval, an attestation, an acknowledgement. */
export interface Decision {
  readonly atMs: number;
  readonly kind: string;
  readonly what: string;
  readonly actor: string;
  readonly reason: string;
}

export interface CollectionFacts {
  readonly collection: string;
  readonly sourceTable: string;
  readonly targetTable: string;
  readonly capture: string;
  readonly transformed: boolean;
  readonly transformVersion: number;
  readonly shadowReadSample: number;
  readonly ignored: readonly {
    readonly field: string;
    readonly reason: string;
    readonly until: string;
  }[];
  readonly backfill: {
    readonly rowsRead: number;
    readonly rowsInserted: number;
    readonly rowsDead: number;
    readonly startedAtMs: number;
    readonly finishedAtMs: number | null;
  } | null;
}

/** A verification, as the audit has it. */
export interface ProofFacts {
  readonly atMs: number;
  readonly actor: string;
  readonly collections: readonly string[];
  /** `recheck`, `aligned`, or what the verifier called it. */
  readonly kind: string;
  readonly extent: string;
  readonly finished: boolean;
  readonly compared: number | null;
  /** Records that differed for good, or could not be decided. */
  readonly open: number;
  readonly startedAtMs: number;
  /** Collections of which it proves nothing any more: another comparator than that of now, or the follower has missed changes since. */
  readonly outdated: readonly string[];
  /** Whatever else the verifier noted: positions, digests, comparator. */
  readonly more: Readonly<Record<string, string>>;
}

/** Comparisons of one collection by one detector in one window, and what they prove. */
export interface ParityFacts {
  readonly collection: string;
  readonly detector: string;
  readonly window: string;
  readonly fromMs: number;
  readonly untilMs: number;
  readonly compared: number;
  /** Different records in different versions, mismatches included: what a bound may count. null: all records were compared, it is no sample. */
  readonly independent: number | null;
  readonly mismatches: number;
  readonly undecided: number;
  readonly shed: number;
  readonly timedOut: number;
  readonly failed: number;
  /** Compared in this window by another comparator, mapping or transform: they prove nothing any more. */
  readonly byOthers: number;
  /** Compared share of what should have been compared; null: nothing should. */
  readonly coverage: number | null;
  readonly confidence: number;
  /** The share of equal answers that is proven; null: see `independent`. */
  readonly bound: number | null;
  readonly arithmetic: string;
}

export interface MismatchFacts {
  /** Nobody has explained or repaired them; explanations that have expired count. */
  readonly unexplained: number;
  readonly byStatus: Readonly<Record<string, number>>;
  readonly rows: readonly {
    readonly collection: string;
    readonly class: string;
    readonly field: string;
    readonly status: string;
    readonly count: number;
  }[];
  /** Collection and key, where they were asked for. */
  readonly keys: readonly {
    readonly collection: string;
    readonly key: string;
    readonly status: string;
  }[];
}

/** A line of the audit in words. */
export interface NoteFacts {
  readonly atMs: number;
  readonly actor: string;
  readonly action: string;
  readonly reason: string;
  readonly detail: Readonly<Record<string, string>>;
}

export interface PipelineFacts {
  readonly sides: readonly {
    readonly side: Side;
    readonly role: string;
    readonly waiting: number | null;
    readonly dead: number | null;
    readonly oldestMs: number | null;
    readonly error: string | null;
  }[];
  readonly deadLetters: readonly {
    readonly side: Side;
    readonly collection: string;
    readonly reason: string;
    readonly count: number;
  }[];
  readonly log: string | null;
}

export interface WayBackFacts {
  readonly ready: boolean;
  readonly message: string;
  readonly readsMs: number | null;
  readonly writesMs: number | null;
  readonly switches: readonly {
    readonly atMs: number;
    readonly attempt: string;
    readonly outcome: string;
    readonly predictedMs: number | null;
    readonly actualMs: number | null;
    readonly budgetMs: number | null;
  }[];
  readonly drills: readonly {
    readonly atMs: number;
    readonly actor: string;
    readonly ok: boolean;
    readonly phase: string;
    readonly spreadMs: number | null;
    readonly arrivalMs: number | null;
    readonly estimateMs: number | null;
    readonly failed: readonly string[];
  }[];
  readonly rollbacks: readonly PhaseStep[];
}

export interface IntruderFacts {
  /** null: nobody follows, or the store does not tell. */
  readonly watched: {
    readonly side: Side;
    readonly total: number;
    readonly blind: string | null;
  } | null;
  readonly notes: readonly NoteFacts[];
}

export interface FleetFacts {
  readonly id: string;
  readonly label: string;
  readonly kind: string;
  readonly acknowledgedVersion: number;
  readonly alive: boolean;
  readonly lastSeenMs: number;
}

/** The gates before the next phase, at the moment of the report. */
export interface GateFacts {
  readonly to: string;
  readonly verdict: GateVerdict;
  readonly profile: string;
  readonly gates: readonly {
    readonly gate: string;
    readonly verdict: string;
    readonly message: string;
    readonly overridable: boolean;
  }[];
}

/** Something that nobody looked at, or that a proof does not cover. */
export interface Unchecked {
  readonly what: string;
  readonly why: string;
}

/** A line of a plot: `[epoch minute, value]`, ascending. */
export interface Series {
  readonly plot: 'parity' | 'latency' | 'lag' | 'backlog';
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}
