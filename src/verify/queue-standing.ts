import { encodeKey, type Key } from '../record/index.ts';
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

/** Where the changes of these keys stand, as committed when it is called. */
export async function standingsOf(scope: VerifyScope, keys: readonly Key[]): Promise<Standings> {
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
