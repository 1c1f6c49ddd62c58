import type { MismatchVersions } from '../control/index.ts';
import { dispositionOf, messageOf } from '../errors/index.ts';
import { compareVersions, type DataRecord, formatVersion, type Key } from '../record/index.ts';
import type { Clock } from '../runtime/index.ts';
import type { Reread } from '../store/index.ts';
import type { Comparator, Pair, PairDifference } from './comparator.ts';
import { movedOf, rereadsOf } from './kept-rereads.ts';
import { lookUnderLock } from './locked-look.ts';
import { type Standing, standingsOf } from './queue-standing.ts';
import { type RecheckEntry, RecheckQueue } from './recheck-queue.ts';
import { pause, stopReason, type VerifyScope } from './verify-scope.ts';

/** How suspects are looked at again. Times in milliseconds. */
export interface RecheckOptions {
  /** Wait before each look. All but the last are two plain reads; the last is the exact one. Default 200, 1000, 3000. */
  readonly delaysMs?: readonly number[];
  /** Wait between exact looks at a key that is being written, and how many of them. Default 100 and 20. */
  readonly hotDelayMs?: number;
  readonly hotTriesMax?: number;
  /** How long a change that waits in the queue or the log is waited for, from the first suspicion; then it is `unresolved`. Default 30 000. */
  readonly lagMaxMs?: number;
  /** How long stores that do not answer are waited for. Default 60 000. */
  readonly giveUpAfterMs?: number;
}

/** What is remembered about a suspect. */
export interface Suspicion {
  readonly detector: string;
  /** Wall clock. */
  readonly firstSeenMs: number;
  /** Looks of earlier rounds. */
  readonly rechecks: number;
}

/** How a suspicion ended. */
export interface Decision {
  readonly key: Key;
  readonly id: string;
  readonly suspicion: Suspicion;
  /** `transient`: they agree now. `persistent`: they differ, and no change under way explains it. `unresolved`: nobody can say yet. */
  readonly verdict: 'transient' | 'persistent' | 'unresolved';
  /** The key was being written at each look. */
  readonly hot: boolean;
  readonly standing: Standing;
  readonly difference: PairDifference | null;
  readonly note: string;
  /** Of the last exact look; absent: there was none. */
  readonly versions?: MismatchVersions;
  readonly rechecks: number;
  /** When the ledger's line had last been seen as the look began: one that was seen since is another suspicion. Absent: it is in no ledger. */
  readonly seenMs?: number;
}

/** Looks at suspects again until each is decided. */
export interface Rechecker {
  readonly size: number;
  /** A key that differed just now; a known one is counted once more. True when it is new. */
  suspect(key: Key, suspicion: Suspicion): boolean;
  /** Looks at what is due. */
  work(): Promise<void>;
  /** Until at most `left` suspects wait, or the scope ends. */
  drain(left: number): Promise<void>;
}

interface Memory {
  readonly suspicion: Suspicion;
  readonly seenAt: number;
  /** Text of the authority's record at the last look; undefined: not looked yet. */
  readonly text: string | undefined;
  /** Since when that text has been seen, monotonic. */
  readonly stableSince: number;
  readonly changes: number;
  readonly exactLooks: number;
  /** Of the last exact look. */
  readonly versions: MismatchVersions | null;
  /**
   * What an exact look read of the authority, while the follower has not come to that place of the log. It answers the suspicions that had been counted by
   * then, and none that came up behind it.
   */
  readonly reread: { readonly answer: Reread; readonly count: number } | null;
  readonly failingSince: number | null;
}

const BATCH = 200;
const LAG_DELAY_MS = 500;
const FAILED_DELAY_MS = 500;

const NOT_APPLIED = 'not applied yet: its change waits in the queue or the log';

type Entry = RecheckEntry<Memory>;

