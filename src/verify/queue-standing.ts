import { presentStream } from '../capture/index.ts';
import { type DataRecord, encodeKey, type Key, type Version } from '../record/index.ts';
import type { VerifyScope } from './verify-scope.ts';

/** Whether the authority's queue explains that the follower differs. `unknown`: something waits, perhaps of this key. */
export type Standing = 'none' | 'waiting' | 'dead' | 'unknown';

export interface Standings {
  /** In the order of the keys. */
  readonly standings: readonly Standing[];
  /** Age of the oldest entry that waits; only with `unknown`. */
  readonly oldestMs: number;
}

const DEAD_LETTERS_MAX = 10_000;

/** The key as the authority's record spells it, which is how its queue does; as it was given where there is none. */
export function queuedAs(
  { authority, collection }: Pick<VerifyScope, 'authority' | 'collection'>,
  given: Key,
  record: DataRecord | null,
): Key {
  const parts = collection[authority.side].key.map((column) => record?.[column]);
  return parts.every((part) => typeof part === 'string') ? parts : given;
}

/**
 * Where the changes of these keys stand, as committed when it is called: keys as the authority spells them (of a re-read, or `queuedAs`). `versions`: of the re-reads
 * before; absent: as of now. `given`: the same keys as they were asked for: without a row nobody knows which of the two spellings the entry has. A collection that is captured from the log has its change on the way as long as the follower has not read the log up to there.
 */
export async function standingsOf(
  scope: VerifyScope,
  keys: readonly Key[],
  versions?: readonly (Version | undefined)[],
  given: readonly Key[] = keys,
): Promise<Standings> {
  const ends =
    scope.collection.capture === 'log' ? presentStream(scope.context, scope.begun) : null;
  if (ends === null) return inQueue(scope, keys, given);
  // Before the queue: what the follower refuses goes from the log into the queue, and is in both for a moment, never in neither.
  const reached = (await ends.door.checkpoint(ends.stream))?.position.sequence ?? 0n;
  const { standings, oldestMs } = await inQueue(scope, keys, given);
  const end = versions === undefined ? (await ends.log.end()).sequence : 0n;
  const behind = keys.map((_, at) => (versions?.[at]?.sequence ?? end) > reached);
  // An idle log has nothing that would move the follower on: this has.
  if (behind.includes(true)) await ends.log.challenge(scope.context.runtime.random.id());
  return {
    standings: standings.map((one, at) => (one === 'none' && behind[at] ? 'waiting' : one)),
    oldestMs,
  };
}

async function inQueue(
  scope: VerifyScope,
  keys: readonly Key[],
  given: readonly Key[],
): Promise<Standings> {
  const own = await bySpelling(scope, keys);
  const places = keys.flatMap((key, at) => {
    const other = given[at] ?? key;
    return encodeKey(other) === encodeKey(key) ? [] : [{ at, other }];
  });
  if (places.length === 0) return own;
  const others = await bySpelling(
    scope,
    places.map(({ other }) => other),
  );
  const standings = [...own.standings];
  places.forEach(({ at }, index) => {
    standings[at] = lastOf(standings[at] ?? 'unknown', others.standings[index] ?? 'unknown');
  });
  return { standings, oldestMs: Math.max(own.oldestMs, others.oldestMs) };
}

/** Of two entries' standings that of the record: what is on its way before what is dead. */
function lastOf(one: Standing, other: Standing): Standing {
  const order: readonly Standing[] = ['none', 'unknown', 'dead', 'waiting'];
  return order.indexOf(one) < order.indexOf(other) ? other : one;
}

async function bySpelling(scope: VerifyScope, keys: readonly Key[]): Promise<Standings> {
  const { queue } = scope.authority;
  const { name } = scope.collection;
  if (queue.standing) return { standings: await queue.standing(name, keys), oldestMs: 0 };
  const { waiting, dead, oldestMs } = await queue.depth();
  const letters = dead > 0 ? await queue.deadLetters(DEAD_LETTERS_MAX) : [];
  const deadKeys = new Set(
    letters.flatMap(({ collection, key }) => (collection === name ? [encodeKey(key)] : [])),
  );
  const other: Standing = waiting === 0 ? 'none' : 'unknown';
  return {
    standings: keys.map((key) => (deadKeys.has(encodeKey(key)) ? 'dead' : other)),
    oldestMs,
  };
}
