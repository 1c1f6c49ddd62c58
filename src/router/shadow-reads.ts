import { isDeepStrictEqual } from 'node:util';
import { type MigrationContext, recordSubject, subjectOf } from '../control/index.ts';
import { isChangeoverError } from '../errors/index.ts';
import {
  authorityOf,
  type Collection,
  type MigrationState,
  otherSide,
  type Side,
  toFollower,
} from '../migration/index.ts';
import {
  type ChildKeys,
  type DataRecord,
  differences,
  encodeKey,
  type FieldDifference,
  type Key,
  keyOf,
} from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { answerText } from './answer-text.ts';
import type { RouterOptions } from './router-options.ts';
import { createShadowCounts, type Outcome, type ShadowCounts } from './shadow-counts.ts';
import { snapshot } from './snapshot.ts';

/** How a shadow read ended. */
interface Ended {
  readonly outcome: Outcome;
  /** What was compared; null: it does not count as proof. */
  readonly subject: string | null;
}

const suspected: Ended = { outcome: 'suspect', subject: null };

/** Repeats reads on the other store and compares, off the caller's path: never slows, fails or changes an answer. */
export interface ShadowReads {
  keyed(
    collection: Collection,
    state: MigrationState,
    servedBy: Side,
    key: Key,
    answer: DataRecord | null,
    /** How long the store that served took; null: not known, or something else was tried before. */
    servedMs: number | null,
  ): void;
  closures<T>(
    name: string,
    closures: Readonly<Record<Side, () => Promise<T>>>,
    servedBy: Side,
    answer: T,
    servedMs: number | null,
    same?: (a: T, b: T) => boolean,
  ): void;
  /** Counts and suspects told so far are in the control store, or were given up. */
  flush(): Promise<void>;
  /** Ends the regular flush. Flush before. */
  close(): void;
}

export function createShadowReads(context: MigrationContext, options: RouterOptions): ShadowReads {
  return new CountingShadowReads(context, options);
}

class CountingShadowReads implements ShadowReads {
  readonly #context: MigrationContext;
  readonly #options: RouterOptions;
  #running = 0;
  /** The next turn of the event loop, while somebody waits for it. */
  #turn: Promise<void> | null = null;
  readonly #counts: ShadowCounts;
  #cancelFlush: () => void = () => {};
  #closed = false;
  readonly #childKeys = new Map<string, ChildKeys>();

  constructor(context: MigrationContext, options: RouterOptions) {
    this.#context = context;
    this.#options = options;
    this.#counts = createShadowCounts(context);
    this.#scheduleFlush();
  }