/**
 * **The exact look** proves that a difference is not lag, without holding any lock: (1) re-read the authority: the record and a version V
 * drawn while the key was locked, so every change older than V has committed, and its queue entry with it; (2) ask the queue: no
 * entry of the key left means that the follower has each of them; (3) read the follower with its fence: a fence not newer than V means that it
 * has nothing beyond. Then it must hold exactly what was re-read. Otherwise a change is under way, and the key is looked at again.
 * A store whose queue cannot say this per key is asked for the age of its oldest entry: the authority's value must have stood still for longer.
 *
 * Where changes come from a log, the follower is always a little behind the place of (1). What was read there is kept, and (2) and (3) are asked again until
 * the follower has come to it; a record that has changed meanwhile is begun anew. A new place with each look would never be reached.
 *
 * A key that is being written at each of `hotTriesMax` exact looks is decided under its lock (`lookUnderLock`).
 *
 * A suspect: waiting → plain looks (`delaysMs`, but for the last) → exact looks, until decided. `onDecision` must not throw.
 */
export function createRechecker(
  scope: VerifyScope,
  comparator: Comparator,
  options: RecheckOptions,
  onDecision: (decision: Decision) => void,
): Rechecker {
  return new SuspectRechecker(scope, comparator, options, onDecision);
}

const recheckDefaults: Required<RecheckOptions> = {
  delaysMs: [200, 1_000, 3_000],
  hotDelayMs: 100,
  hotTriesMax: 20,
  lagMaxMs: 30_000,
  giveUpAfterMs: 60_000,
};

class SuspectRechecker implements Rechecker {
  readonly #scope: VerifyScope;
  readonly #comparator: Comparator;
  readonly #options: Required<RecheckOptions>;
  readonly #onDecision: (decision: Decision) => void;
  readonly #clock: Clock;
  readonly #queue = new RecheckQueue<Memory>();
  /** Never stood still; the note is for when the lock is not to be had either. */
  #hottest: { entry: Entry; difference: PairDifference | null; note: string }[] = [];

  constructor(
    scope: VerifyScope,
    comparator: Comparator,
    options: RecheckOptions,
    onDecision: (decision: Decision) => void,
  ) {
    this.#scope = scope;
    this.#comparator = comparator;
    this.#options = { ...recheckDefaults, ...options };
    this.#onDecision = onDecision;
    this.#clock = scope.context.runtime.clock;
  }

  get size(): number {
    return this.#queue.size;
  }

  suspect(key: Key, suspicion: Suspicion): boolean {
    const now = this.#clock.monotonic();
    const memory: Memory = {
      suspicion,
      seenAt: now,
      text: undefined,
      stableSince: now,
      changes: 0,
      exactLooks: 0,
      versions: null,
      reread: null,
      failingSince: null,
    };
    return this.#queue.suspect(key, memory, now + (this.#options.delaysMs[0] ?? 0));
  }

  async work(): Promise<void> {
    const due = this.#queue.take(this.#clock.monotonic(), BATCH);
    const exact = (entry: Entry): boolean => entry.tries >= this.#options.delaysMs.length - 1;
    const plain = due.filter((entry) => !exact(entry));
    await this.#look(plain, (entries) => this.#plainLook(entries));
    const last = due.filter(exact);
    await this.#look(last, (entries) => this.#exactLook(entries));
    const hottest = this.#hottest;
    this.#hottest = [];
    for (const { entry, difference, note } of hottest)
      await this.#lockedLook(entry, difference, note);
  }

