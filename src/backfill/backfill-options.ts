import type { Collection, MigrationState, Side } from '../migration/index.ts';
import type { ChunkWorkshop } from './chunk-workshop.ts';
import type { BackfillProgress } from './progress.ts';
import type { Throttle, ThrottleCheck } from './throttle.ts';

/** How a backfill runs. Every limit has a default. */
export interface BackfillOptions {
  /** The newest state that this process knows; asked often. */
  readonly currentState: () => MigrationState;
  /** A throttle shared with other work; replaces `checks` and `rowsPerSecondMax`. */
  readonly throttle?: Throttle;
  /** Any of these that fails holds the work. Default: none. */
  readonly checks?: readonly ThrottleCheck[];
  /** Rows per second over all chunks of this run; 0 (default): no limit. */
  readonly rowsPerSecondMax?: number;
  /** Default 1 000, 50, 10 000 as records; 20 000, 50, 200 000 where bytes are passed through. */
  readonly chunkRowsInitial?: number;
  readonly chunkRowsMin?: number;
  readonly chunkRowsMax?: number;
  /** What a chunk should take, milliseconds. Default 500. */
  readonly chunkTargetMs?: number;
  /** Text of the records of one chunk, about; a chunk beyond it is cut. Default 16 MiB. */
  readonly chunkBytesMax?: number;
  /** Chunks being written at a time; one more is read ahead. Default 2. */
  readonly concurrency?: number;
  /** The run stops when at least `deadRowsMin` rows and more than `deadRatioMax` of all rows are dead: that is a bug, not data. Default 100. */
  readonly deadRowsMin?: number;
  /** Default 0.01. */
  readonly deadRatioMax?: number;
  /** Server-side limit of one chunk's write. Default 60 000. */
  readonly timeoutMs?: number;
  /** One chunk that fails for longer than this, retries included, fails the run. Default 600 000. */
  readonly giveUpAfterMs?: number;
  /** A run that lost a chunk to another worker goes on when that one's checkpoint stands still for so long. Default 20 000. */
  readonly takeOverAfterMs?: number;
  /**
   * Indexes of the follower's tables that are taken down while these are empty, and made again behind the copy: `secondary` those that are no
   * constraint, `all` the key as well. Without the key no live change gets in until it is back. Default `none`. Not for fail-closed
   * collections: their writes would fail meanwhile.
   */
  readonly deferIndexes?: 'none' | 'secondary' | 'all';
  /** Other threads that read, transform and write chunks, for one run; null: not for this collection. Default: this thread does. */
  readonly threads?: (
    collection: Collection,
    follower: Side,
    bytesMax: number,
  ) => ChunkWorkshop | null;
  /** After each chunk. */
  readonly onProgress?: (progress: BackfillProgress) => void;
}

/** Why a backfill ended before its end. */
export type BackfillStop =
  /** The signal. */
  | 'aborted'
  /** The operator holds background work. */
  | 'held'
  /** Phase, generation or epoch changed, or a change of authority is under way. */
  | 'state-changed'
  /** The follower's door is shut for this epoch. */
  | 'door-shut'
  /** Too many rows could not be transformed or stored. */
  | 'dead-limit';

export interface BackfillResult {
  readonly collection: string;
  readonly outcome: 'finished' | 'stopped';
  /** null when finished. */
  readonly reason: BackfillStop | null;
  /** Totals since the backfill began, earlier runs included. */
  readonly rowsRead: number;
  readonly rowsInserted: number;
  readonly rowsDead: number;
  /** Of this run. */
  readonly durationMs: number;
}

/** Options with every default filled in. */
export type BackfillLimits = Required<
  Pick<
    BackfillOptions,
    | 'chunkRowsInitial'
    | 'chunkRowsMin'
    | 'chunkRowsMax'
    | 'chunkTargetMs'
    | 'chunkBytesMax'
    | 'concurrency'
    | 'deadRowsMin'
    | 'deadRatioMax'
    | 'timeoutMs'
    | 'giveUpAfterMs'
    | 'takeOverAfterMs'
  >
>;

/** Rows whose chunk keeps no processor busy for longer than some milliseconds. */
const BURST_ROWS = 500;

/**
 * What a chunk keeps busy, the traffic waits for: so it has a tenth of a second's rows. Of slow rates it has more, up to half a second's and
 * `BURST_ROWS`: each chunk costs some transactions, too.
 */
const chunkAtRate = (rowsPerSecond: number): number =>
  Math.max(rowsPerSecond / 10, Math.min(rowsPerSecond / 2, BURST_ROWS));

/** Fills in the defaults. `path`: how rows travel. */
export function backfillLimits(options: BackfillOptions, path: 'copy' | 'rows'): BackfillLimits {
  const rowsMax = options.chunkRowsMax ?? (path === 'copy' ? 200_000 : 10_000);
  const rate = options.rowsPerSecondMax ?? 0;
  const rateCap = rate > 0 ? Math.max(1, Math.ceil(chunkAtRate(rate))) : Number.POSITIVE_INFINITY;
  const chunkRowsMax = Math.max(1, Math.min(rowsMax, rateCap));
  return {
    chunkRowsInitial: options.chunkRowsInitial ?? (path === 'copy' ? 20_000 : 1_000),
    chunkRowsMin: Math.min(options.chunkRowsMin ?? 50, chunkRowsMax),
    chunkRowsMax,
    chunkTargetMs: options.chunkTargetMs ?? 500,
    chunkBytesMax: options.chunkBytesMax ?? 16 * 1024 * 1024,
    concurrency: Math.max(1, options.concurrency ?? 2),
    deadRowsMin: options.deadRowsMin ?? 100,
    deadRatioMax: options.deadRatioMax ?? 0.01,
    timeoutMs: options.timeoutMs ?? 60_000,
    giveUpAfterMs: options.giveUpAfterMs ?? 600_000,
    takeOverAfterMs: options.takeOverAfterMs ?? 20_000,
  };
}
