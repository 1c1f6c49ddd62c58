import { isDeepStrictEqual } from 'node:util';
import type { EvidenceCounts, MigrationContext, Mismatch } from '../control/index.ts';
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
} from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { RouterOptions } from './router-options.ts';
import { snapshot } from './snapshot.ts';

type Outcome = 'matched' | 'suspect' | 'shed' | 'timed-out' | 'failed';

/** Repeats reads on the other store and compares, off the caller's path: never slows, fails or changes an answer. */
export interface ShadowReads {
  keyed(
    collection: Collection,
    state: MigrationState,
    servedBy: Side,
    key: Key,
    answer: DataRecord | null,
  ): void;
  closures<T>(
    name: string,
    closures: Readonly<Record<Side, () => Promise<T>>>,
    servedBy: Side,
    answer: T,
    same?: (a: T, b: T) => boolean,
  ): void;
  /** Counts and suspects told so far are in the control store, or were given up. */
  flush(): Promise<void>;
  /** Ends the regular flush. Flush before. */
  close(): void;
}

/** Suspects kept between two flushes; more are counted but not remembered (verify finds them too). */
const suspectsMax = 1_000;

export function createShadowReads(context: MigrationContext, options: RouterOptions): ShadowReads {
  return new CountingShadowReads(context, options);
}

class CountingShadowReads implements ShadowReads {
  readonly #context: MigrationContext;
  readonly #options: RouterOptions;
  #running = 0;
  /** The next turn of the event loop, while somebody waits for it. */
  #turn: Promise<void> | null = null;
  #counts = new Map<string, Record<Outcome, number>>();
  #suspects = new Map<string, Mismatch>();
  #cancelFlush: () => void = () => {};
  #closed = false;
  readonly #childKeys = new Map<string, ChildKeys>();

  constructor(context: MigrationContext, options: RouterOptions) {
    this.#context = context;
    this.#options = options;
    this.#scheduleFlush();
  }

  keyed(
    collection: Collection,
    state: MigrationState,
    servedBy: Side,
    key: Key,
    answer: DataRecord | null,
  ): void {
    if (!this.#admit(collection.name, collection.shadowReadSample)) return;
    // The caller may change what it was given: compare a copy. Child arrays are frozen by type only, so copy those rows as well.
    const served = answer === null ? null : snapshot(answer);
    void this.#run(collection.name, () =>
      this.#readKeyed(collection, authorityOf(state.phase), servedBy, key, served),
    );
  }

  async #readKeyed(
    collection: Collection,
    authority: Side,
    servedBy: Side,
    key: Key,
    served: DataRecord | null,
  ): Promise<Outcome> {
    const { records } = this.#context.stores[otherSide[servedBy]];
    const [other] = await records.read(collection.name, [key]);
    const shadow = other?.record ?? null;
    const [authorityRecord, followerRecord] =
      servedBy === authority ? [served, shadow] : [shadow, served];
    const follower = otherSide[authority];
    const expected = toFollower(collection, follower, authorityRecord);
    const found = await this.#compare(collection, follower, expected, followerRecord);
    if (found === null) return 'matched';
    this.#suspect(collection.name, encodeKey(key), expected, followerRecord, found);
    return 'suspect';
  }

  closures<T>(
    name: string,
    closures: Readonly<Record<Side, () => Promise<T>>>,
    servedBy: Side,
    answer: T,
    same: (a: T, b: T) => boolean = isDeepStrictEqual,
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
    void this.#run(name, async () => {
      const other = await closures[otherSide[servedBy]]();
      if (same(served, other)) return 'matched';
      // A write may have come between the two reads: only what still differs when both are read anew is a suspect.
      const [first, second] = await Promise.all([
        closures[servedBy](),
        closures[otherSide[servedBy]](),
      ]);
      return same(first, second) ? 'matched' : 'suspect';
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

  async #run(name: string, read: () => Promise<Outcome>): Promise<void> {
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    // A turn of the event loop first: the caller gets its answer before we do any work. One turn for all that ask in it, which is
    // half of what a shadow read costs its caller.
    this.#turn ??= clock.yield().then(this.#turned);
    await this.#turn;
    const work = read();
    // The place is free when the read has really ended, not when nobody waits for it any more: a hung store must not be piled up on.
    work.then(this.#free, this.#free);
    let outcome: Outcome;
    try {
      outcome = await withDeadline(clock, this.#options.shadow.deadlineMs, 'A shadow read', work);
    } catch (error) {
      outcome = isChangeoverError(error, 'DEADLINE_EXCEEDED') ? 'timed-out' : 'failed';
    }
    this.#count(name, outcome, clock.monotonic() - started);
  }

  readonly #turned = (): void => {
    this.#turn = null;
  };

  readonly #free = (): void => {
    this.#running--;
  };

  #count(name: string, outcome: Outcome, ms: number): void {
    let counts = this.#counts.get(name);
    if (!counts) {
      counts = { matched: 0, suspect: 0, shed: 0, 'timed-out': 0, failed: 0 };
      this.#counts.set(name, counts);
    }
    counts[outcome]++;
    this.#context.events.emit({ type: 'shadow-read', collection: name, outcome, ms });
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
    if (this.#suspects.size >= suspectsMax) return;
    const now = this.#context.runtime.clock.now();
    const kind = expected === null ? 'extra' : actual === null ? 'missing' : 'different';
    this.#suspects.set(`${collection} ${key}`, {
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

  async flush(): Promise<void> {
    const counts = this.#counts;
    const suspects = this.#suspects;
    if (counts.size === 0 && suspects.size === 0) return;
    this.#counts = new Map();
    this.#suspects = new Map();
    const { control, migration, runtime } = this.#context;
    const minute = Math.floor(runtime.clock.now() / 60_000);
    const rows = [...counts].map(([collection, count]) => evidenceRow(collection, minute, count));
    try {
      if (suspects.size > 0)
        await control.mismatches.record(migration.name, [...suspects.values()]);
      await control.evidence.add(migration.name, rows);
    } catch {
      // Evidence that could not be kept is evidence that nobody has: the gates see fewer comparisons, never more.
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelFlush();
  }
}

function evidenceRow(
  collection: string,
  minute: number,
  count: Record<Outcome, number>,
): EvidenceCounts {
  return {
    collection,
    detector: 'shadow-read',
    minute,
    compared: count.matched + count.suspect,
    matched: count.matched,
    suspect: count.suspect,
    confirmed: 0,
    shed: count.shed,
    timedOut: count['timed-out'],
    failed: count.failed,
  };
}
