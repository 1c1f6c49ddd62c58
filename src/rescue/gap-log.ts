import { coalesce, LogRoutes, loggedCollections, streamEnds } from '../capture/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import type { ChangeStream, LogCheckpoint } from '../log/index.ts';
import type { OpenGap } from './open-gap.ts';
import { recordKeys } from './record-keys.ts';

const WAIT_MS = 250;
/** A log that brings neither changes nor the challenge for so long is stuck. */
const STUCK_MS = 30_000;

/** What the target's log told. */
export interface GapLog {
  readonly recorded: number;
  /** Tables of these were emptied: which records went is known only by comparison. */
  readonly truncated: ReadonlySet<string>;
}

/**
 * Every record that the target's log names behind the source's checkpoint, up to a challenge that is written now: the target is sealed, so nothing
 * comes behind it. The log is not confirmed, and its checkpoint stays: collecting may be repeated. null: nothing is captured from the log.
 */
export async function collectFromLog(gap: OpenGap, signal: AbortSignal): Promise<GapLog | null> {
  const { context } = gap;
  const ends = streamEnds(context, 'target', gap.gap.epoch);
  if (ends === null) return null;
  const from = await ends.door.checkpoint(ends.stream, { durable: true });
  if (from === null) throw lost(`the source does not know how far it has followed ${ends.stream}`);
  try {
    return await readFrom(gap, { ...ends, from }, signal);
  } catch (error) {
    // Its own remedy, to start anew, would give away what only the target has.
    throw isChangeoverError(error, 'LOG_LOST') ? lost(messageOf(error), error) : error;
  }
}

const lost = (why: string, cause?: unknown): ChangeoverError =>
  new ChangeoverError(
    'STORE_RESTORED',
    `The log of the target does not tell the gap: ${why} The target was restored, or is another server, or its log was purged. \`changeover rescue collect --sweep\` compares everything instead.`,
    { cause },
  );

async function readFrom(
  gap: OpenGap,
  ends: NonNullable<ReturnType<typeof streamEnds>> & { readonly from: LogCheckpoint },
  signal: AbortSignal,
): Promise<GapLog> {
  const { context } = gap;
  const token = context.runtime.random.id();
  await ends.log.challenge(token);
  const limits = { changesMax: 2_000, bytesMax: 4 * 1024 * 1024, whole: false };
  const reader = await ends.log.open({ stream: ends.stream, from: ends.from, ...limits });
  try {
    return await readTo(gap, reader, token, signal);
  } finally {
    await reader.close();
  }
}

async function readTo(
  gap: OpenGap,
  reader: ChangeStream,
  token: string,
  signal: AbortSignal,
): Promise<GapLog> {
  const { clock } = gap.context.runtime;
  const collections = loggedCollections(gap.context.migration);
  const routes = new LogRoutes(collections, 'target');
  const truncated = new Set<string>();
  let recorded = 0;
  let heardAt = clock.monotonic();
  for (;;) {
    signal.throwIfAborted();
    const { changes, challenges } = await reader.next(WAIT_MS);
    for (const found of coalesce(changes, routes, collections)) {
      if (found.truncated !== null) truncated.add(found.collection.name);
      const keys = [...found.keys.values()].map(({ key }) => key);
      recorded += await recordKeys(gap, found.collection, keys, 'log');
    }
    if (challenges.includes(token)) return { recorded, truncated };
    if (changes.length > 0) heardAt = clock.monotonic();
    if (clock.monotonic() - heardAt > STUCK_MS)
      throw new ChangeoverError(
        'STORE_UNAVAILABLE',
        `The log of the target brings nothing, and not its end either, for ${STUCK_MS / 1000} s.`,
      );
  }
}
