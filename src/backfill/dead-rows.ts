import type { MigrationContext } from '../control/index.ts';
import { encodeKey } from '../record/index.ts';
import type { BackfillScope } from './backfill-scope.ts';
import type { DeadRow } from './chunk-transform.ts';

/** How many dead letters of earlier runs are looked through, so that a chunk that is done again does not add them twice. */
const KNOWN_MAX = 10_000;

/** Rows that wait for other records are tried by the queue, first after this. */
const WAIT_MS = 500;

/** The rows of a run that wait for a person, or for another record. */
export interface DeadRows {
  /** Puts those that are not there yet into the authority's queue: the dead letters, or to be tried again. Idempotent within a run. */
  bury(rows: readonly DeadRow[]): Promise<void>;
}

/** `resumed`: an earlier run may have buried rows of chunks that it could not checkpoint. */
export async function openDeadRows(scope: BackfillScope, resumed: boolean): Promise<DeadRows> {
  const { queue } = scope.authority;
  const { name } = scope.collection;
  const known = new Set<string>();
  if (resumed) {
    for (const letter of await queue.deadLetters(KNOWN_MAX))
      if (letter.collection === name) known.add(encodeKey(letter.key));
  }
  return {
    async bury(rows) {
      const fresh = rows.filter(({ key }) => !known.has(encodeKey(key)));
      if (fresh.length === 0) return;
      await queue.enqueue(
        fresh.map(({ key, reason, waits }) => {
          const entry = { collection: name, key, kind: 'change' as const };
          if (waits === true) return { ...entry, graceMs: WAIT_MS };
          return { ...entry, graceMs: 0, deadReason: `backfill: ${reason}` };
        }),
      );
      for (const { key, reason, waits } of fresh) {
        known.add(encodeKey(key));
        if (waits !== true) announce(scope.context, name, reason);
      }
    },
  };
}

function announce(context: MigrationContext, collection: string, reason: string): void {
  context.events.emit({ type: 'dead-letter', collection, reason });
}
