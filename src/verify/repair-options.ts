import type { MismatchKind } from '../control/index.ts';
import type { FieldDifference, Key } from '../record/index.ts';
import type { RecheckOptions } from './rechecker.ts';
import type { ScopeOptions, VerifyStop } from './verify-scope.ts';

export interface RepairOptions extends ScopeOptions {
  /** `propose` (default): says what `apply` would do, and writes nothing. */
  readonly mode?: 'propose' | 'apply';
  /** Also delete records that only the follower has. Default false. */
  readonly deleteExtras?: boolean;
  /** Keys per second, at most. Default: the collection's, else 100. */
  readonly ratePerSecond?: number;
  /**
   * Repair stops when more than this share of the collection (and more than `stopKeysMin` keys) differs, or was repaired within a day: then it is a bug, not drift, and a
   * person has to let it go on (`resumeRepair`). Default: the collection's, else 0.01.
   */
  readonly stopRatio?: number;
  /** Default: the collection's, else 100. */
  readonly stopKeysMin?: number;
  /** Server-side limit of each transaction. Default 10 000. */
  readonly timeoutMs?: number;
  readonly recheck?: RecheckOptions;
}

/** What became of one key. */
export type RepairOutcome =
  /** (propose) This would be done. */
  | 'proposed'
  /** Written, and the recheck passed. */
  | 'repaired'
  /** Nothing to do: both sides agree. */
  | 'equal'
  /** An extra one, and `deleteExtras` was not given. */
  | 'extra-kept'
  /** A newer change came in before the repair; the recheck passed or will. */
  | 'overtaken'
  /** The key was being written all the time. */
  | 'busy'
  /** It could not be written, or differs still; see `note`. */
  | 'failed';

export interface RepairedKey {
  readonly key: Key;
  /** null: they agree. */
  readonly kind: MismatchKind | null;
  readonly action: 'put' | 'delete' | 'none';
  readonly outcome: RepairOutcome;
  readonly fields: readonly FieldDifference[];
  readonly note: string;
}

export interface RepairReport {
  readonly collection: string;
  readonly mode: 'propose' | 'apply';
  /** null: all keys were worked on. */
  readonly reason: VerifyStop | null;
  readonly keys: readonly RepairedKey[];
  readonly counts: Readonly<Record<RepairOutcome, number>>;
  readonly durationMs: number;
}
