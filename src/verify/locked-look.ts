import type { Key } from '../record/index.ts';
import type { Comparator, PairDifference } from './comparator.ts';
import { type Standing, standingsOf } from './queue-standing.ts';
import type { VerifyScope } from './verify-scope.ts';

/** A writer of the key is waited for so long … */
const WAIT_MS = 1_000;
/** … and then waits for us so long, at most: until what had been written before has reached the follower. */
const HOLD_MS = 250;
const POLL_MS = 10;

/** What a look under the key's lock saw. */
export interface LockedLook {
  /** null: they agree. */
  readonly difference: PairDifference | null;
  readonly standing: Standing;
}

/**
 * Decides a key that never stands still: holds its lock in the authority, so that nothing newer can commit, until the changes that were on their way are in the follower, and compares then.
 * `busy`: this store cannot hold the key, or its lock was not to be had. The writers of this one key wait meanwhile, at most a quarter of a second, once; that is why all other
 * ways are tried first.
 */
export async function lookUnderLock(
  scope: VerifyScope,
  comparator: Comparator,
  key: Key,
): Promise<LockedLook | 'busy'> {
  const { authority, follower, collection, begun, context } = scope;
  const { records } = authority;
  if (!records.holdKey) return 'busy';
  const { clock } = context.runtime;
  const limits = { waitMs: WAIT_MS, holdMs: HOLD_MS };
  return records.holdKey(collection.name, key, begun.epoch, limits, async (held) => {
    const endsAt = clock.monotonic() + HOLD_MS;
    for (;;) {
      const { standings } = await standingsOf(scope, [held.key], [held.version], [key]);
      const [other] = await follower.records.read(collection.name, [key]);
      const pair = { key, authority: held.record, follower: other?.record ?? null };
      const [difference = null] = await comparator.compare([pair]);
      const standing = standings[0] ?? 'unknown';
      const settled = difference === null || standing === 'none' || standing === 'dead';
      if (settled || clock.monotonic() >= endsAt) return { difference, standing };
      await clock.sleep(POLL_MS);
    }
  });
}
