import type { FieldDifference, MismatchClass } from '../record/index.ts';
import type { MismatchDecision } from './mismatch-life.ts';

export type MismatchKind = 'missing' | 'extra' | 'different';

/**
 * `suspect`: seen once, waits for its recheck. `open`: confirmed by recheck. `investigating`: somebody is at it. `explained`: it may stay as it
 * is until a day that was named. `repaired`: the follower was made to agree. `recurring`: it was explained or repaired, and is there again.
 */
export type MismatchStatus =
  | 'suspect'
  | 'open'
  | 'investigating'
  | 'explained'
  | 'repaired'
  | 'recurring';

/** What a detector tells of one key. Statuses that people give are taken for `open`. */
export interface Mismatch {
  readonly collection: string;
  /** Encoded key. */
  readonly key: string;
  readonly kind: MismatchKind;
  /** Absent: the detector has not looked; the kind says it, or `unknown`. */
  readonly class?: MismatchClass;
  readonly status: MismatchStatus;
  /** What saw it first. */
  readonly detector: string;
  readonly differences: readonly FieldDifference[];
  /** The version at which the authority's record was re-read, and the follower's fence, at the last exact look; absent: not looked. */
  readonly versions?: MismatchVersions;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  readonly rechecks: number;
  readonly note: string;
}

export interface MismatchVersions {
  readonly authority: string;
  /** null: no change has come through the door, or its fence was pruned. */
  readonly follower: string | null;
}

/** What the ledger keeps of one key. */
export interface MismatchLine extends Mismatch {
  readonly class: MismatchClass;
  readonly owner: string | null;
  readonly ticket: string | null;
  /** Until when the explanation stands; then it counts as open. */
  readonly expiresMs: number | null;
  /** What was explained: another kind, class or other fields are not. */
  readonly explainedAs: MismatchLook | null;
  /** What it was before it was seen again. */
  readonly before: 'explained' | 'repaired' | null;
  /** Changes of status, oldest first, the last `turnsMax`. */
  readonly turns: readonly MismatchTurn[];
}

/** How a mismatch looks, without values. */
export interface MismatchLook {
  readonly kind: MismatchKind;
  readonly class: MismatchClass;
  /** Sorted, without the keys of child rows. */
  readonly fields: readonly string[];
}

export interface MismatchTurn {
  readonly atMs: number;
  readonly status: MismatchStatus;
  /** A person, or a detector. */
  readonly by: string;
}

export interface MismatchPlace {
  readonly collection: string;
  readonly key: string;
}

/** A place that agrees, as a look found it that began when its line had last been seen at `seenMs`. Absent: whenever. */
export interface MismatchGone extends MismatchPlace {
  readonly seenMs?: number;
}

/** `unexplained`: open, investigating, recurring, and explained ones that have expired: what a gate asks for. */
export type MismatchCondition = MismatchStatus | 'unexplained';

export interface MismatchFilter {
  readonly status?: MismatchCondition;
  readonly collection?: string;
  readonly class?: MismatchClass;
  /** `name`, or `child.column`. */
  readonly field?: string;
  readonly detector?: string;
  /** Behind this line, in the order of the list. */
  readonly after?: Pick<MismatchLine, 'firstSeenMs' | 'collection' | 'key'>;
  /** Another order: what was seen longest ago first, then by collection and key; behind this line, null: from the beginning. */
  readonly lastSeen?: {
    readonly after: Pick<MismatchLine, 'lastSeenMs' | 'collection' | 'key'> | null;
  };
  readonly limit: number;
}

/** Lines that look alike. */
export interface MismatchTally {
  readonly collection: string;
  /** An explanation that has expired is told as `open`. */
  readonly status: MismatchStatus;
  readonly kind: MismatchKind;
  readonly class: MismatchClass;
  readonly fields: readonly { readonly field: string; readonly class: MismatchClass }[];
  readonly count: number;
}

/** One row per (migration, collection, key). What becomes of a line is decided in `mismatch-life.ts`, in one transaction with its row. */
export interface MismatchLedger {
  /** Inserts, or brings up to date what is there (`seenAgain`). Answers with the lines that became `recurring`. */
  record(migration: string, mismatches: readonly Mismatch[]): Promise<readonly MismatchLine[]>;
  /**
   * They agree now: forgotten, or what they were before they were seen again. A line that was seen after `seenMs` stays as it is: that is another
   * suspicion, which the look did not answer.
   */
  gone(migration: string, places: readonly MismatchGone[]): Promise<void>;
  /** No longer of interest: forgotten, whatever they were. */
  drop(migration: string, places: readonly MismatchPlace[]): Promise<void>;
  /**
   * What a person decides, for all of them or for none. Answers with the lines as they are now; places that the ledger does not know are left out.
   * Errors: CONFIG_INVALID for what `decided` refuses.
   */
  decide(
    migration: string,
    places: readonly MismatchPlace[],
    decision: MismatchDecision,
  ): Promise<readonly MismatchLine[]>;
  /** null: not known. */
  find(migration: string, place: MismatchPlace): Promise<MismatchLine | null>;
  /** Oldest first, then by collection and key, unless the filter asks for the order of the last sight. */
  list(migration: string, filter: MismatchFilter): Promise<readonly MismatchLine[]>;
  count(migration: string, status: MismatchCondition): Promise<number>;
  /** How many lines look alike, by collection, status, kind, class and fields; most first. */
  tally(migration: string): Promise<readonly MismatchTally[]>;
}
