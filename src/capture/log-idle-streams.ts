import type { MigrationContext } from '../control/index.ts';
import { isChangeoverError } from '../errors/index.ts';
import type { ChangeSource, ChangeStream, LogCheckpoint } from '../log/index.ts';
import { followerOf, type MigrationState, otherSide } from '../migration/index.ts';
import type { LogDoor } from '../store/index.ts';
import { epochOf, type StreamEnds, streamEnds } from './log-stream.ts';

/** A limit for one stream, so that one which does not end does not keep the worker. */
const ROUND_MS = 2_000;
const WAIT_MS = 50;

/**
 * Lets go of the log that is kept for directions that have not begun: a switch prepares the stream of the new one before its hold, and where it
 * is undone that one stays behind, for a later switch to use. Nothing is to be read there, because all that commits on a follower is the door's; so the checkpoint
 * moves on over it, and the log behind it may go.
 *
 * Right at any time, whoever calls it and however late: it moves only over batches *without* changes, by compare-and-set, and stops at the first change. A
 * stream whose direction has begun meanwhile loses nothing by that. (To remove it instead would need proof that no switch is just relying on it.)
 */
export async function moveIdleStreams(
  context: MigrationContext,
  state: MigrationState,
  signal: AbortSignal,
): Promise<void> {
  const authority = followerOf(state.phase);
  const { log } = context.stores[authority];
  if (!log || !context.stores[otherSide[authority]].door.log) return;
  for (const stream of await log.installed()) {
    const epoch = epochOf(stream);
    if (signal.aborted) return;
    const ends = epoch > state.epoch ? streamEnds(context, authority, epoch) : null;
    if (ends?.stream === stream) await moveOverNothing(context, ends, signal);
  }
}

async function moveOverNothing(
  { runtime: { clock } }: MigrationContext,
  { stream, log, door }: StreamEnds,
  signal: AbortSignal,
): Promise<void> {
  const from = await door.checkpoint(stream);
  // Not prepared to its end; not begun by us either, because somebody may be removing it.
  if (from === null) return;
  const end = await log.end();
  if (from.position.sequence >= end.sequence) return;
  const reader = await openIdle(stream, log, door, from);
  if (reader === null) return;
  try {
    const until = clock.monotonic() + ROUND_MS;
    let to = from;
    while (to.position.sequence < end.sequence && clock.monotonic() < until && !signal.aborted) {
      const { changes, checkpoint } = await reader.next(WAIT_MS);
      if (changes.length > 0) break;
      to = checkpoint;
    }
    if (to.position.sequence === from.position.sequence) return;
    await door.move(stream, from, to);
    reader.confirm(to);
  } finally {
    await reader.close();
  }
}

/** null: somebody else has moved on meanwhile, or removed the stream. */
async function openIdle(
  stream: string,
  log: ChangeSource,
  door: LogDoor,
  from: LogCheckpoint,
): Promise<ChangeStream | null> {
  try {
    return await log.open({ stream, from, changesMax: 1, bytesMax: 1, whole: false });
  } catch (error) {
    if (!isChangeoverError(error, 'LOG_LOST')) throw error;
    const now = await door.checkpoint(stream);
    if (now?.position.sequence !== from.position.sequence) return null;
    throw error;
  }
}
