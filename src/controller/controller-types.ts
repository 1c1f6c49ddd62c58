import type { Following } from '../capture/index.ts';
import type { AuditEntry, BackfillCheckpoint, ForeignGuard, Instance } from '../control/index.ts';
import type {
  CutoverLimits,
  CutoverStep,
  DrainQueue,
  Obstacle,
  ResumeResult,
  SwitchRehearsal,
  SwitchResult,
} from '../cutover/index.ts';
import type { Gate, GateForecast, GateProfile, GateResult, GateVerdict } from '../gates/index.ts';
import type { LogRetention } from '../log/index.ts';
import type { MigrationState, Phase, Side } from '../migration/index.ts';
import type { QueueDepth } from '../queue/index.ts';
import type { GuardState, RogueLook } from '../store/index.ts';
import type { DrillResult } from './drill-rollback.ts';
import type { GapDesk } from './gap-desk.ts';
import type { LastDrill } from './last-drill.ts';
import type { RescueOptions, RescueSurvey } from './rescue-migration.ts';

/** Who acts and why; both go into the audit. */
export interface Act {
  /** user@host, or an instance. */
  readonly actor: string;
  readonly reason: string;
}

export interface ControllerOptions {
  /** Thresholds. Default: `defaultProfile`. */
  readonly profile?: GateProfile;
  /** Further gates per phase that is to be entered. */
  readonly gates?: Partial<Readonly<Record<Phase, readonly Gate[]>>>;
  readonly cutover?: Partial<CutoverLimits>;
  /** The worker's drain. Without it a change of authority needs a worker that runs elsewhere. */
  readonly drain?: DrainQueue;
  /** The verifier's recheck of suspect keys, for the write switch. */
  readonly recheck?: (signal: AbortSignal) => Promise<unknown>;
  /** See `SwitchOptions.onStep`. */
  readonly onStep?: (step: CutoverStep, attempt: string) => Promise<void> | void;
}

export interface StartOptions extends Act {
  /** Begin with `shadow-write`. */
  readonly shadow?: boolean;
  /** Consent: rows in the target's tables are deleted. */
  readonly truncateTarget?: boolean;
  /** Rows in the target's tables stay; verify and repair must make them right. */
  readonly reconcile?: boolean;
}

export interface AdvanceOptions extends Act {
  /** Default: the one next phase. */
  readonly to?: Phase;
  /** The state version that the operator has looked at; another one is STATE_CHANGED. */
  readonly expectedVersion?: number;
  /** Gate name → reason. Only for gates that are overridable; at the write switch `predicted-pause` as well. */
  readonly overrides?: Readonly<Record<string, string>>;
}

/** May we enter `to`? Bound to one state version. */
export interface Plan {
  readonly stateVersion: number;
  readonly from: Phase;
  readonly to: Phase;
  /** The worst of the gates; `pass` when there is none. */
  readonly verdict: GateVerdict;
  readonly gates: readonly GateResult[];
  /** Name of the thresholds. */
  readonly profile: string;
  /** What approvals of this plan are bound to: state, comparator, thresholds and gates, but not what these answer. */
  readonly hash: string;
  /** When all gates can pass at the earliest; null: they do. */
  readonly earliest: GateForecast | null;
}

export interface ApproveOptions extends Act {
  /** Default: the one next phase. */
  readonly to?: Phase;
}

/** An approval that stands in the audit, and the plan that it is bound to, with the gates as they answered at that moment. */
export interface ApproveResult {
  readonly plan: Plan;
  readonly by: string;
}

export interface AdvanceResult {
  readonly state: MigrationState;
  readonly gates: readonly GateResult[];
  /** Present when the advance was a change of authority. */
  readonly cutover?: SwitchResult;
}

export interface RollbackOptions extends Act {
  /** Default: `read-switch` with dial 0 while the dial is up or the target is the authority, else the phase before. */
  readonly to?: Phase;
}

