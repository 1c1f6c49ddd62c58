import type { EvidenceCounts, MigrationContext } from '../control/index.ts';

/** What a detector counts. */
export type Tally = Pick<
  EvidenceCounts,
  'compared' | 'matched' | 'suspect' | 'confirmed' | 'failed'
>;

/** Counts of one collection by one detector, on their way to the evidence ledger. */
export interface EvidenceTally {
  add(counts: Partial<Tally>): void;
  /** Sends what has been counted. False: the ledger could not be reached; comparisons are forgotten, mismatches stay for the next time. */
  flush(): Promise<boolean>;
}

const empty: Tally = { compared: 0, matched: 0, suspect: 0, confirmed: 0, failed: 0 };

export function createEvidenceTally(
  context: MigrationContext,
  collection: string,
  detector: string,
): EvidenceTally {
  let minutes = new Map<number, Tally>();
  const into = (minute: number, counts: Partial<Tally>): void => {
    const old = minutes.get(minute) ?? empty;
    minutes.set(minute, {
      compared: old.compared + (counts.compared ?? 0),
      matched: old.matched + (counts.matched ?? 0),
      suspect: old.suspect + (counts.suspect ?? 0),
      confirmed: old.confirmed + (counts.confirmed ?? 0),
      failed: old.failed + (counts.failed ?? 0),
    });
  };
  return {
    add: (counts) => into(Math.floor(context.runtime.clock.now() / 60_000), counts),
    async flush() {
      if (minutes.size === 0) return true;
      const sent = minutes;
      minutes = new Map();
      const rows = [...sent].map(([minute, tally]) => ({
        collection,
        detector,
        minute,
        ...tally,
        shed: 0,
        timedOut: 0,
      }));
      try {
        await context.control.evidence.add(context.migration.name, rows);
        return true;
      } catch {
        // Perhaps it was added and only the answer was lost: what speaks for parity must never count twice, what speaks against it may.
        for (const [minute, { suspect, confirmed, failed }] of sent)
          into(minute, { suspect, confirmed, failed });
        return false;
      }
    },
  };
}
