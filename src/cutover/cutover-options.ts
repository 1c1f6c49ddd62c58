import type { MigrationState, Phase, RescueKind, Side } from '../migration/index.ts';
import type { PausePrediction } from './pause-prediction.ts';

/**
 * The named steps of a change of authority, in order. SPEC.md, section Cutover. At each name `onStep` is called *before* the step
 * runs, so that tests can stop or kill the process between any two.
 */
export const cutoverSteps = [
  'preflight',
  'begin',
  'arm',
  'hold',
  'acknowledge',
  'drain',
  'seal',
  'final-drain',
  'in-doubt',
  'sequences',
  'flip',
  'commit',
  'settle',
] as const;

export type CutoverStep = (typeof cutoverSteps)[number];

/** Empties the queue of `side` into the other store. Resolves when it is empty or nothing more is due; stops on the signal. */
export type DrainQueue = (side: Side, signal: AbortSignal) => Promise<unknown>;

/** Deadlines of a change of authority, all in milliseconds. */
export interface CutoverLimits {
  /** Budget from publishing the hold to the commit; beyond it the attempt is undone. Less than the routers' own hold, or their writes fail. */
  readonly holdMs: number;
  /** Until every live instance has acknowledged the hold; a part of `holdMs`. */
  readonly ackTimeoutMs: number;
  /** Before the hold, with writes flowing: until the queue is nearly empty and every instance was heard of lately. */
  readonly drainTimeoutMs: number;
  /** One wait for writers at a guard. */
  readonly lockTimeoutMs: number;
  /** Lease of the coordinator; after it, another process may undo the attempt. */
  readonly leaseMs: number;
  /** Budget of an undo. */
  readonly undoMs: number;
  /** Entries in the queue with which the hold may begin. */
  readonly waitingMax: number;
  /** Age of the oldest entry with which the hold may begin: older ones belong to a dead process and are hidden until their grace is over. */
  readonly oldestMsMax: number;
}

export const defaultCutoverLimits: CutoverLimits = {
  holdMs: 3_000,
  ackTimeoutMs: 2_000,
  drainTimeoutMs: 30_000,
  lockTimeoutMs: 500,
  leaseMs: 3_000,
  undoMs: 10_000,
  waitingMax: 1_000,
  oldestMsMax: 2_000,
};

/** A change of authority to make. */
export interface SwitchOptions extends Partial<CutoverLimits> {
  /** The side that becomes the authority. */
  readonly to: Side;
  /** `write-switch` when `to` is the target; an earlier phase, not `off`, otherwise. */
  readonly phaseAfter: Phase;
  /** To the source only: nothing is drained, and the target stays sealed. See `RescueKind`. */
  readonly rescue?: RescueKind;
  readonly actor: string;
  readonly reason: string;
  /** Goes into the audit entry of `cutover-begin` (gate results). */
  readonly evidence?: Readonly<Record<string, unknown>>;
  /** The state version that the decision was taken on; another one is STATE_CHANGED. */
  readonly expectedVersion?: number;
  /** Without it the engine waits for a worker elsewhere to empty the queue. */
  readonly drain?: DrainQueue;
  /** Rechecks suspect keys; called while writes are held and everything is drained. */
  readonly recheck?: (signal: AbortSignal) => Promise<unknown>;
  /** `require`: no suspect key may be left at the commit. Default: `require` to the target, `ignore` to the source. */
  readonly inDoubt?: 'require' | 'ignore';
  /**
   * What becomes of a predicted pause beyond `holdMs`: `refuse` before anything is begun (PAUSE_TOO_LONG), or `note` it in the journal only. Default: `refuse`
   * to the target, `note` to the source, which is never gated.
   */
  readonly prediction?: 'refuse' | 'note';
  /** Preflight only; nothing is changed. */
  readonly dryRun?: boolean;
  /** Called before each step; a throw is a failure of that step. */
  readonly onStep?: (step: CutoverStep, attempt: string) => Promise<void> | void;
}

/** How long one step took. */
export interface StepTiming {
  readonly step: CutoverStep;
  readonly ms: number;
}

/** A change of authority that was made (failures throw). */
export interface SwitchResult {
  readonly attempt: string;
  /** What the preflight expected of the pause; null: it could not be predicted. */
  readonly prediction: PausePrediction | null;
  readonly outcome: 'committed' | 'dry-run';
  /** From the publication of the hold to the commit, with a traffic hook to its release; 0 for a dry run. */
  readonly pauseMs: number;
  readonly steps: readonly StepTiming[];
  readonly state: MigrationState;
  /** False: committed, but a mark of the attempt is still in a guard, or traffic is still held, see `problem`; `resumeCutover` goes on. */
  readonly settled: boolean;
  /** What kept it from being settled, and what a person has to do meanwhile; null when it is. */
  readonly problem: string | null;
  /** What a traffic hook could not do on the way back, which goes on without it. Empty: nothing. */
  readonly notes: readonly string[];
}
