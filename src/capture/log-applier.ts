import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError } from '../errors/index.ts';
import type { ChangeStream, LogCheckpoint } from '../log/index.ts';
import { type MigrationState, routingTable } from '../migration/index.ts';
import { forgetTables } from './log-forms.ts';
import { LogSession } from './log-session.ts';
import { presentStream, type StreamEnds } from './log-stream.ts';

export interface LogApplierOptions {
  /** Row changes put together in one follower transaction, at most. More is quicker, and later. */
  readonly changesMax: number;
  /** The same in bytes of values; read ahead is as much again. */
  readonly bytesMax: number;
  /** Transactions of the source are never divided: the follower shows only states that the source had. */
  readonly whole: boolean;
  /** Server-side limit of one follower transaction. */
  readonly followerTimeoutMs: number;
  /** Longest wait for something to read; a change of state is noticed at the latest then. */
  readonly idleMs: number;
  /** Small batches begin at least so far apart. */
  readonly gatherMs: number;
  /** How often the follower's checkpoint moves on while the log brings nothing for us. */
  readonly storeIdleMs: number;
  /**
   * While nobody reads from the follower, it may take so long to write down what it has (a crash of it then costs the time of bringing that
   * again); the log is kept until then. 0: each batch waits for its disk.
   */
  readonly durableMs: number;
}

export const logApplierDefaults: LogApplierOptions = {
  changesMax: 6_000,
  bytesMax: 8 * 1024 * 1024,
  whole: false,
  followerTimeoutMs: 30_000,
  idleMs: 50,
  gatherMs: 10,
  storeIdleMs: 500,
  durableMs: 200,
};

/** Where the present state comes from; while a pass is held, this process acknowledges no newer one. */
export interface StatePasses {
  enter(): { readonly state: MigrationState; leave(): void };
}

/**
 * Follows the log of the authority until the direction or the signal says otherwise: next batch → one state per key → re-reads and transforms → follower,
 * whose transaction moves the checkpoint along. While one batch is being applied the next is read and prepared.
 *
 * `idle`: there is nothing to follow in this state, or it is over and this process has not heard of it. `moved`: there was, and the state has changed. Safe to run in several processes and at any
 * time: the checkpoint is a compare-and-set in the follower, the one that is late fails with CHECKPOINT_MOVED and nothing applied.
 *
 * A change that the follower refuses does not hold up the log: its key goes to the authority's queue, *before* the checkpoint passes it.
 *
 * Errors: LOG_LOST, LOG_UNSUPPORTED, SCHEMA_CHANGED (nothing was skipped), CHECKPOINT_MOVED, STORE_UNAVAILABLE and the like; call again later.
 */
export async function followLog(
  context: MigrationContext,
  passes: StatePasses,
  options: LogApplierOptions,
  signal: AbortSignal,
): Promise<'idle' | 'moved'> {
  const pass = passes.enter();
  const begun = pass.state;
  pass.leave();
  // What stopped the last session may have been added since, and another process may have met a new form before us.
  forgetTables(context);
  if (routingTable[begun.phase].follow !== 'apply') return 'idle';
  const ends = presentStream(context, begun);
  if (ends === null) return 'idle';
  try {
    return await followStream(context, ends, begun, passes, options, signal);
  } catch (error) {
    if (isChangeoverError(error, 'LOG_LOST') && (await isOver(context, begun))) return 'idle';
    throw error;
  }
}

/** A switch tidies up the stream of the direction that it has ended, and whoever has not heard of it yet finds it lost. */
async function isOver(
  { control, migration }: MigrationContext,
  { epoch, generation }: MigrationState,
): Promise<boolean> {
  const now = await control.load(migration.name);
  return now.epoch !== epoch || now.generation !== generation;
}

async function followStream(
  context: MigrationContext,
  ends: StreamEnds,
  begun: MigrationState,
  passes: StatePasses,
  options: LogApplierOptions,
  signal: AbortSignal,
): Promise<'moved'> {
  // The log before it may be let go of: no crash of the follower may bring an earlier one back.
  const from = await ends.door.checkpoint(ends.stream, { durable: true });
  if (from === null)
    throw new ChangeoverError(
      'LOG_LOST',
      `The ${ends.follower} does not know where log ${ends.stream} begins: it was never prepared there, or its objects were removed. Abort the migration and start anew.`,
      { data: { stream: ends.stream } },
    );
  const reader = await openAt(ends, from, options);
  try {
    await new LogSession(context, ends, begun, from, reader, options).run(passes, signal);
    return 'moved';
  } finally {
    await reader.close();
  }
}

/**
 * Between the look at the checkpoint and the opening another worker may have gone on from there, and have let go of the log behind it: what is
 * then gone was applied.
 */
async function openAt(
  { stream, log, door }: StreamEnds,
  from: LogCheckpoint,
  { changesMax, bytesMax, whole }: LogApplierOptions,
): Promise<ChangeStream> {
  try {
    return await log.open({ stream, from, changesMax, bytesMax, whole });
  } catch (error) {
    if (!isChangeoverError(error, 'LOG_LOST')) throw error;
    const now = await door.checkpoint(stream, { durable: true });
    const same = now?.position.sequence === from.position.sequence && now.skip === from.skip;
    if (now === null || same) throw error;
    throw new ChangeoverError(
      'CHECKPOINT_MOVED',
      `Stream ${stream} stood at ${from.position.text} and stands at ${now.position.text} now.`,
      { cause: error, data: { stream } },
    );
  }
}
