import type { MismatchKind } from '../control/index.ts';
import { compareVersions, type DataRecord, type Key, type Version } from '../record/index.ts';
import type { ReadAnswer, SnapshotPlace } from '../store/index.ts';
import { type AlignedPair, type AlignedScope, has, reaches } from './aligned-pair.ts';
import type { Comparator } from './comparator.ts';
import { queuedAs, type Standing, standingsOf } from './queue-standing.ts';

/** A key with the authority's record at the place. */
export interface KeyAt {
  readonly key: Key;
  readonly record: DataRecord | null;
}

/** What became of keys in a pair of snapshots. */
export interface Settled {
  /** They agree. */
  readonly equal: readonly KeyAt[];
  /** They differ because they were written behind the place: the next pair of snapshots will tell. */
  readonly moved: readonly Key[];
  /** They differ, and no fence says why. */
  readonly doubtful: readonly KeyInDoubt[];
}

/** A key that differed, and how. */
export interface KeyInDoubt extends KeyAt {
  readonly kind: MismatchKind;
  /** What the follower's snapshot showed. */
  readonly followed: ReadAnswer | null;
}

/** Keys in one read. */
export const KEYS = 500;

/**
 * Looks at keys again, by key, in the same two snapshots: a pair that two orders of keys had torn apart comes together, and the follower's fence, *of the same snapshot*, tells
 * whether the key has been written since the place.
 */
export async function settleKeys(
  aligned: AlignedScope,
  comparator: Comparator,
  pair: AlignedPair,
  keys: readonly Key[],
): Promise<Settled> {
  const { name } = aligned.scope.collection;
  const equal: KeyAt[] = [];
  const moved: Key[] = [];
  const doubtful: KeyInDoubt[] = [];
  for (let from = 0; from < keys.length; from += KEYS) {
    const some = keys.slice(from, from + KEYS);
    const [held, followed] = await Promise.all([
      pair.authority.read(name, some),
      pair.follower.read(name, some, { withFence: true }),
    ]);
    const asked = some.map((key, at) => ({ key, record: held[at]?.record ?? null }));
    const found = await compared(comparator, asked, followed);
    asked.forEach((one, at) => {
      const difference = found[at] ?? null;
      if (difference === null) equal.push(one);
      else if (isBehind(aligned, pair.place, followed[at]?.fence ?? null)) moved.push(one.key);
      else doubtful.push({ ...one, kind: difference.kind, followed: followed[at] ?? null });
    });
  }
  if (has(aligned, 'moved-is-equal'))
    return {
      equal: [...equal, ...moved.map((key) => ({ key, record: null }))],
      moved: [],
      doubtful,
    };
  return { equal, moved, doubtful };
}

/** What is left of doubtful keys. */
export interface Confirmed extends Omit<Settled, 'doubtful'> {
  /** They differ for good. */
  readonly wrong: readonly KeyInDoubt[];
  /** Their change waits in the queue, is a dead letter, or the follower did not come on. */
  readonly queued: readonly KeyInDoubt[];
}

/**
 * The second look at keys that differ and have no fence behind the place. Such a difference may still be none: a re-read (of an aggregate, of a value that the log left out, for
 * a repair) brings a record *as it is by then* under the version of a mark before; and a change that the follower refused waits in the queue. So: the queue is asked first; then the
 * follower has to come to the end of the log as it was after the snapshot, whatever was read ahead lies before that; then it is looked at again. What still
 * differs from the authority at the place, without a fence behind the place, differs for good.
 */
export async function confirmKeys(
  aligned: AlignedScope,
  comparator: Comparator,
  place: SnapshotPlace,
  doubtful: readonly KeyInDoubt[],
): Promise<Confirmed> {
  const none = { equal: [], moved: [], wrong: [], queued: [] };
  if (doubtful.length === 0) return none;
  if (has(aligned, 'read-ahead-trusted')) return { ...none, wrong: doubtful };
  const { scope, ends, options } = aligned;
  const version = { epoch: scope.begun.epoch, sequence: place.until };
  const standings: Standing[] = [];
  for (let from = 0; from < doubtful.length; from += KEYS) {
    const some = doubtful.slice(from, from + KEYS);
    const { standings: part } = await standingsOf(
      scope,
      some.map(({ key, record }) => queuedAs(scope, key, record)),
      some.map(() => version),
    );
    standings.push(...part);
  }
  const end = await ends.log.end();
  if ((await reaches(aligned, end.sequence, options.lagMs)) === null)
    return { ...none, queued: doubtful };
  const { openMs, snapshotMs } = options;
  const follower = await aligned.follower.open({
    collections: [scope.collection.name],
    placed: false,
    openMs,
    ageMs: snapshotMs,
  });
  const equal: KeyAt[] = [];
  const moved: Key[] = [];
  const wrong: KeyInDoubt[] = [];
  const queued: KeyInDoubt[] = [];
  try {
    for (let from = 0; from < doubtful.length; from += KEYS) {
      const some = doubtful.slice(from, from + KEYS);
      const followed = await follower.read(
        scope.collection.name,
        some.map(({ key }) => key),
        { withFence: true },
      );
      const found = await compared(comparator, some, followed);
      some.forEach((one, at) => {
        if (found[at] === null) equal.push(one);
        else if (isBehind(aligned, place, followed[at]?.fence ?? null)) moved.push(one.key);
        else if (standings[from + at] === 'none') wrong.push(one);
        else queued.push(one);
      });
    }
  } finally {
    await follower.close();
  }
  return { equal, moved, wrong, queued };
}

export function compared(
  comparator: Comparator,
  held: readonly KeyAt[],
  followed: readonly ReadAnswer[],
) {
  return comparator.compare(
    held.map(({ key, record }, at) => ({
      key,
      authority: record,
      follower: followed[at]?.record ?? null,
    })),
  );
}

/** The door has let in something of this key that is not proven to lie before the place. */
function isBehind({ scope }: AlignedScope, place: SnapshotPlace, fence: Version | null): boolean {
  const since = { epoch: scope.begun.epoch, sequence: place.from };
  return fence !== null && compareVersions(fence, since) > 0;
}