  async drain(left: number): Promise<void> {
    while (this.#queue.size > left && stopReason(this.#scope) === null) {
      const waitMs = (this.#queue.nextAt() ?? 0) - this.#clock.monotonic();
      if (waitMs > 0) await pause(this.#scope, waitMs);
      if (stopReason(this.#scope) === null) await this.work();
    }
  }

  /**
   * A look that fails is not a look: the same one is due again, for a while. What will not pass may be about one key: it is looked for by halves, and the others are looked at
   * without it.
   */
  async #look(
    entries: readonly Entry[],
    how: (entries: readonly Entry[]) => Promise<void>,
  ): Promise<void> {
    if (entries.length === 0) return;
    try {
      await how(entries);
    } catch (error) {
      if (dispositionOf(error) === 'reject' && entries.length > 1) {
        const middle = Math.ceil(entries.length / 2);
        await this.#look(entries.slice(0, middle), how);
        await this.#look(entries.slice(middle), how);
        return;
      }
      const retry = dispositionOf(error) === 'retry';
      const now = this.#clock.monotonic();
      for (const entry of entries) {
        const failingSince = entry.memory.failingSince ?? now;
        if (retry && now - failingSince < this.#options.giveUpAfterMs) {
          const same = { ...entry, tries: entry.tries - 1 };
          this.#queue.again(same, { ...entry.memory, failingSince }, now + FAILED_DELAY_MS);
        } else this.#decide(entry, 'unresolved', null, 'unknown', messageOf(error));
      }
    }
  }

  async #plainLook(entries: readonly Entry[]): Promise<void> {
    const { authority, follower, collection } = this.#scope;
    const keys = entries.map(({ key }) => key);
    const before = await authority.records.read(collection.name, keys);
    const after = await follower.records.read(collection.name, keys);
    const pairs = pairsOf(keys, before, after);
    const found = await this.#comparator.compare(pairs);
    const { delaysMs, hotDelayMs } = this.#options;
    entries.forEach((old, index) => {
      const entry = this.#remembered(old, pairs[index] as Pair);
      if (!found[index]) this.#decide(entry, 'transient', null, 'none', '');
      else this.#again(entry, delaysMs[entry.tries + 1] ?? hotDelayMs);
    });
  }

  async #exactLook(entries: readonly Entry[]): Promise<void> {
    const { follower, collection } = this.#scope;
    const keys = entries.map(({ key }) => key);
    const asked = entries.map(({ key, count, memory: { reread } }) => ({
      key,
      kept: reread?.count === count ? reread.answer : null,
    }));
    const before = await rereadsOf(this.#scope, asked);
    const askedAt = this.#clock.monotonic();
    const { standings, oldestMs } = await standingsOf(
      this.#scope,
      before.map(({ key }) => key),
      before.map(({ state, version }) => (state === 'read' ? version : undefined)),
      keys,
    );
    const after = await follower.records.read(collection.name, keys, { withFence: true });
    const pairs = pairsOf(keys, before, after);
    const found = await this.#comparator.compare(pairs);
    const moved = await movedOf(this.#scope, asked, found);
    entries.forEach((old, index) => {
      const reread = before[index] as Reread;
      if (reread.state !== 'read') {
        this.#whenHot(old, null, 'a writer held the key at each look');
        return;
      }
      const difference = found[index] ?? null;
      const fence = after[index]?.fence ?? null;
      const follower = fence && formatVersion(fence);
      const versions = { authority: formatVersion(reread.version), follower };
      const seen = this.#remembered(old, pairs[index] as Pair);
      const entry = { ...seen, memory: { ...seen.memory, versions } };
      const written = fence !== null && compareVersions(fence, reread.version) > 0;
      if (difference === null) this.#decide(entry, 'transient', null, 'none', '');
      else if (written || moved[index])
        this.#whenHot(entry, difference, 'it was written at each look');
      else {
        const kept = collection.capture === 'log' ? { answer: reread, count: old.count } : null;
        const still = { ...entry, memory: { ...entry.memory, reread: kept } };
        this.#whenStill(still, difference, standings[index] ?? 'unknown', askedAt - oldestMs);
      }
    });
  }

  /** Nothing newer has come in: a difference is real unless a change of the key is still on its way. */
  #whenStill(entry: Entry, difference: PairDifference, standing: Standing, oldestAt: number): void {
    const { memory } = entry;
    const { note } = difference;
    if (standing === 'dead') {
      const dead = 'dead letter: its change waits for a person';
      this.#decide(entry, 'persistent', difference, standing, note ? `${dead}; ${note}` : dead);
      return;
    }
    // The write behind the present value is older than the first look that saw it: its entry would be older, too.
    const stoodStill = standing === 'unknown' && memory.stableSince < oldestAt;
    if (standing === 'none' || stoodStill)
      this.#decide(entry, 'persistent', difference, standing, note);
    else if (this.#clock.monotonic() - memory.seenAt < this.#options.lagMaxMs)
      this.#again(entry, LAG_DELAY_MS);
    else if (standing === 'waiting')
      this.#decide(entry, 'unresolved', difference, standing, NOT_APPLIED);
    else this.#decide(entry, 'unresolved', difference, standing, 'the queue is behind');
  }

  #whenHot(entry: Entry, difference: PairDifference | null, note: string): void {
    const exactLooks = entry.memory.exactLooks + 1;
    const hot = { ...entry, memory: { ...entry.memory, exactLooks, reread: null } };
    if (exactLooks < this.#options.hotTriesMax) this.#again(hot, this.#options.hotDelayMs);
    else this.#hottest.push({ entry: hot, difference, note });
  }

  /** The last word on a key that never stands still. */
  async #lockedLook(entry: Entry, seen: PairDifference | null, note: string): Promise<void> {
    const look = await lookUnderLock(this.#scope, this.#comparator, entry.key).catch(
      (error: unknown) => messageOf(error),
    );
    if (typeof look === 'string') {
      const why = look === 'busy' ? note : `${note}; under its lock: ${look}`;
      this.#decide(entry, 'unresolved', seen, 'unknown', why);
    } else if (look.difference === null) this.#decide(entry, 'transient', null, 'none', '');
    else if (look.standing === 'none' || look.standing === 'dead')
      this.#whenStill(entry, look.difference, look.standing, 0);
    else this.#decide(entry, 'unresolved', look.difference, look.standing, NOT_APPLIED);
  }

  /** The entry with what this look saw of the authority. */
  #remembered(entry: Entry, pair: Pair): Entry {
    const text = JSON.stringify(pair.authority);
    const { memory } = entry;
    if (memory.text === text) return entry;
    const changes = memory.text === undefined ? 0 : memory.changes + 1;
    return { ...entry, memory: { ...memory, text, changes, stableSince: this.#clock.monotonic() } };
  }

  #again(entry: Entry, delayMs: number): void {
    const memory = { ...entry.memory, failingSince: null };
    this.#queue.again(entry, memory, this.#clock.monotonic() + delayMs);
  }

  #decide(
    entry: Entry,
    verdict: Decision['verdict'],
    difference: PairDifference | null,
    standing: Standing,
    note: string,
  ): void {
    const { suspicion, changes, exactLooks, versions } = entry.memory;
    const nextAt = this.#clock.monotonic() + (this.#options.delaysMs[0] ?? 0);
    const anew = { ...entry, memory: { ...entry.memory, reread: null } };
    if (!this.#queue.settle(anew, nextAt)) return;
    const looks = entry.tries + 1;
    this.#onDecision({
      key: entry.key,
      id: entry.id,
      suspicion,
      verdict,
      hot: exactLooks > 0 || (looks > 1 && changes >= looks - 1),
      standing,
      difference,
      note,
      ...(versions === null ? {} : { versions }),
      rechecks: suspicion.rechecks + looks,
    });
  }
}

type Held = readonly { readonly record: DataRecord | null }[];

function pairsOf(keys: readonly Key[], authority: Held, follower: Held): readonly Pair[] {
  return keys.map((key, index) => ({
    key,
    authority: authority[index]?.record ?? null,
    follower: follower[index]?.record ?? null,
  }));
}
