import { type Mismatch, recordSubject } from '../control/index.ts';
import { encodeKey } from '../record/index.ts';
import { createComparator, type Pair } from './comparator.ts';
import { createEvidenceTally } from './evidence-tally.ts';
import { persistently } from './pages.ts';
import type { VerifyScope } from './verify-scope.ts';

/** What a detector of the background has looked at. */
export interface Looked {
  readonly compared: number;
  readonly suspects: number;
}

export const nothingLooked: Looked = { compared: 0, suspects: 0 };

export const addLooked = (a: Looked, b: Looked): Looked => ({
  compared: a.compared + b.compared,
  suspects: a.suspects + b.suspects,
});

/** Compares pairs for one detector; what differs at first sight goes to the ledger as suspect, where the recheck finds it, in this process or in another. */
export interface Detector {
  look(pairs: readonly Pair[]): Promise<Looked>;
  /** Records that could not be compared: they count against the coverage. */
  failed(records: number): void;
  /** Sends evidence that was not sent yet. */
  flush(): Promise<void>;
}

export function createDetector(scope: VerifyScope, name: string): Detector {
  const { context, collection } = scope;
  const { control, events, migration, runtime } = context;
  const comparator = createComparator(scope);
  const tally = createEvidenceTally(context, collection.name, name);
  return {
    async look(pairs) {
      if (pairs.length === 0) return nothingLooked;
      const found = await persistently(scope, () => comparator.compare(pairs));
      const now = runtime.clock.now();
      const lines = pairs.flatMap(({ key }, index): Mismatch[] => {
        const difference = found[index];
        if (!difference) return [];
        const { kind, fields, note } = difference;
        return [
          {
            collection: collection.name,
            key: encodeKey(key),
            kind,
            status: 'suspect',
            detector: name,
            differences: fields,
            firstSeenMs: now,
            lastSeenMs: now,
            rechecks: 0,
            note,
          },
        ];
      });
      // Before the evidence, and before any place moves on: a suspicion that is not kept would be lost.
      if (lines.length > 0)
        await persistently(scope, () => control.mismatches.record(migration.name, lines));
      for (const { kind } of lines)
        events.emit({ type: 'mismatch', collection: collection.name, kind, status: 'suspect' });
      const subjects = pairs.flatMap(({ key, authority }, index) =>
        found[index] || authority === null ? [] : [recordSubject(key, authority)],
      );
      const counts = { matched: pairs.length - lines.length, suspect: lines.length };
      tally.add({ compared: pairs.length, ...counts }, subjects);
      return { compared: pairs.length, suspects: lines.length };
    },
    failed: (records) => tally.add({ failed: records }),
    async flush() {
      await tally.flush();
    },
  };
}
