import {
  agreesNow,
  classedFields,
  decided,
  firstLine,
  hasExpired,
  type MismatchFilter,
  type MismatchLedger,
  type MismatchLine,
  type MismatchPlace,
  type MismatchTally,
  meets,
  seenAgain,
  seenSince,
} from '../../control/index.ts';
import type { Clock } from '../../runtime/index.ts';
import type { MemoryControl } from './memory-control-store.ts';

type Call = <T>(label: string, run: () => T) => Promise<T>;

export function createMemoryMismatches(
  control: MemoryControl,
  clock: Clock,
  call: Call,
): MismatchLedger {
  const of = (migration: string): Map<string, MismatchLine> => control.of(migration).mismatches;
  return {
    record: (migration, mismatches) =>
      call('mismatches/record', () => {
        const recurring: MismatchLine[] = [];
        for (const seen of mismatches) {
          const line = of(migration).get(idOf(seen));
          const next = line ? seenAgain(line, seen) : firstLine(seen);
          of(migration).set(idOf(seen), next);
          if (next.status === 'recurring' && line?.status !== 'recurring') recurring.push(next);
        }
        return recurring;
      }),
    gone: (migration, places) =>
      call('mismatches/gone', () => {
        for (const place of places) {
          const line = of(migration).get(idOf(place));
          if (line && seenSince(line, place)) continue;
          const left = line ? agreesNow(line) : null;
          if (left === null) of(migration).delete(idOf(place));
          else of(migration).set(idOf(place), left);
        }
      }),
    drop: (migration, places) =>
      call('mismatches/drop', () => {
        for (const place of places) of(migration).delete(idOf(place));
      }),
    decide: (migration, places, decision) =>
      call('mismatches/decide', () => {
        // All are decided before one is kept: a refusal changes nothing.
        const lines = places.flatMap((place) => of(migration).get(idOf(place)) ?? []);
        const done = lines.map((line) => decided(line, decision));
        for (const line of done) of(migration).set(idOf(line), line);
        return done;
      }),
    find: (migration, place) =>
      call('mismatches/find', () => of(migration).get(idOf(place)) ?? null),
    list: (migration, filter) =>
      call('mismatches/list', () =>
        [...of(migration).values()]
          .filter((line) => matches(line, filter, clock.now()))
          .sort(filter.lastSeen ? bySight : inOrder)
          .slice(0, filter.limit),
      ),
    count: (migration, status) =>
      call(
        'mismatches/count',
        () => [...of(migration).values()].filter((line) => meets(line, status, clock.now())).length,
      ),
    tally: (migration) =>
      call('mismatches/tally', () => tallies([...of(migration).values()], clock.now())),
  };
}

const idOf = ({ collection, key }: MismatchPlace): string => `${collection} ${key}`;

type Place = NonNullable<MismatchFilter['after']>;
type Sight = NonNullable<NonNullable<MismatchFilter['lastSeen']>['after']>;

const inOrder = (a: Place, b: Place): number => a.firstSeenMs - b.firstSeenMs || byPlace(a, b);

const bySight = (a: Sight, b: Sight): number => a.lastSeenMs - b.lastSeenMs || byPlace(a, b);

const byPlace = (a: MismatchPlace, b: MismatchPlace): number =>
  byText(a.collection, b.collection) || byText(a.key, b.key);

const byText = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

function matches(line: MismatchLine, filter: MismatchFilter, nowMs: number): boolean {
  const { status, collection, field, detector, after, lastSeen } = filter;
  return (
    (status === undefined || meets(line, status, nowMs)) &&
    (collection === undefined || line.collection === collection) &&
    (filter.class === undefined || line.class === filter.class) &&
    (detector === undefined || line.detector === detector) &&
    (field === undefined || classedFields(line).some((one) => one.field === field)) &&
    (after === undefined || inOrder(line, after) > 0) &&
    (!lastSeen?.after || bySight(line, lastSeen.after) > 0)
  );
}

function tallies(lines: readonly MismatchLine[], nowMs: number): readonly MismatchTally[] {
  const found = new Map<string, MismatchTally>();
  for (const line of lines) {
    const status = hasExpired(line, nowMs) ? 'open' : line.status;
    const { collection, kind } = line;
    const alike = { collection, status, kind, class: line.class, fields: classedFields(line) };
    const id = JSON.stringify(alike);
    found.set(id, { ...alike, count: (found.get(id)?.count ?? 0) + 1 });
  }
  return [...found.values()].sort(
    (a, b) => b.count - a.count || byText(JSON.stringify(a), JSON.stringify(b)),
  );
}
