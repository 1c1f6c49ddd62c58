import type {
  EvidenceCounts,
  EvidenceLedger,
  Fleet,
  Instance,
  Mismatch,
  MismatchLedger,
} from '../../control/index.ts';
import type { Clock } from '../../runtime/index.ts';
import type { MemoryControl } from './memory-control-store.ts';

type Call = <T>(label: string, run: () => T) => Promise<T>;

export function createMemoryFleet(control: MemoryControl, clock: Clock, call: Call): Fleet {
  return {
    heartbeat: (migration, instance, leaseMs) =>
      call('fleet/heartbeat', () => {
        const { instances } = control.of(migration);
        const before = instances.get(instance.id)?.acknowledgedVersion ?? 0;
        const now = clock.now();
        const next: Instance = {
          ...instance,
          acknowledgedVersion: Math.max(before, instance.acknowledgedVersion),
          lastSeenMs: now,
          leaseUntilMs: now + leaseMs,
        };
        instances.set(instance.id, next);
      }),
    list: (migration) =>
      call('fleet/list', () => ({
        nowMs: clock.now(),
        instances: [...control.of(migration).instances.values()],
      })),
    remove: (migration, id) =>
      call('fleet/remove', () => {
        control.of(migration).instances.delete(id);
      }),
  };
}

const counters = [
  'compared',
  'matched',
  'suspect',
  'confirmed',
  'shed',
  'timedOut',
  'failed',
] as const satisfies readonly (keyof EvidenceCounts)[];

export function createMemoryEvidence(control: MemoryControl, call: Call): EvidenceLedger {
  return {
    add: (migration, counts) =>
      call('evidence/add', () => {
        const { evidence } = control.of(migration);
        for (const delta of counts) {
          const id = `${delta.collection} ${delta.detector} ${delta.minute}`;
          const old = evidence.get(id);
          const sum: { -readonly [K in keyof EvidenceCounts]: EvidenceCounts[K] } = { ...delta };
          if (old) for (const name of counters) sum[name] += old[name];
          evidence.set(id, sum);
        }
      }),
    since: (migration, fromMinute) =>
      call('evidence/since', () =>
        [...control.of(migration).evidence.values()]
          .filter(({ minute }) => minute >= fromMinute)
          .sort((a, b) => a.minute - b.minute),
      ),
    clear: (migration) =>
      call('evidence/clear', () => {
        control.of(migration).evidence.clear();
      }),
  };
}

export function createMemoryMismatches(control: MemoryControl, call: Call): MismatchLedger {
  const idOf = (at: { readonly collection: string; readonly key: string }): string =>
    `${at.collection} ${at.key}`;
  return {
    record: (migration, mismatches) =>
      call('mismatches/record', () => {
        const ledger = control.of(migration).mismatches;
        for (const mismatch of mismatches) {
          const old = ledger.get(idOf(mismatch));
          const next: Mismatch = old
            ? { ...mismatch, detector: old.detector, firstSeenMs: old.firstSeenMs }
            : mismatch;
          ledger.set(idOf(mismatch), next);
        }
      }),
    drop: (migration, keys) =>
      call('mismatches/drop', () => {
        for (const key of keys) control.of(migration).mismatches.delete(idOf(key));
      }),
    list: (migration, { status, limit }) =>
      call('mismatches/list', () =>
        [...control.of(migration).mismatches.values()]
          .filter((mismatch) => status === undefined || mismatch.status === status)
          .slice(0, limit),
      ),
    count: (migration, status) =>
      call(
        'mismatches/count',
        () =>
          [...control.of(migration).mismatches.values()].filter(
            (mismatch) => mismatch.status === status,
          ).length,
      ),
  };
}
