import type { MigrationContext } from '../control/index.ts';
import { collectionOf, type Side, toFollower } from '../migration/index.ts';
import { compareVersions, type Key } from '../record/index.ts';
import type { DoorContext } from '../store/index.ts';

/** Numbers drawn at once. PostgreSQL logs a sequence 32 numbers ahead, so a crash rarely loses more. */
const DRAWN = 64;

/**
 * A fail-closed write gives its version to the follower before the authority has committed. When the authority's server dies in between, the
 * number may be lost with the write (PostgreSQL: a sequence's log record is flushed by a commit only) and be drawn again: the re-read that is to
 * take the write back is then no newer than it, and the follower would keep for ever what the authority never had.
 *
 * So an intent whose re-read was stale is read again with newer numbers. True: the follower has what was read, or its fence is newer for a good
 * reason. False: not yet, the key is busy or the numbers are still behind; try again later. Errors: those of the stores, TRANSFORM_FAILED.
 */
export async function outrunLostNumbers(
  context: MigrationContext,
  authority: Side,
  follower: Side,
  work: { readonly collection: string; readonly key: Key },
  door: DoorContext,
): Promise<boolean> {
  const { stores, migration } = context;
  const { collection, key } = work;
  const [first] = await stores[authority].records.reread(collection, [key], door.epoch);
  if (first?.state !== 'read') return false;
  const [fence] = await stores[follower].door.fences(collection, [first.key]);
  const many = new Array<Key>(DRAWN).fill(key);
  const answer = (await stores[authority].records.reread(collection, many, door.epoch)).at(-1);
  if (answer?.state !== 'read') return false;
  const value = toFollower(collectionOf(migration, collection), follower, answer.record);
  const { version } = answer;
  const change = { collection, key: answer.key, version, value, origin: 'retry' as const };
  const [verdict] = await stores[follower].door.apply([change], door);
  // A fence that was there before the number was drawn, and is not older than it, carries a number that was lost.
  return verdict === 'applied' || !fence || compareVersions(fence, version) < 0;
}
