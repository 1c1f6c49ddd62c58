import { isChangeoverError, messageOf } from '../errors/index.ts';
import { compareVersions, encodeKey, type Key } from '../record/index.ts';
import type { QueuedKey, ReadAnswer, RecordSnapshot, SnapshotPlace } from '../store/index.ts';
import {
  type AlignedPair,
  calm,
  has,
  lasting,
  type NotAligned,
  type PairScope,
  pairOf,
  switching,
} from './aligned-pair.ts';
import {
  type Confirmed,
  compared,
  KEYS,
  type KeyAt,
  type KeyInDoubt,
  type Settled,
} from './aligned-settle.ts';
import type { Alignment } from './alignment.ts';
import type { Comparator } from './comparator.ts';
import { queuedAs } from './queue-standing.ts';
import { pause, stopReason } from './verify-scope.ts';

const LOOK_MIN_MS = 5;
const LOOK_MAX_MS = 200;

/**
 * Brings two stores to one position by the authority's queue (docs/design/aligned-proof.md): an entry commits with its change, and leaves the queue when the follower has it. So
 * of a key that has no entry *in the snapshot of the authority*, the follower had everything that this snapshot shows before it was taken. What the follower had beyond
 * that is told by looking at it before and behind a second snapshot of the authority: where record and fence have stood still, nothing came in between.
 */
export class QueueAlignment implements Alignment {
  readonly by = 'queue';
  readonly options: Alignment['options'];
  readonly #pair: PairScope;
  /** Keys that were put off because they waited in the queue, as it spells them, with the highest number of their entries. */
  readonly #awaited = new Map<string, readonly [key: Key, last: bigint]>();
  /** Of these, the ones whose entries did not leave the queue in time. */
  #overdue: ReadonlySet<string> = new Set();
  /** Of those that were waited for last, not one went: they are not waited for again before one does. */
  #still = false;

  constructor(pair: PairScope) {
    this.#pair = pair;
    this.options = pair.options;
  }

