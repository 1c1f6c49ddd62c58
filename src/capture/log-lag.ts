import type { MigrationContext } from '../control/index.ts';
import { isChangeoverError } from '../errors/index.ts';
import type { LogRetention } from '../log/index.ts';
import type { MigrationState } from '../migration/index.ts';
import type { Position } from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { followLog, type LogApplierOptions } from './log-applier.ts';
import { presentStream } from './log-stream.ts';

/** How far the follower is behind the log of the authority. */
export interface LogLag {
  /** Where the follower stands; null: it does not know the stream. */
  readonly position: Position | null;
  /** End of the log, a moment later. */
  readonly end: Position;
  readonly retention: LogRetention;
}

/** null: nothing is captured from the log. */
export async function logLag(
  context: MigrationContext,
  state: MigrationState,
): Promise<LogLag | null> {
  const ends = presentStream(context, state);
  if (ends === null) return null;
  const { door, log, stream } = ends;
  const [checkpoint, end, retention] = await Promise.all([
    door.checkpoint(stream),
    log.end(),
    log.retention(stream),
  ]);
  return { position: checkpoint?.position ?? null, end, retention };
}

/**
 * Whether the follower has everything that had committed when this was called, on its disk; waits for it at most `waitMs`. A store that takes longer to say so means no.
 * True when nothing is captured from the log.
 */
export async function caughtUp(
  context: MigrationContext,
  state: MigrationState,
  waitMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    return await catchesUp(context, state, waitMs, signal);
  } catch (error) {
    if (isChangeoverError(error, 'DEADLINE_EXCEEDED')) return false;
    throw error;
  }
}

async function catchesUp(
  context: MigrationContext,
  state: MigrationState,
  waitMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const ends = presentStream(context, state);
  if (ends === null) return true;
  const { door, log, stream } = ends;
  const { clock, random } = context.runtime;
  const until = clock.monotonic() + waitMs;
  const what = `the log of the ${ends.authority}`;
  const end = await withDeadline(clock, Math.max(1, waitMs), what, log.end());
  // Without it an idle log has nothing behind `end` that could tell that everything before it was read.
  await withDeadline(
    clock,
    Math.max(1, until - clock.monotonic()),
    what,
    log.challenge(random.id()),
  );
  for (;;) {
    signal?.throwIfAborted();
    // Whoever hears that the follower is level may make it the authority: what a crash of it can take back does not count.
    const seen = await door.checkpoint(stream);
    if (seen !== null && seen.position.sequence >= end.sequence) {
      const left = Math.max(LOOK_MS, until - clock.monotonic());
      const checkpoint = await withDeadline(
        clock,
        left,
        what,
        door.checkpoint(stream, { durable: true }),
      );
      if (checkpoint === null || checkpoint.position.sequence < end.sequence) continue;
      // A log that was reset ends before the checkpoint without anything of it having been read.
      const { state: kept } = await withDeadline(clock, left, what, log.retention(stream));
      return kept !== 'lost';
    }
    if (clock.monotonic() >= until) return false;
    await clock.sleep(LOOK_MS, signal);
  }
}

const LOOK_MS = 5;
/** So long a running worker may take before a drain looks whether there is one. */
const PATIENCE_MS = 250;

/**
 * The follower has everything that had committed when this was called, or the deadline has passed (false). Left to the running workers; where none is
 * registered, this process follows the log itself for as long.
 */
export async function drainLog(
  context: MigrationContext,
  state: MigrationState,
  options: LogApplierOptions,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  if (await caughtUp(context, state, Math.min(PATIENCE_MS, deadlineMs), signal)) return true;
  const left = deadlineMs - PATIENCE_MS;
  if (left <= 0) return false;
  if ((await logReaders(context)).length > 0) return caughtUp(context, state, left, signal);
  const own = new AbortController();
  const passes = { enter: () => ({ state, leave: () => {} }) };
  const following = followLog(context, passes, options, own.signal).catch(() => 'moved' as const);
  try {
    return await caughtUp(context, state, left, signal);
  } finally {
    own.abort();
    await following;
  }
}

/** Action of the audit line by which a worker tells why it cannot go on with the log. */
export const logStopped = 'log-stopped';

/** Registered workers whose lease holds, in an order that all of them see: the first one reads the log. */
export async function logReaders(context: MigrationContext): Promise<readonly string[]> {
  const { nowMs, instances } = await context.control.fleet.list(context.migration.name);
  return instances
    .filter(({ id, kind, leaseUntilMs }) => {
      return kind === 'worker' && leaseUntilMs > nowMs && id.endsWith(workerSuffix);
    })
    .map(({ id }) => id)
    .sort();
}

/** A worker's registration is its process's name with this behind it: a router of the same process has one of its own. */
export const workerSuffix = ':worker';