export interface AbortOptions extends Act {
  /**
   * The control store that set the guards is lost for good and every process is stopped: what it left is removed as well. Only in `off`,
   * as a new control store shows.
   */
  readonly takeOver?: boolean;
}

export interface RollbackResult {
  readonly state: MigrationState;
  /** Until the state was durable: instances follow in < 1 s. With a change of authority: all of it. */
  readonly ms: number;
  readonly cutover?: SwitchResult;
  /** An interrupted change of authority whose guards could not be reached yet; `resumeCutover` goes on. */
  readonly pending: string | null;
}

export interface FleetGroup {
  readonly stateVersion: number;
  readonly instances: readonly (Instance & { readonly alive: boolean })[];
}

export interface SideStatus {
  readonly engine: string;
  readonly role: 'authority' | 'follower';
  /** False: nothing of ours is in this store; null: it did not answer. */
  readonly installed: boolean | null;
  /** null: not installed, or the store did not answer, see `error`. */
  readonly guard: GuardState | null;
  readonly queue: QueueDepth | null;
  readonly error: string | null;
}

/** Where the follower stands in the authority's log. */
export interface LogStatus {
  /** Of the follower, and of the end of the log a moment later; null: no answer, see `error`. */
  readonly position: string | null;
  readonly end: string | null;
  /** The follower stands at the end. */
  readonly level: boolean;
  readonly retention: LogRetention | null;
  readonly error: string | null;
}

/** How the way back stands. Before the write switch it needs the control store alone. */
export interface RollbackReadiness {
  readonly ready: boolean;
  readonly to: Phase | null;
  /** Estimate until reads are served by the source on all reachable instances; null: never. */
  readonly readsMs: number | null;
  /** Estimate until writes go to the source; null: not before what `message` says. */
  readonly writesMs: number | null;
  readonly message: string;
  /** Why it is not ready, each with what to do. */
  readonly obstacles: readonly Obstacle[];
}

/** Where are we, may we advance, why not, how fast can we undo. Stores that are down show as `error`, never as a throw. */
export interface Status {
  readonly observedAtMs: number;
  readonly state: MigrationState;
  /** Newest version first. */
  readonly fleet: readonly FleetGroup[];
  readonly sides: Readonly<Record<Side, SideStatus>>;
  /** null: nothing is captured from the log, or nobody follows it in this phase. */
  readonly log: LogStatus | null;
  /** Queue, workers and failures of the direction that is followed: forward before the write switch, reverse after it. null: nobody follows. */
  readonly following: Following | null;
  /** Of this generation. */
  readonly backfill: readonly BackfillCheckpoint[];
  readonly mismatches: { readonly suspect: number; readonly open: number };
  /** Not null: a guard that this control store cannot have set. Nothing else here can be trusted then. */
  readonly foreign: ForeignGuard | null;
  /** null when there is no next phase. */
  readonly next: Plan | null;
  readonly rollback: RollbackReadiness;
  /** Of this generation; null: none. */
  readonly lastDrill: LastDrill | null;
  /** Foreign writes to the follower; null: nobody follows, the store does not tell, or it does not answer. */
  readonly rogues: (RogueLook & { readonly side: Side }) | null;
}