  keyed(
    collection: Collection,
    state: MigrationState,
    servedBy: Side,
    key: Key,
    answer: DataRecord | null,
    servedMs: number | null,
  ): void {
    if (!this.#admit(collection.name, collection.shadowReadSample)) return;
    // The caller may change what it was given: compare a copy. Child arrays are frozen by type only, so copy those rows as well.
    const served = answer === null ? null : snapshot(answer);
    void this.#run(collection.name, otherSide[servedBy], servedMs, async (took) => {
      const { records } = this.#context.stores[otherSide[servedBy]];
      const [other] = await took(() => records.read(collection.name, [key]));
      return this.#judge(
        collection,
        authorityOf(state.phase),
        servedBy,
        key,
        served,
        other?.record,
      );
    });
  }

  async #judge(
    collection: Collection,
    authority: Side,
    servedBy: Side,
    key: Key,
    served: DataRecord | null,
    shadow: DataRecord | null = null,
  ): Promise<Ended> {
    const [authorityRecord, followerRecord] =
      servedBy === authority ? [served, shadow] : [shadow, served];
    const follower = otherSide[authority];
    const expected = toFollower(collection, follower, authorityRecord);
    const found = await this.#compare(collection, follower, expected, followerRecord);
    if (found === null) {
      // A record that neither store has proves nothing of any record; and its key has any number of spellings.
      if (authorityRecord === null) return { outcome: 'matched', subject: null };
      const own = keyOf(authorityRecord, collection[authority].key);
      return { outcome: 'matched', subject: recordSubject(own, authorityRecord) };
    }
    this.#suspect(collection.name, encodeKey(key), expected, followerRecord, found);
    return suspected;
  }

  closures<T>(
    name: string,
    closures: Readonly<Record<Side, () => Promise<T>>>,
    servedBy: Side,
    answer: T,
    servedMs: number | null,
    same?: (a: T, b: T) => boolean,
  ): void {
    if (!this.#admit(name, 1)) return;
    let served: T;
    try {
      served = snapshot(answer);
    } catch {
      this.#running--;
      this.#count(name, 'failed', 0);
      return;
    }
    const equal = same ?? isDeepStrictEqual;
    // A comparison of one's own may pass over parts that are never twice the same: then nobody can tell a repeat.
    const matched = (): Ended => {
      const text = same ? null : answerText(served);
      return { outcome: 'matched', subject: text === null ? null : subjectOf(name, text) };
    };
    void this.#run(name, otherSide[servedBy], servedMs, async (took) => {
      const other = await took(closures[otherSide[servedBy]]);
      if (equal(served, other)) return matched();
      // A write may have come between the two reads: only what still differs when both are read anew is a suspect.
      const [first, second] = await Promise.all([
        closures[servedBy](),
        closures[otherSide[servedBy]](),
      ]);
      return equal(first, second) ? { outcome: 'matched', subject: null } : suspected;
    });
  }

  #admit(name: string, sample: number): boolean {
    if (this.#closed || (sample < 1 && this.#context.runtime.random.next() >= sample)) return false;
    if (this.#running >= this.#options.shadow.concurrency) {
      this.#count(name, 'shed', 0);
      return false;
    }
    this.#running++;
    return true;
  }

  /** `read` times the call of the store by `took`: not the turn before it, nor the comparison. */
  async #run(
    name: string,
    side: Side,
    servedMs: number | null,
    read: (took: <T>(call: () => Promise<T>) => Promise<T>) => Promise<Ended>,
  ): Promise<void> {
    const { clock } = this.#context.runtime;
    const { deadlineMs } = this.#options.shadow;
    const started = clock.monotonic();
    // A turn of the event loop first: the caller gets its answer before we do any work. One turn for all that ask in it, which is
    // half of what a shadow read costs its caller.
    this.#turn ??= clock.yield().then(this.#turned);
    await this.#turn;
    let storeMs: number | null = null;
    const work = read(async (call) => {
      const called = clock.monotonic();
      const answer = await call();
      storeMs = clock.monotonic() - called;
      return answer;
    });
    // The place is free when the read has really ended, not when nobody waits for it any more: a hung store must not be piled up on.
    work.then(this.#free, this.#free);
    let ended: Ended;
    try {
      ended = await withDeadline(clock, deadlineMs, 'A shadow read', work);
    } catch (error) {
      const late = isChangeoverError(error, 'DEADLINE_EXCEEDED');
      ended = { outcome: late ? 'timed-out' : 'failed', subject: null };
    }
    const { outcome, subject } = ended;
    this.#count(name, outcome, clock.monotonic() - started, side);
    if (subject !== null) this.#counts.prove(name, subject);
    // The slow ones count most: one that was given up took at least so long.
    const shadowMs = storeMs ?? (outcome === 'timed-out' ? deadlineMs : null);
    if (servedMs === null || shadowMs === null || outcome === 'failed') return;
    const latency = side === 'target' ? [servedMs, shadowMs] : [shadowMs, servedMs];
    this.#counts.took(name, { source: latency[0] ?? 0, target: latency[1] ?? 0 });
  }

  readonly #turned = (): void => {
    this.#turn = null;
  };

  readonly #free = (): void => {
    this.#running--;
  };

  #count(name: string, outcome: Outcome, ms: number, side?: Side): void {
    this.#counts.add(name, outcome);
    const read = side === undefined ? {} : { side };
    this.#context.events.emit({ type: 'shadow-read', collection: name, ...read, outcome, ms });
  }

  /** null: they agree. Text that differs is believed only after the follower's store has spelled the expected value itself. */
  async #compare(
    collection: Collection,
    follower: Side,
    expected: DataRecord | null,
    actual: DataRecord | null,
  ): Promise<readonly FieldDifference[] | null> {
    if (expected === null || actual === null) return expected === actual ? null : [];
    const childKeys = this.#childKeysOf(collection, follower);
    const ignored = this.#ignoredFields(collection);
    if (differences(expected, actual, childKeys, ignored).length === 0) return null;
    const [canonical] = await this.#context.stores[follower].records.canonicalise(collection.name, [
      expected,
    ]);
    const found = differences(canonical ?? expected, actual, childKeys, ignored);
    return found.length === 0 ? null : found;
  }

  #childKeysOf(collection: Collection, side: Side): ChildKeys {
    const cacheKey = `${side}/${collection.name}`;
    let keys = this.#childKeys.get(cacheKey);
    if (!keys) {
      const children = Object.entries(collection[side].children ?? {});
      keys = Object.fromEntries(children.map(([name, child]) => [name, child.key]));
      this.#childKeys.set(cacheKey, keys);
    }
    return keys;
  }

  #ignoredFields(collection: Collection): ReadonlySet<string> {
    const now = this.#context.runtime.clock.now();
    const live = Object.entries(collection.ignore).filter(
      ([, rule]) => Date.parse(rule.until) > now,
    );
    return new Set(live.map(([field]) => field));
  }

  #suspect(
    collection: string,
    key: string,
    expected: DataRecord | null,
    actual: DataRecord | null,
    found: readonly FieldDifference[],
  ): void {
    const now = this.#context.runtime.clock.now();
    const kind = expected === null ? 'extra' : actual === null ? 'missing' : 'different';
    this.#counts.suspect({
      collection,
      key,
      kind,
      status: 'suspect',
      detector: 'shadow-read',
      differences: found,
      firstSeenMs: now,
      lastSeenMs: now,
      rechecks: 0,
      note: '',
    });
  }

  #scheduleFlush(): void {
    this.#cancelFlush = this.#context.runtime.clock.schedule(this.#options.shadow.flushMs, () => {
      void this.flush().finally(() => {
        if (!this.#closed) this.#scheduleFlush();
      });
    });
  }

  flush(): Promise<void> {
    return this.#counts.flush();
  }

  close(): void {
    this.#closed = true;
    this.#cancelFlush();
  }
}
