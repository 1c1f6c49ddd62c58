import {
  type GapLedger,
  type GapRecord,
  type GapStatus,
  noGapCounts,
  undecidedGapStatuses,
} from '../../control/index.ts';
import type { Clock } from '../../runtime/index.ts';
import type { MemoryControl } from './memory-control-store.ts';

type Call = <T>(label: string, run: () => T) => Promise<T>;

const placeOf = ({ collection, key }: Pick<GapRecord, 'collection' | 'key'>): string =>
  `${collection}\u0000${key}`;

const isUndecided = ({ status }: GapRecord): boolean =>
  (undecidedGapStatuses as readonly GapStatus[]).includes(status);

export function createMemoryGaps(control: MemoryControl, clock: Clock, call: Call): GapLedger {
  const rowsOf = (migration: string, rescue: string): Map<string, GapRecord> => {
    const { gaps } = control.of(migration);
    let found = gaps.get(rescue);
    if (!found) {
      found = new Map();
      gaps.set(rescue, found);
    }
    return found;
  };
  return {
    record: (migration, rescue, records) =>
      call('gaps/record', () => {
        const rows = rowsOf(migration, rescue);
        for (const record of records) {
          if (!rows.has(placeOf(record))) rows.set(placeOf(record), record);
        }
      }),
    list: (migration, rescue, { collection, statuses, after, limit }) =>
      call('gaps/list', () =>
        [...rowsOf(migration, rescue)]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .filter(([place]) => after === undefined || place > placeOf(after))
          .map(([, record]) => record)
          .filter((record) => collection === undefined || record.collection === collection)
          .filter(({ status }) => statuses === undefined || statuses.includes(status))
          .slice(0, limit),
      ),
    find: (migration, rescue, collection, key) =>
      call('gaps/find', () => rowsOf(migration, rescue).get(placeOf({ collection, key })) ?? null),
    decide: (migration, rescue, from, decisions) =>
      call('gaps/decide', () => {
        const rows = rowsOf(migration, rescue);
        let changed = 0;
        for (const decision of decisions) {
          const row = rows.get(placeOf(decision));
          if (!row || !from.includes(row.status)) continue;
          const next = { ...row, ...decision };
          const decidedAtMs = isUndecided(next) ? null : clock.now();
          rows.set(placeOf(decision), { ...next, decidedAtMs });
          changed += 1;
        }
        return changed;
      }),
    counts: (migration, rescue) =>
      call('gaps/counts', () => {
        const counts = { ...noGapCounts };
        for (const { status } of rowsOf(migration, rescue).values()) counts[status] += 1;
        return counts;
      }),
    undecided: (migration, rescue, subjects) =>
      call('gaps/undecided', () => {
        const open = [...rowsOf(migration, rescue).values()].filter(isUndecided);
        const named = new Set(open.map(({ subject }) => subject));
        return new Set(subjects.filter((subject) => named.has(subject)));
      }),
    clear: (migration) =>
      call('gaps/clear', () => {
        control.of(migration).gaps.clear();
      }),
  };
}
