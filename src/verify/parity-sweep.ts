import { decodeKey, encodeKey, type Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';
import { addLooked, type Detector, type Looked, nothingLooked } from './detector.ts';
import { pairsByRange, persistently } from './pages.ts';
import { noteRun } from './reconciliation.ts';
import type { VerifyScope } from './verify-scope.ts';

/** How far a sweep over a collection has come. */
export interface SweepPlace {
  /** Of another generation or authority: it begins anew. */
  readonly generation: number;
  readonly authority: string;
  /** Everything up to and including this key (encoded) was compared; null: nothing yet. */
  readonly after: string | null;
  readonly startedAtMs: number;
  /** Wall clock; null: the round goes on. */
  readonly finishedAtMs: number | null;
  readonly compared: number;
  readonly suspects: number;
  /** Records that the last whole round met; null: there was none. */
  readonly lastRecords: number | null;
}

/** Walks over everything that either store holds, in the authority's key order, round after round, from where the last process has come to. */
export interface ParitySweep {
  /** The place as it was last read or written; null: not read yet. */
  readonly place: SweepPlace | null;
  /** Reads the place. Needed before `take`. */
  open(): Promise<SweepPlace>;
  /** Compares the next records, about so many; the place is kept behind them. */
  take(records: number): Promise<Looked>;
}

const memoName = (collection: string): string => `parity-sweep ${collection}`;

/** `periodMs`: a round that is finished sooner is waited for. */
export function createParitySweep(
  scope: VerifyScope,
  detector: Detector,
  periodMs: number,
): ParitySweep {
  const { context, collection, authority, begun } = scope;
  const { control, migration, runtime } = context;
  const { clock } = runtime;
  const name = memoName(collection.name);
  let place: SweepPlace | null = null;
  let version = 0;

  const fresh = (lastRecords: number | null): SweepPlace => ({
    generation: begun.generation,
    authority: authority.side,
    after: null,
    startedAtMs: clock.now(),
    finishedAtMs: null,
    compared: 0,
    suspects: 0,
    lastRecords,
  });
  const open = async (): Promise<SweepPlace> => {
    const memo = await control.memos.read(migration.name, name);
    version = memo?.version ?? 0;
    const found = memo?.body as SweepPlace | undefined;
    const same = found?.generation === begun.generation && found.authority === authority.side;
    place = found && same ? found : fresh(null);
    return place;
  };
  /** False: another process has gone on meanwhile; its place is the true one. */
  const keep = async (next: SweepPlace): Promise<boolean> => {
    const kept = await persistently(scope, () =>
      control.memos.write(migration.name, name, { ...next }, version),
    );
    if (!kept) {
      await open();
      return false;
    }
    version += 1;
    place = next;
    return true;
  };
  const finish = async (done: SweepPlace): Promise<void> => {
    const finished = { ...done, finishedAtMs: clock.now(), lastRecords: done.compared };
    if (!(await keep(finished))) return;
    await noteRun(context, begun.generation, {
      kind: 'parity-sweep',
      collection: collection.name,
      reason: 'a round of the parity worker over everything is finished',
      startedAtMs: done.startedAtMs,
      counts: { compared: done.compared, suspects: done.suspects },
    });
  };

  return {
    get place() {
      return place;
    },
    open,
    async take(records) {
      let now = place ?? (await open());
      if (now.finishedAtMs !== null) {
        const sinceMs = clock.now() - now.startedAtMs;
        // A clock that was set back is no reason to wait until it has come there again.
        if (sinceMs >= 0 && sinceMs < periodMs) return nothingLooked;
        now = fresh(now.lastRecords);
      }
      const range = await persistently(scope, () => nextRange(scope, now, records));
      let looked = nothingLooked;
      for await (const pairs of pairsByRange(scope, range, records))
        looked = addLooked(looked, await detector.look(pairs));
      const next = {
        ...now,
        after: range.until === null ? now.after : encodeKey(range.until),
        compared: now.compared + looked.compared,
        suspects: now.suspects + looked.suspects,
      };
      // What it found stands in the ledger by now: the place moves last.
      await (range.until === null ? finish(next) : keep(next));
      return looked;
    },
  };
}

/** The last range has no end: what the follower has beyond the authority's last key is met there. */
async function nextRange(
  { authority, collection }: VerifyScope,
  place: SweepPlace,
  records: number,
): Promise<KeyRange> {
  const after: Key | null = place.after === null ? null : decodeKey(place.after);
  const until = await authority.records.boundary(collection.name, { after, until: null }, records);
  return { after, until };
}
