import type { GapFinder, GapRecord } from '../control/index.ts';
import { type Collection, otherSide } from '../migration/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import { tokenSubject } from '../router/index.ts';
import { createComparator, type Pair } from '../verify/index.ts';
import type { OpenGap } from './open-gap.ts';
import type { SealedTarget } from './target-guard.ts';

/** Keys in one look at both stores. */
export const PAGE = 200;

/**
 * Makes the records of these keys safe, as the sealed target holds them. What the source says just now is written down beside it: a record that says
 * something else when it is applied is not overwritten. Found by `sweep`, the keys are only candidates. `sealed`: see `sweepCollection`.
 */
export async function recordKeys(
  gap: OpenGap,
  collection: Collection,
  keys: readonly Key[],
  foundBy: GapFinder,
  sealed?: SealedTarget,
): Promise<number> {
  let recorded = 0;
  for (let at = 0; at < keys.length; at += PAGE) {
    const page = await recordsOf(gap, collection, keys.slice(at, at + PAGE), foundBy, sealed);
    const wanted = foundBy === 'sweep' ? page.filter(({ status }) => status !== 'equal') : page;
    if (wanted.length === 0) continue;
    const { context } = gap;
    await context.control.gaps.record(context.migration.name, gap.gap.rescue, wanted);
    recorded += wanted.length;
  }
  return recorded;
}

async function recordsOf(
  gap: OpenGap,
  collection: Collection,
  keys: readonly Key[],
  foundBy: GapFinder,
  sealed: SealedTarget | undefined,
): Promise<readonly GapRecord[]> {
  const { source, target } = gap.context.stores;
  const { name } = collection;
  const doubts = await doubtsOf(gap, collection, keys, sealed);
  const theirs = await target.records.read(name, keys);
  // The value first: a write in between is then seen in the queue, or as another value when the record is applied.
  const ours = await source.records.read(name, keys);
  const standing = (await source.queue.standing?.(name, keys)) ?? [];
  const pairs = keys.map((key, index) => ({
    key,
    authority: theirs[index]?.record ?? null,
    follower: ours[index]?.record ?? null,
  }));
  const found = await compareToSource(gap, collection, pairs);
  const nowMs = gap.context.runtime.clock.now();
  return pairs.map(({ key, authority, follower }, index) => ({
    collection: name,
    key: encodeKey(key),
    subject: tokenSubject(name, key),
    target: authority,
    source: follower,
    foundBy,
    touched: (standing[index] ?? 'none') !== 'none',
    ...statusOf(found[index] === null, doubts[index] ?? null),
    decidedAtMs: found[index] === null ? nowMs : null,
  }));
}

const statusOf = (equal: boolean, doubt: string | null): Pick<GapRecord, 'status' | 'note'> =>
  equal
    ? { status: 'equal', note: '' }
    : { status: doubt ? 'conflict' : 'open', note: doubt ?? '' };

/**
 * Why the source's record may be newer than the target's, for each key; null: it cannot be. Never where queue or log name the record. A restored target lacks what was
 * written after the backup; and one whose guard looks right may be a backup from the epoch that ended: what the source took from it then is told by its fence.
 */
async function doubtsOf(
  { context, gap }: OpenGap,
  { name }: Collection,
  keys: readonly Key[],
  sealed: SealedTarget | undefined,
): Promise<readonly (string | null)[]> {
  if (sealed === undefined) return [];
  if (sealed === 'restored')
    return keys.map(() => 'the target was restored: its record may be the older one');
  const fences = await context.stores.source.door.fences(name, keys);
  return fences.map((fence) =>
    fence !== null && fence.epoch >= gap.epoch
      ? 'the source took a write of the target before the rescue, and which is newer is not known'
      : null,
  );
}

/** How the source differs from what the target's records would be there; null: they agree. */
export function compareToSource(gap: OpenGap, collection: Collection, pairs: readonly Pair[]) {
  const { context, state } = gap;
  const comparator = createComparator({
    context,
    collection,
    begun: state,
    authority: context.stores.target,
    follower: context.stores[otherSide.target],
    currentState: () => state,
    signal: new AbortController().signal,
    ignoreHold: true,
  });
  return comparator.compare(pairs);
}
