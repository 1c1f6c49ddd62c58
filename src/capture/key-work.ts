import type { QueuedChange } from '../queue/index.ts';
import { encodeKey, type Key } from '../record/index.ts';

/** All entries of one key: they are settled together, because the key is read as it is now. */
export interface KeyWork {
  readonly collection: string;
  readonly key: Key;
  readonly ids: bigint[];
  attempts: number;
  /** One of the entries is an intent: the follower may be ahead of the authority. */
  intent: boolean;
}

/** In the order in which the keys come first. */
export function groupByKey(entries: readonly QueuedChange[]): readonly KeyWork[] {
  const works = new Map<string, KeyWork>();
  for (const { id, collection, key, attempts, kind } of entries) {
    const intent = kind === 'intent';
    const name = `${collection}\u0000${encodeKey(key)}`;
    const work = works.get(name);
    if (work) {
      work.ids.push(id);
      work.attempts = Math.max(work.attempts, attempts);
      work.intent ||= intent;
    } else {
      works.set(name, { collection, key, ids: [id], attempts, intent });
    }
  }
  return [...works.values()];
}

export function groupByCollection(
  works: readonly KeyWork[],
): ReadonlyMap<string, readonly KeyWork[]> {
  const groups = new Map<string, KeyWork[]>();
  for (const work of works) {
    const group = groups.get(work.collection);
    if (group) group.push(work);
    else groups.set(work.collection, [work]);
  }
  return groups;
}
