import {
  countSubjects,
  type EvidenceCounts,
  type EvidenceSubjects,
  fingerprintOf,
  type MigrationContext,
  subjectLength,
} from '../control/index.ts';
import { AHEAD_MINUTES_MAX, asCounted, parityLowerBound } from '../gates/index.ts';
import type { Series } from './report-data.ts';

/** Comparisons of one collection by one detector, counted by the comparator of now, and which of them are no repeats. */
export interface IndependentEvidence {
  readonly collection: string;
  readonly detector: string;
  /** By the comparator of now. */
  readonly counts: readonly EvidenceCounts[];
  /** By other comparators: they prove nothing any more. */
  readonly byOthers: readonly EvidenceCounts[];
  /** null: this detector compares everything at once, its counts are no sample. */
  readonly subjects: readonly EvidenceSubjects[] | null;
}

/** Detectors whose counts are not a sample: a whole comparison is a proof by itself. */
const wholes: ReadonlySet<string> = new Set(['verify']);

/** Everything that the evidence ledger holds from `fromMinute` on, by collection and detector. Errors: CONTROL_UNAVAILABLE. */
export async function independentEvidence(
  { control, migration }: Pick<MigrationContext, 'control' | 'migration'>,
  fromMinute: number,
  nowMs: number,
): Promise<readonly IndependentEvidence[]> {
  const rows = await control.evidence.since(migration.name, fromMinute);
  const ids = new Set(rows.map((row) => JSON.stringify([row.collection, row.detector])));
  const found: IndependentEvidence[] = [];
  for (const id of [...ids].sort()) {
    const [collection, detector] = JSON.parse(id) as [string, string];
    const fingerprint = fingerprintOf(migration, collection, nowMs);
    const own = rows.filter((row) => row.collection === collection && row.detector === detector);
    const filter = { collection, detector, fingerprint, fromMinute };
    const whole = wholes.has(detector);
    const keyed = migration.collections.has(collection);
    const untilMinute = Math.floor(nowMs / 60_000) + AHEAD_MINUTES_MAX;
    const counts = own.filter((row) => row.fingerprint === fingerprint);
    const subjects = whole ? null : await control.evidence.subjects(migration.name, filter);
    found.push({
      collection,
      detector,
      counts: whole ? own : counts.map((row) => asCounted(row, untilMinute, keyed)),
      byOthers: whole ? [] : own.filter((row) => row.fingerprint !== fingerprint),
      subjects: subjects?.filter(({ minute }) => minute <= untilMinute) ?? null,
    });
  }
  return found;
}

/** Different records in different versions that agreed, from a minute on. */
export function independentSince(
  subjects: readonly EvidenceSubjects[],
  fromMinute: number,
  untilMinute = Number.POSITIVE_INFINITY,
): number {
  return countSubjects(
    subjects.flatMap(({ minute, packed }) =>
      minute >= fromMinute && minute <= untilMinute ? [packed] : [],
    ),
  );
}

/** Counting costs a second for 8 M subjects: few points then. */
const POINTS_MAX = 60;
const POINTS_OF_MANY = 8;
const MANY = 1_000_000;

/** How much was proven by then, since the first minute. It grows with each comparison that is no repeat, and falls with each mismatch. */
export function paritySeries(
  evidence: readonly IndependentEvidence[],
  confidence: number,
): readonly Series[] {
  return evidence.flatMap(({ collection, detector, counts, subjects }): readonly Series[] => {
    if (subjects === null) return [];
    const minutes = [...new Set(counts.map(({ minute }) => minute))].sort((a, b) => a - b);
    const total = subjects.reduce((sum, { packed }) => sum + packed.length / subjectLength, 0);
    const step = Math.ceil(minutes.length / (total > MANY ? POINTS_OF_MANY : POINTS_MAX));
    const shown = minutes.filter((_, at) => at % step === 0 || at === minutes.length - 1);
    const points = shown.map((minute): readonly [number, number] => {
      const independent = independentSince(subjects, 0, minute);
      const confirmed = counts.reduce(
        (sum, row) => sum + (row.minute <= minute ? row.confirmed : 0),
        0,
      );
      return [minute, parityLowerBound(independent + confirmed, confirmed, confidence)];
    });
    return [{ plot: 'parity', name: `${collection}, ${detector}`, points }];
  });
}
