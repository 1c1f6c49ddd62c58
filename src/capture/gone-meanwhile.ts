import type { MigrationContext } from '../control/index.ts';
import type { Side } from '../migration/index.ts';
import type { Change } from '../record/index.ts';

/**
 * Of changes that have just entered the follower from the queue, those whose record the authority does not hold any more, or perhaps not. A table that was
 * emptied comes out of the log as one event, and leaves tombstones only for the keys that the follower holds then. A record that was read before
 * that and enters after it meets no fence: nobody but who looks once more, behind the entry, sees that it must go.
 * Only of collections that are captured from the log: elsewhere each key leaves an entry of its own.
 */
export async function goneMeanwhile(
  { migration, stores }: MigrationContext,
  authority: Side,
  epoch: number,
  entered: readonly Change[],
): Promise<ReadonlySet<Change>> {
  const gone = new Set<Change>();
  for (const { name, capture } of migration.collections.values()) {
    if (capture !== 'log') continue;
    const suspects = entered.filter(
      ({ collection, value }) => collection === name && value !== null,
    );
    for (let at = 0; at < suspects.length; at += REREAD_MAX) {
      const page = suspects.slice(at, at + REREAD_MAX);
      const keys = page.map(({ key }) => key);
      const answers = await stores[authority].records.reread(name, keys, epoch);
      page.forEach((change, index) => {
        const answer = answers[index];
        if (answer?.state !== 'read' || answer.record === null) gone.add(change);
      });
    }
  }
  return gone;
}

const REREAD_MAX = 500;
