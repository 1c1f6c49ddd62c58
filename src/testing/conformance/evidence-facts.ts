import assert from 'node:assert/strict';
import {
  countSubjects,
  type EvidenceCounts,
  type EvidenceDelta,
  type EvidenceLatency,
  subjectOf,
} from '../../control/index.ts';
import { type ControlFact, migration } from './control-store-subject.ts';

/** A row of evidence, as the ledger gives it back. */
export const counts = (minute: number, change: Partial<EvidenceCounts> = {}): EvidenceCounts => ({
  collection: 'customers',
  detector: 'shadow-read',
  minute,
  fingerprint: 'one',
  compared: 0,
  matched: 0,
  suspect: 0,
  confirmed: 0,
  shed: 0,
  timedOut: 0,
  failed: 0,
  ...change,
});

const subjects = (from: number, until: number): readonly string[] =>
  Array.from({ length: until - from }, (_, index) => subjectOf(String(from + index), 'content'));

const filter = { collection: 'customers', detector: 'shadow-read', fingerprint: 'one' } as const;

/** The counts that gates are judged by. */
export function evidenceFacts(fact: ControlFact): void {
  fact('evidence that two processes add at once adds up', async ({ first, second }) => {
    const adds = Array.from({ length: 40 }, (_, index) =>
      (index % 2 === 0 ? first : second).evidence.add(migration, [
        counts(100, { compared: 3, matched: 2, suspect: 1 }),
        counts(101 - (index % 2), { collection: 'orders', compared: 1, timedOut: 1 }),
        counts(100, { compared: 2, shed: 5 }),
      ]),
    );
    await Promise.all(adds);
    const rows = await second.evidence.since(migration, 0);
    assert.deepEqual(rows, [
      counts(100, { compared: 200, matched: 80, suspect: 40, shed: 200 }),
      counts(100, { collection: 'orders', compared: 20, timedOut: 20 }),
      counts(101, { collection: 'orders', compared: 20, timedOut: 20 }),
    ]);
    assert.deepEqual(await first.evidence.since(migration, 101), rows.slice(2));
    await first.evidence.clear(migration);
    assert.deepEqual(await second.evidence.since(migration, 0), []);
  });

  fact('counts of two comparators in one minute stay apart', async ({ first }) => {
    const { fingerprint: _none, ...unnamed } = counts(7, { matched: 4 });
    await first.evidence.add(migration, [
      counts(7, { matched: 1 }),
      counts(7, { matched: 2, fingerprint: 'two' }),
      unnamed,
    ]);
    assert.deepEqual(await first.evidence.since(migration, 7), [
      counts(7, { matched: 4, fingerprint: '' }),
      counts(7, { matched: 1 }),
      counts(7, { matched: 2, fingerprint: 'two' }),
    ]);
  });

  fact('subjects that several processes add, repeats too, are counted once', async (stores) => {
    const { first, second } = stores;
    const add = (store: typeof first, minute: number, given: readonly string[]): Promise<void> => {
      const delta: EvidenceDelta = {
        ...counts(minute, { matched: given.length }),
        subjects: given,
      };
      return store.evidence.add(migration, [delta]);
    };
    await Promise.all([
      add(first, 100, subjects(0, 60)),
      add(second, 100, subjects(40, 100)),
      add(second, 101, subjects(0, 100)),
      first.evidence.add(migration, [
        { ...counts(100, { fingerprint: 'two' }), subjects: subjects(500, 600) },
      ]),
    ]);
    const rows = await first.evidence.subjects(migration, { ...filter, fromMinute: 0 });
    assert.deepEqual(
      rows.map(({ minute }) => minute),
      [100, 101],
    );
    assert.equal(countSubjects(rows.map(({ packed }) => packed)), 100);
    assert.equal(countSubjects(rows.slice(0, 1).map(({ packed }) => packed)), 100);
    const later = await second.evidence.subjects(migration, { ...filter, fromMinute: 102 });
    assert.deepEqual(later, []);
  });

  fact('pruning forgets the oldest subjects, and no count', async ({ first }) => {
    for (const minute of [100, 101, 102])
      await first.evidence.add(migration, [
        {
          ...counts(minute, { matched: 10 }),
          subjects: subjects(minute * 10, minute * 10 + 10),
        },
      ]);
    await first.evidence.prune(migration, { subjectsMax: 25, latencyFromMinute: 0 });
    const rows = await first.evidence.subjects(migration, { ...filter, fromMinute: 0 });
    assert.deepEqual(
      rows.map(({ minute }) => minute),
      [101, 102],
    );
    const all = await first.evidence.since(migration, 0);
    assert.deepEqual(
      all.map(({ matched }) => matched),
      [10, 10, 10],
    );
  });

  fact('latencies add up per store and bucket, over all minutes since one', async (stores) => {
    const { first, second } = stores;
    const latency = (
      minute: number,
      side: 'source' | 'target',
      ...buckets: readonly (readonly [number, number])[]
    ): EvidenceLatency => ({ collection: 'customers', side, minute, buckets: new Map(buckets) });
    await Promise.all([
      first.evidence.addLatencies(migration, [
        latency(100, 'source', [3, 2], [9, 1]),
        latency(100, 'target', [4, 5]),
      ]),
      second.evidence.addLatencies(migration, [latency(101, 'source', [3, 1])]),
    ]);
    assert.deepEqual(await first.evidence.latencies(migration, 100), [
      latency(101, 'source', [3, 3], [9, 1]),
      latency(100, 'target', [4, 5]),
    ]);
    await first.evidence.prune(migration, { subjectsMax: 1, latencyFromMinute: 101 });
    assert.deepEqual(await second.evidence.latencies(migration, 0), [
      latency(101, 'source', [3, 1]),
    ]);
    await first.evidence.clear(migration);
    assert.deepEqual(await second.evidence.latencies(migration, 0), []);
  });
}
