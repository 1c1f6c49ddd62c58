import {
  type EvidenceCounts,
  type EvidenceDelta,
  type EvidenceLatency,
  type EvidenceLedger,
  subjectLength,
} from '../../control/index.ts';
import type { MemoryControl } from './memory-control-store.ts';

/** A row with its subjects, strung together. */
export type MemoryEvidence = EvidenceCounts & { readonly packed: string };

const counters = [
  'compared',
  'matched',
  'suspect',
  'confirmed',
  'shed',
  'timedOut',
  'failed',
] as const satisfies readonly (keyof EvidenceCounts)[];

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const before = (a: EvidenceCounts, b: EvidenceCounts): number =>
  a.minute - b.minute ||
  compare(a.collection, b.collection) ||
  compare(a.detector, b.detector) ||
  compare(a.fingerprint, b.fingerprint);

function added(old: MemoryEvidence | undefined, delta: EvidenceDelta): MemoryEvidence {
  const { subjects = [], fingerprint = '', ...counts } = delta;
  const packed = (old?.packed ?? '') + subjects.join('');
  const sum: { -readonly [K in keyof MemoryEvidence]: MemoryEvidence[K] } = {
    ...counts,
    fingerprint,
    packed,
  };
  if (old) for (const name of counters) sum[name] += old[name];
  return sum;
}

/** The counts that gates are judged by, of every process of a migration. */
export function createMemoryEvidence(
  control: MemoryControl,
  call: <T>(label: string, run: () => T) => Promise<T>,
): EvidenceLedger {
  const rowsOf = (migration: string): readonly MemoryEvidence[] =>
    [...control.of(migration).evidence.values()].sort(before);
  return {
    add: (migration, deltas) =>
      call('evidence/add', () => {
        const { evidence } = control.of(migration);
        for (const delta of deltas) {
          const { collection, detector, minute, fingerprint = '' } = delta;
          const id = JSON.stringify([collection, detector, minute, fingerprint]);
          evidence.set(id, added(evidence.get(id), delta));
        }
      }),
    since: (migration, fromMinute) =>
      call('evidence/since', () =>
        rowsOf(migration)
          .filter(({ minute }) => minute >= fromMinute)
          .map(({ packed: _packed, ...row }) => row),
      ),
    subjects: (migration, filter) =>
      call('evidence/subjects', () =>
        rowsOf(migration)
          .filter(
            ({ minute, collection, detector, fingerprint, packed }) =>
              minute >= filter.fromMinute &&
              collection === filter.collection &&
              detector === filter.detector &&
              fingerprint === filter.fingerprint &&
              packed !== '',
          )
          .map(({ minute, packed }) => ({ minute, packed })),
      ),
    addLatencies: (migration, latencies) =>
      call('evidence/addLatencies', () => {
        const all = control.of(migration);
        all.latencies = [...all.latencies, ...latencies];
      }),
    latencies: (migration, fromMinute) =>
      call('evidence/latencies', () =>
        joined(control.of(migration).latencies.filter(({ minute }) => minute >= fromMinute)),
      ),
    prune: (migration, { subjectsMax, latencyFromMinute }) =>
      call('evidence/prune', () => {
        const all = control.of(migration);
        all.latencies = all.latencies.filter(({ minute }) => minute >= latencyFromMinute);
        const kept = new Map<string, number>();
        for (const row of rowsOf(migration).toReversed()) {
          const id = JSON.stringify([row.collection, row.detector]);
          const total = (kept.get(id) ?? 0) + row.packed.length / subjectLength;
          kept.set(id, total);
          if (total <= subjectsMax) continue;
          const { collection, detector, minute, fingerprint } = row;
          const place = JSON.stringify([collection, detector, minute, fingerprint]);
          all.evidence.set(place, { ...row, packed: '' });
        }
      }),
    clear: (migration) =>
      call('evidence/clear', () => {
        const all = control.of(migration);
        all.evidence.clear();
        all.latencies = [];
      }),
  };
}

function joined(latencies: readonly EvidenceLatency[]): readonly EvidenceLatency[] {
  const found = new Map<string, EvidenceLatency>();
  for (const { collection, side, minute, buckets } of latencies) {
    const id = JSON.stringify([collection, side]);
    const old = found.get(id);
    const sums = new Map(old?.buckets);
    for (const [bucket, reads] of buckets) sums.set(bucket, (sums.get(bucket) ?? 0) + reads);
    const newest = Math.max(old?.minute ?? 0, minute);
    found.set(id, { collection, side, minute: newest, buckets: sums });
  }
  return [...found.values()].sort(
    (a, b) => compare(a.collection, b.collection) || compare(a.side, b.side),
  );
}
