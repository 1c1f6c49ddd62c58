import type { Collection } from '../migration/index.ts';
import type { Key } from '../record/index.ts';
import type { OpenGap } from './open-gap.ts';
import { PAGE, recordKeys } from './record-keys.ts';
import type { SealedTarget } from './target-guard.ts';

/**
 * Every record of a collection that the two stores tell differently, from both sides, page by page. Cannot tell a write that was left behind from one that the
 * source has taken since: the latter has an entry in the source's queue, and becomes a conflict. `sealed`: queue or log are lost, so the target's record may also be the
 * older one; where it can be, that is a conflict from the beginning.
 */
export async function sweepCollection(
  gap: OpenGap,
  collection: Collection,
  signal: AbortSignal,
  sealed?: SealedTarget,
): Promise<number> {
  let recorded = 0;
  for (const side of ['target', 'source'] as const) {
    const { records } = gap.context.stores[side];
    let after: Key | null = null;
    for (;;) {
      signal.throwIfAborted();
      const page = await records.scan(collection.name, { after, until: null }, PAGE);
      const keys = page.map(({ key }) => key);
      recorded += await recordKeys(gap, collection, keys, 'sweep', sealed);
      const last = keys.at(-1);
      if (page.length < PAGE || last === undefined) break;
      after = last;
    }
  }
  return recorded;
}
