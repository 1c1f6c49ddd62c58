import {
  type EvidenceCounts,
  fingerprintOf,
  type MigrationContext,
  RecentSubjects,
} from '../control/index.ts';

/** What a detector counts. */
export type Tally = Pick<
  EvidenceCounts,
  'compared' | 'matched' | 'suspect' | 'confirmed' | 'failed'
>;

/** Counts of one collection by one detector, on their way to the evidence ledger. */
export interface EvidenceTally {
  /** `subjects`: what matched, by `subjectOf`, where it shall count as independent comparisons. Repeats change nothing. */
  add(counts: Partial<Tally>, subjects?: readonly string[]): void;
  /** Sends what has been counted. False: the ledger could not be reached; comparisons are forgotten, mismatches stay for the next time. */
  flush(): Promise<boolean>;
}

const empty: Tally = { compared: 0, matched: 0, suspect: 0, confirmed: 0, failed: 0 };

/** Subjects that are kept until the next flush; more do not count. */
const PENDING_MAX = 50_000;
/** Subjects that are not sent again for an hour. */
const RECENT_MAX = 100_000;
const RECENT_MINUTES = 60;

/** Counts of one minute under one comparator. */
interface Row {
  readonly minute: number;
  readonly fingerprint: string;
  readonly tally: Tally;
  readonly subjects: readonly string[];
}

export function createEvidenceTally(
  context: MigrationContext,
  collection: string,
  detector: string,
): EvidenceTally {
  const { migration, runtime } = context;
  let rows = new Map<string, Row>();
  let pending = 0;
  let comparator = { minute: -1, fingerprint: '' };
  /** Exemptions end at midnight, so a fingerprint holds for a minute. */
  const fingerprintAt = (nowMs: number): string => {
    const minute = Math.floor(nowMs / 60_000);
    if (comparator.minute !== minute)
      comparator = { minute, fingerprint: fingerprintOf(migration, collection, nowMs) };
    return comparator.fingerprint;
  };
  const recent = new RecentSubjects(RECENT_MAX, RECENT_MINUTES);
  const into = (
    minute: number,
    fingerprint: string,
    counts: Partial<Tally>,
    subjects: readonly string[],
  ): void => {
    const place = `${minute} ${fingerprint}`;
    const old = rows.get(place);
    const tally = old?.tally ?? empty;
    rows.set(place, {
      minute,
      fingerprint,
      tally: {
        compared: tally.compared + (counts.compared ?? 0),
        matched: tally.matched + (counts.matched ?? 0),
        suspect: tally.suspect + (counts.suspect ?? 0),
        confirmed: tally.confirmed + (counts.confirmed ?? 0),
        failed: tally.failed + (counts.failed ?? 0),
      },
      subjects:
        subjects.length === 0 ? (old?.subjects ?? []) : [...(old?.subjects ?? []), ...subjects],
    });
  };
  return {
    add(counts, subjects = []) {
      const nowMs = runtime.clock.now();
      const minute = Math.floor(nowMs / 60_000);
      const fresh = subjects
        .slice(0, PENDING_MAX - pending)
        .filter((subject) => recent.isNew(subject, minute));
      pending += fresh.length;
      into(minute, fingerprintAt(nowMs), counts, fresh);
    },
    async flush() {
      if (rows.size === 0) return true;
      const sent = rows;
      rows = new Map();
      pending = 0;
      const deltas = [...sent.values()].map(({ minute, fingerprint, tally, subjects }) => ({
        collection,
        detector,
        minute,
        fingerprint,
        ...tally,
        shed: 0,
        timedOut: 0,
        subjects,
      }));
      try {
        await context.control.evidence.add(migration.name, deltas);
        return true;
      } catch {
        recent.forget();
        // Perhaps it was added and only the answer was lost: what speaks for parity must never count twice, what speaks against it may.
        for (const { minute, fingerprint, tally } of sent.values()) {
          const { suspect, confirmed, failed } = tally;
          into(minute, fingerprint, { suspect, confirmed, failed }, []);
        }
        return false;
      }
    },
  };
}
