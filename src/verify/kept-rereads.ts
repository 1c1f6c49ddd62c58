import type { Key } from '../record/index.ts';
import type { Reread } from '../store/index.ts';
import type { PairDifference } from './comparator.ts';
import type { VerifyScope } from './verify-scope.ts';

/** A key, and what an earlier look read of the authority. */
export interface Asked {
  readonly key: Key;
  readonly kept: Reread | null;
}

/** What was kept, or what the authority has now; in the order of the keys. */
export async function rereadsOf(
  { authority, collection, begun }: VerifyScope,
  asked: readonly Asked[],
): Promise<readonly Reread[]> {
  const keys = asked.filter(({ kept }) => kept === null).map(({ key }) => key);
  const fresh =
    keys.length === 0 ? [] : await authority.records.reread(collection.name, keys, begun.epoch);
  let at = 0;
  return asked.map(({ kept }) => kept ?? (fresh[at++] as Reread));
}

/** Whose record, of those that differ from what was kept, is another one by now. A fence alone would not tell: it may have been pruned since. */
export async function movedOf(
  { authority, collection }: VerifyScope,
  asked: readonly Asked[],
  found: readonly (PairDifference | null)[],
): Promise<readonly boolean[]> {
  const old = asked.filter(({ kept }, index) => kept !== null && found[index]);
  if (old.length === 0) return [];
  const keys = old.map(({ key }) => key);
  const now = await authority.records.read(collection.name, keys);
  const texts = new Map(old.map((one, at) => [one, JSON.stringify(now[at]?.record ?? null)]));
  return asked.map((one) => {
    const text = texts.get(one);
    return text !== undefined && text !== JSON.stringify(one.kept?.record ?? null);
  });
}