  async open(): Promise<AlignedPair | NotAligned> {
    if (!(await calm(this.#pair))) return switching;
    try {
      await this.#awaitQueued();
      const { authority, follower } = await this.#openBoth();
      const place = placeOf(authority);
      return pairOf(this.#pair, authority, follower, { place, reached: place.text });
    } catch (error) {
      if (isChangeoverError(error, 'LOG_UNSUPPORTED')) return lasting(messageOf(error));
      throw error;
    }
  }

  async settle(
    comparator: Comparator,
    { authority, follower }: AlignedPair,
    keys: readonly Key[],
  ): Promise<Settled> {
    const equal: KeyAt[] = [];
    const moved: Key[] = [];
    const doubtful: KeyInDoubt[] = [];
    for (const some of chunks(keys)) {
      const looks = await this.#look(comparator, authority, follower, some);
      for (const { at, difference, queued, spelled, followed } of looks) {
        if (difference === null) equal.push(at);
        else if (this.#isOnItsWay(spelled, queued)) moved.push(at.key);
        else doubtful.push({ ...at, kind: difference.kind, followed });
      }
    }
    return { equal, moved, doubtful };
  }

  async confirm(
    comparator: Comparator,
    place: SnapshotPlace,
    doubtful: readonly KeyInDoubt[],
  ): Promise<Confirmed> {
    const none = { equal: [], moved: [], wrong: [], queued: [] };
    if (doubtful.length === 0) return none;
    if (has(this.#pair, 'read-ahead-trusted')) return { ...none, wrong: doubtful };
    if (has(this.#pair, 'number-trusted')) return byNumber(place, doubtful);
    const beside = await this.#askedBeside(doubtful);
    const equal: KeyAt[] = [];
    const moved: Key[] = [];
    const wrong: KeyInDoubt[] = [];
    const left: KeyInDoubt[] = [];
    const { authority, follower } = await this.#openBoth();
    try {
      for (const some of chunks(doubtful)) {
        const keys = some.map(({ key }) => key);
        const looks = await this.#look(comparator, authority, follower, keys);
        looks.forEach(({ at, difference, queued, spelled, followed }, index) => {
          const before = some[index]?.followed ?? null;
          const standing = beside?.get(encodeKey(at.key)) ?? queued.standing;
          if (difference === null) equal.push(at);
          else if (standing !== 'none' && this.#isOnItsWay(spelled, queued)) moved.push(at.key);
          else if (standing !== 'none') left.push({ ...at, kind: difference.kind, followed });
          else if (!sameAnswer(before, followed)) moved.push(at.key);
          else wrong.push({ ...at, kind: difference.kind, followed });
        });
      }
    } finally {
      await Promise.all([authority.close(), follower.close()]);
    }
    return { equal, moved, wrong, queued: left };
  }

  /** First the authority, then the follower. */
  async #openBoth(): Promise<{ authority: RecordSnapshot; follower: RecordSnapshot }> {
    const { openMs, snapshotMs: ageMs } = this.options;
    const authority = await this.#openNumbered();
    try {
      const follower = await this.#pair.follower.open({
        collections: [this.#pair.scope.collection.name],
        placed: false,
        openMs,
        ageMs,
      });
      return { authority, follower };
    } catch (error) {
      await authority.close();
      throw error;
    }
  }

  #openNumbered(): Promise<RecordSnapshot> {
    const { openMs, snapshotMs: ageMs } = this.options;
    return this.#pair.authority.open({
      collections: [this.#pair.scope.collection.name],
      placed: false,
      numbered: true,
      openMs,
      ageMs,
    });
  }

  /** Keys in both snapshots; the queue in that of the authority. */
  async #look(
    comparator: Comparator,
    authority: RecordSnapshot,
    follower: RecordSnapshot,
    keys: readonly Key[],
  ) {
    const { name } = this.#pair.scope.collection;
    const [held, followed] = await Promise.all([
      authority.read(name, keys),
      follower.read(name, keys, { withFence: true }),
    ]);
    const asked = keys.map((key, at) => ({ key, record: held[at]?.record ?? null }));
    const spelled = asked.map(({ key, record }) => queuedAs(this.#pair.scope, key, record));
    const queued = await authority.queued(name, spelled);
    const found = await compared(comparator, asked, followed);
    return asked.map((one, at) => ({
      at: one,
      difference: found[at] ?? null,
      queued: queued[at] ?? notQueued,
      spelled: spelled[at] as Key,
      followed: followed[at] ?? null,
    }));
  }

  /** It waits, and is worth waiting for; then it is put off until these entries are gone. */
  #isOnItsWay(key: Key, { standing, last }: QueuedKey): boolean {
    const id = encodeKey(key);
    if (standing !== 'waiting' || last === null || this.#overdue.has(id)) return false;
    this.#awaited.set(id, [key, last]);
    return true;
  }

  /** Until the entries for which keys were put off are gone; without a snapshot that would grow old meanwhile. */
  async #awaitQueued(): Promise<void> {
    const { scope } = this.#pair;
    const { clock } = scope.context.runtime;
    const before = this.#awaited.size;
    if (before === 0) return;
    const until = clock.monotonic() + (this.#still ? 0 : this.options.lagMs);
    for (let waitMs = LOOK_MIN_MS; ; waitMs = Math.min(LOOK_MAX_MS, waitMs * 2)) {
      await this.#dropGone();
      const over = clock.monotonic() >= until || stopReason(scope) !== null;
      if (this.#awaited.size === 0 || over) break;
      await pause(scope, waitMs);
    }
    this.#still = this.#awaited.size === before;
    this.#overdue = new Set(this.#awaited.keys());
    this.#awaited.clear();
  }

  async #dropGone(): Promise<void> {
    const { name } = this.#pair.scope.collection;
    const authority = await this.#openNumbered();
    try {
      for (const some of chunks([...this.#awaited])) {
        const keys = some.map(([, [key]]) => key);
        const queued = await authority.queued(name, keys);
        some.forEach(([id, [, last]], at) => {
          const first = queued[at]?.first ?? null;
          if (first === null || first > last) this.#awaited.delete(id);
        });
      }
    } finally {
      await authority.close();
    }
  }

  async #askedBeside(doubtful: readonly KeyInDoubt[]) {
    if (!has(this.#pair, 'queue-beside')) return null;
    const { authority, collection } = this.#pair.scope;
    const keys = doubtful.map(({ key }) => key);
    const standings = (await authority.queue.standing?.(collection.name, keys)) ?? [];
    return new Map(keys.map((key, at) => [encodeKey(key), standings[at] ?? 'none']));
  }
}

const notQueued: QueuedKey = { standing: 'none', first: null, last: null };

function chunks<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const found: (readonly Item[])[] = [];
  for (let from = 0; from < items.length; from += KEYS) found.push(items.slice(from, from + KEYS));
  return found;
}

function placeOf({ place }: RecordSnapshot): SnapshotPlace {
  return place ?? { from: 0n, until: 0n, text: 'no number' };
}

/** Nothing has come in between: neither through the door, nor past it, nor from a copy, which leaves no fence. */
function sameAnswer(one: ReadAnswer | null, other: ReadAnswer | null): boolean {
  const [a, b] = [one?.fence ?? null, other?.fence ?? null];
  const fences = a === null || b === null ? a === b : compareVersions(a, b) === 0;
  return fences && JSON.stringify(one?.record) === JSON.stringify(other?.record);
}

/** The wrong way: numbers are drawn before the commit, and a write that is applied inline carries its own. */
function byNumber({ until }: SnapshotPlace, doubtful: readonly KeyInDoubt[]): Confirmed {
  const isLater = ({ followed }: KeyInDoubt): boolean => (followed?.fence?.sequence ?? 0n) > until;
  return {
    equal: [],
    moved: doubtful.filter(isLater).map(({ key }) => key),
    wrong: doubtful.filter((one) => !isLater(one)),
    queued: [],
  };
}
