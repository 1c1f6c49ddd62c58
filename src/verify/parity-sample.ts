import type { ParitySetting } from '../migration/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import { addLooked, type Detector, type Looked, nothingLooked } from './detector.ts';
import { pairsByKey, persistently } from './pages.ts';
import { SampleFrame } from './sample-frame.ts';
import type { VerifyScope } from './verify-scope.ts';

/** Draws that find nothing, for each record that is wanted, until a turn gives up: the frame is of another time. */
const TRIES_EACH = 40;
const READ_MAX = 500;

/** Compares records that chance picks. */
export interface ParitySampler {
  /** Records of the collection, about; 0: not known yet. */
  readonly records: number;
  /** Compares about so many records. null: the work was ended. */
  take(records: number): Promise<Looked | null>;
}

/**
 * Draws from what *either* store holds: a place in the frame of the authority or of the follower, each place with the same chance. A key of the follower's frame that the authority has
 * too is thrown away, since it could be drawn from the other frame; what is left of it are records that only the follower has. So every key of either store has the same chance, and the
 * share of what differs is that of the collection, extras included. A key may be drawn twice; in the evidence it counts once in each version.
 */
export function createParitySampler(
  scope: VerifyScope,
  detector: Detector,
  setting: ParitySetting,
  pace: (records: number) => Promise<boolean>,
): ParitySampler {
  const { context, collection, authority, follower } = scope;
  const { clock, random } = context.runtime;
  let frames: { readonly held: SampleFrame; readonly other: SampleFrame } | null = null;
  let renewAt = Number.NEGATIVE_INFINITY;

  const open = async (store: typeof authority): Promise<SampleFrame | null> => {
    const { estimatedRows } = await store.records.extent(collection.name);
    return SampleFrame.open(store.records, collection.name, { estimatedRows, pace });
  };
  const prepare = async (): Promise<boolean> => {
    if (frames !== null && clock.monotonic() < renewAt)
      return (await frames.held.extend()) && (await frames.other.extend());
    const held = await open(authority);
    const other = held && (await open(follower));
    if (!held || !other) return false;
    frames = { held, other };
    renewAt = clock.monotonic() + setting.periodMinutes * 60_000;
    return true;
  };

  const draw = async (wanted: number): Promise<{ held: Key[]; other: Key[] }> => {
    const { held, other } = frames as NonNullable<typeof frames>;
    const drawn: { held: Key[]; other: Key[] } = { held: [], other: [] };
    for (let tries = wanted * TRIES_EACH; tries > 0 && drawn.held.length < wanted; tries--) {
      const fromHeld = random.next() * (held.slots + other.slots) < held.slots;
      const key = await (fromHeld ? held : other).draw(random);
      if (key !== null) drawn[fromHeld ? 'held' : 'other'].push(key);
      // An authority without records: what the follower has is extra, and enough of it.
      if (drawn.other.length >= 2 * wanted && drawn.held.length === 0) break;
    }
    // A frame whose places are empty is of another time.
    if (drawn.held.length < wanted) renewAt = Number.NEGATIVE_INFINITY;
    return drawn;
  };

  return {
    get records() {
      return frames?.held.records ?? 0;
    },
    async take(records) {
      if (!(await persistently(scope, prepare))) return null;
      const { held, other } = await persistently(scope, () => draw(records));
      let looked = nothingLooked;
      for await (const pairs of pairsByKey(scope, distinct(held), READ_MAX))
        looked = addLooked(looked, await detector.look(pairs));
      for await (const pairs of pairsByKey(scope, distinct(other), READ_MAX)) {
        const extras = pairs.filter(({ authority: record }) => record === null);
        looked = addLooked(looked, await detector.look(extras));
      }
      return looked;
    },
  };
}

const distinct = (keys: readonly Key[]): readonly Key[] => [
  ...new Map(keys.map((key) => [encodeKey(key), key])).values(),
];
