import { caughtUp } from '../capture/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { Collection } from '../migration/index.ts';
import type { Key } from '../record/index.ts';
import type { OpenGap } from './open-gap.ts';

/** How long one record waits, with its row locked, until the follower has the source's log. */
const LOG_MS = 3_000;

/**
 * Whether the source has taken a write for a record since the rescue: its queue holds an entry, or the target holds a fence of the new epoch. No write leaves
 * neither: forward was shut before the first one, so nothing of the new epoch was ever taken out of the queue without its fence. The
 * queue first: an entry goes only once the fence stands. `keys`: every spelling of each record.
 */
export async function touchedKeys(
  { context, state }: OpenGap,
  collection: Collection,
  keys: readonly (readonly Key[])[],
): Promise<readonly boolean[]> {
  const { source, target } = context.stores;
  const flat = keys.flat();
  if (flat.length === 0) return [];
  const standing = source.queue.standing
    ? await source.queue.standing(collection.name, flat)
    : await standingByDepth(context.stores.source.queue, flat);
  const fences = await target.door.fences(collection.name, flat);
  let at = 0;
  return keys.map((spellings) =>
    spellings
      .map(() => {
        const place = at++;
        const fence = fences[place] ?? null;
        return (
          (standing[place] ?? 'none') !== 'none' || (fence !== null && fence.epoch >= state.epoch)
        );
      })
      .includes(true),
  );
}

/** A queue that cannot tell one key from another: while it holds anything, everything may be touched. */
async function standingByDepth(
  queue: OpenGap['context']['stores']['source']['queue'],
  keys: readonly Key[],
): Promise<readonly ('none' | 'waiting')[]> {
  const { waiting, dead } = await queue.depth();
  return keys.map(() => (waiting + dead === 0 ? 'none' : 'waiting'));
}

/**
 * What is captured from the log leaves its trace only once the follower has read it. Called while the record's row is locked: every write that was committed before is
 * behind the challenge. STORE_CONFLICT when the follower does not come so far in time.
 */
export async function logIsRead(
  { context, state }: OpenGap,
  collection: Collection,
): Promise<void> {
  if (collection.capture !== 'log') return;
  if (await caughtUp(context, state, LOG_MS)) return;
  throw new ChangeoverError(
    'STORE_CONFLICT',
    'The log of the source was not applied to its end in time, so nobody can say whether the record was written since the rescue.',
  );
}