/** The operator's side of a migration. Every method re-reads the state; nothing is cached. */
export interface Controller {
  /** Needs the control store only; CONTROL_UNAVAILABLE otherwise. */
  status(): Promise<Status>;
  /** Evaluates the gates now; changes nothing. `requester`: who would advance, and so may not be among the approvers. */
  plan(to?: Phase, requester?: string): Promise<Plan>;
  /**
   * Puts into the audit that `actor` approves the step as it is planned now. It holds for this state version, comparator, thresholds and gates, for
   * `approvals.validMinutes`. CONFIG_INVALID without a name and a reason; TRANSITION_REFUSED.
   */
  approve(options: ApproveOptions): Promise<ApproveResult>;
  /**
   * Installs both stores and leaves `off`. Idempotent up to the change of state. LEFTOVERS_FOUND when the target holds rows or a guard
   * of something else; CONTROL_MISMATCH when another control store runs this migration; FLEET_NOT_ACKNOWLEDGED when an instance may still work for an earlier generation.
   */
  start(options: StartOptions): Promise<MigrationState>;
  /**
   * One phase forward, gates evaluated at this moment and bound to the state version by compare-and-set.
   * GATE_FAILED, STATE_CHANGED, TRANSITION_REFUSED; CUTOVER_ABORTED when a write switch undid itself.
   */
  advance(options: AdvanceOptions): Promise<AdvanceResult>;
  /** `percent`: 0 … 100 in steps of 0.01. Segments that are not given stay. */
  dial(percent: number, segments: readonly string[] | undefined, act: Act): Promise<MigrationState>;
  /** Holds background work (backfill, verify, repair); live writes go on. */
  hold(act: Act): Promise<MigrationState>;
  resume(act: Act): Promise<MigrationState>;
  /**
   * Backward. Never gated, and with the source as authority it needs the control store alone. From `write-switch` it is a change of
   * authority: REVERSE_NOT_DRAINED when the source lacks changes after a bounded wait.
   */
  rollback(options: RollbackOptions): Promise<RollbackResult>;
  /**
   * What a change of authority would do, what it would meet, and how long it would hold writes. Changes nothing but a mark in the log. `to`: the side that
   * would become the authority; default: the other one.
   */
  rehearse(to?: Side): Promise<SwitchRehearsal>;
  /**
   * Proves the way back without going it: every instance acknowledges a new state version; one existing record of each collection goes once more through the queue,
   * the worker and the door, unchanged; both guards are taken under lock and left as they are; privileges and sequences are looked at. In the audit as
   * `rollback-drill`. TRANSITION_REFUSED in `off`, `retired` and during a change of authority.
   */
  drill(act: Act): Promise<DrillResult>;
  /** What a rescue would find and leave behind; changes nothing. */
  surveyRescue(to?: Phase): Promise<RescueSurvey>;
  /** Authority back to the source now, without the reverse direction drained. See `rescueMigration`. */
  rescue(options: RescueOptions): Promise<SwitchResult>;
  /** What a rescue left behind. */
  readonly gap: GapDesk;
  /**
   * Ends the attempt: `off`, then everything of ours is removed from both stores. Repeat it when it throws half-way. CONTROL_MISMATCH when
   * another control store runs this migration: its journal would be lost.
   */
  abort(options: AbortOptions): Promise<MigrationState>;
  /** Removes everything of ours from both stores; only in `off` and `retired`, once the fleet has acknowledged. */
  decommission(act: Act): Promise<MigrationState>;
  /** Who wrote to the follower without being the door; null: nobody follows, or the store does not tell. */
  rogueWrites(limit?: number): Promise<(RogueLook & { readonly side: Side }) | null>;
  /** The operator's word that these writes are known and do no harm, or were put right. The word goes into the audit first. How many notes went. */
  acknowledgeRogueWrites(act: Act): Promise<number>;
  /** The operator's word that this instance does not run any more. */
  attestGone(instance: string, act: Act): Promise<void>;
  /** Every registered router acknowledges ≥ version. FLEET_NOT_ACKNOWLEDGED names those that do not. */
  waitForAcknowledgements(version: number, options: AcknowledgementOptions): Promise<void>;
  /**
   * Adopts what a dead coordinator left: undoes an attempt that did not commit, settles one that did. Where nothing is under way, hooks let traffic
   * go to the authority, also when no mark says that it is held.
   */
  resumeCutover(options?: { readonly force?: boolean }): Promise<ResumeResult>;
  /** Newest first. Default limit 100. */
  history(limit?: number): Promise<readonly AuditEntry[]>;
}

export interface AcknowledgementOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** `ignore`: an instance whose lease has expired is not waited for. Default `wait`: only attested or deregistered ones are not. */
  readonly expired?: 'ignore' | 'wait';
}
