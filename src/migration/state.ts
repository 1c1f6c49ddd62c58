import type { Phase, Side } from './phase.ts';

/** A change of authority under way. Present from `cutover-begin` until its commit or until its abort has been undone. */
export interface CutoverState {
  /** Unique id of this attempt. */
  readonly attempt: string;
  /** The process that drives it. */
  readonly owner: string;
  /** The side that becomes the authority. */
  readonly to: Side;
  /** The phase after the commit. `write-switch` when `to` is the target, an earlier one otherwise. */
  readonly phaseAfter: Phase;
  /** The epoch that the new authority will have: current epoch + 1. */
  readonly epoch: number;
  /** Instances hold new writes while this is true. */
  readonly writesHeld: boolean;
  /** `aborting`: may never commit any more; somebody has to undo the guards and then say `cutover-undone`. */
  readonly status: 'running' | 'aborting';
  /** Present: back to the source without a drain. `unreachable`: its steps leave the target's guard alone. */
  readonly rescue?: RescueKind;
}

/** `sealed`: the target answers, and is sealed before authority moves. `unreachable`: it is sealed when it answers again. */
export type RescueKind = 'sealed' | 'unreachable';

/** Writes that the target acknowledged as the authority and that a rescue left behind. Present from its commit until every record is decided. */
export interface GapState {
  /** The attempt that opened it; the name of its records in the gap ledger. */
  readonly rescue: string;
  /** The epoch of the writes in it. */
  readonly epoch: number;
  /** `uncollected`: nothing may enter the target, it still has what nobody else has. `collected`: that is safe, forward runs again. */
  readonly stage: 'uncollected' | 'collected';
}

/** The durable state of one migration: one row in the control store, changed only by compare-and-set. */
export interface MigrationState {
  /**
   * Format of this object; readers refuse formats they do not know. 2 while a rescue is under way or its gap is open: an older release would take the
   * sealed target for a leftover and open it.
   */
  readonly formatVersion: 1 | 2;
  readonly migration: string;
  /** One attempt of the migration; starting again after `off` is a new one. From 1. */
  readonly generation: number;
  /** State version: +1 with every change of this object. Instances acknowledge this number. */
  readonly version: number;
  readonly phase: Phase;
  /** Fencing token, +1 with every change of authority. From 1. */
  readonly epoch: number;
  /** Share of routing keys whose reads the target serves in `read-switch`, in hundredths of a percent: 0 … 10 000. */
  readonly dialBasisPoints: number;
  /** Segments whose reads the target serves in `read-switch`, whatever the dial says. Sorted. */
  readonly segments: readonly string[];
  /** The operator holds background work (backfill, verify, repair). Live writes go on. */
  readonly workHeld: boolean;
  readonly cutover: CutoverState | null;
  /** Absent: none is open. */
  readonly gap?: GapState;
}

/** The state of a migration that nobody has started. */
export function initialState(migration: string): MigrationState {
  return {
    formatVersion: 1,
    migration,
    generation: 1,
    version: 1,
    phase: 'off',
    epoch: 1,
    dialBasisPoints: 0,
    segments: [],
    workHeld: false,
    cutover: null,
  };
}
