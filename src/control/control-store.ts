import type { MigrationState } from '../migration/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { EvidenceLedger } from './evidence-ledger.ts';
import type { Fleet } from './fleet.ts';
import type { GapLedger } from './gap-ledger.ts';
import type { MemoLedger } from './memo-ledger.ts';
import type { MismatchLedger } from './mismatch-ledger.ts';
import type { SampleLedger } from './sample-ledger.ts';

/** One line of the append-only audit. */
export interface AuditEntry {
  /** State version that this entry produced; null for entries that changed no state (`note`). */
  readonly stateVersion: number | null;
  readonly atMs: number;
  /** Who: user@host, or an instance. */
  readonly actor: string;
  /** Event type or note, e.g. `advance`, `cutover-commit`, `cutover-step`. */
  readonly action: string;
  readonly reason: string;
  /** Evidence and details, JSON-able. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export type NewAuditEntry = Omit<AuditEntry, 'atMs' | 'stateVersion'>;

/** How far a backfill has come. One row per collection. */
export interface BackfillCheckpoint {
  readonly collection: string;
  readonly generation: number;
  /** The last key when the backfill began, encoded; nothing beyond it is copied. null: the source was empty. */
  readonly frozenLast: string | null;
  /** All chunks up to and including this key (encoded) are done; null: none yet. */
  readonly doneUntil: string | null;
  /** Number of the next chunk. */
  readonly nextChunk: number;
  readonly rowsRead: number;
  readonly rowsInserted: number;
  readonly rowsDead: number;
  readonly estimatedRows: number;
  /** How much more work came while it was being done; absent or null: not measured yet. */
  readonly growth?: BackfillGrowth | null;
  readonly startedAtMs: number;
  readonly finishedAtMs: number | null;
}

/** What a backfill works against, as it was measured over some seconds. */
export interface BackfillGrowth {
  /** Rows that came into its range and changes that came to wait, less those that went, a second. Below 0: the queue drains. */
  readonly perSecond: number;
  /** Changes of the whole migration that wait for the follower. */
  readonly waiting: number;
  readonly measuredAtMs: number;
}

/**
 * Durable memory of a migration, apart from both stores. All times are epoch milliseconds of the control store's host
 * where it has a clock of its own (PostgreSQL), else of the writing process.
 *
 * Errors: CONTROL_UNAVAILABLE for everything that may pass; STATE_CHANGED is an answer here, not an error.
 */
export interface ControlStore {
  /** Address without password. */
  readonly display: string;
  /** The state; `initialState` is stored and returned when there is none. */
  load(migration: string): Promise<MigrationState>;
  /**
   * Compare-and-set together with its audit entry, one transaction: true when the stored version was `next.version - 1`.
   * False: someone was faster; nothing changed.
   */
  commit(next: MigrationState, entry: NewAuditEntry): Promise<boolean>;
  /**
   * Calls `onState` with the present state and then with every newer one, in < 1 s (notification where there is one, polling as the safety net).
   * Never goes backwards. Errors go to `onError` and watching goes on. The returned function ends it.
   */
  watch(
    migration: string,
    onState: (state: MigrationState) => void,
    onError: (error: unknown) => void,
  ): () => void;
  /** An audit line that changes no state. */
  note(migration: string, entry: NewAuditEntry): Promise<void>;
  /** Newest first. */
  history(migration: string, limit: number): Promise<readonly AuditEntry[]>;
  checkpoint(migration: string, collection: string): Promise<BackfillCheckpoint | null>;
  /**
   * Keeps what is there when `isNewerCheckpoint` says so: a worker that was paused must not take back what another one has finished.
   */
  saveCheckpoint(migration: string, checkpoint: BackfillCheckpoint): Promise<void>;
  readonly fleet: Fleet;
  readonly evidence: EvidenceLedger;
  readonly mismatches: MismatchLedger;
  readonly gaps: GapLedger;
  readonly samples: SampleLedger;
  readonly memos: MemoLedger;
  /** Idempotent. */
  close(): Promise<void>;
}

/** What stands in the configuration. */
export interface ControlConnector {
  readonly display: string;
  connect(runtime: Runtime): Promise<ControlStore>;
  /** The same with relative paths beginning in `folder`. Absent: the address has no relative path. */
  readonly within?: (folder: string) => ControlConnector;
}
