import { dispositionOf, messageOf } from '../errors/index.ts';
import { compareVersions, type Key } from '../record/index.ts';
import type { Comparator, Pair, PairDifference } from './comparator.ts';
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
  /** How long a change that waits in the queue is waited for, from the first suspicion. Default 30 000. */
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
  readonly rechecks: number;
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
  readonly failingSince: number | null;
}

const BATCH = 200;
const LAG_DELAY_MS = 500;
const FAILED_DELAY_MS = 500;

type Entry = RecheckEntry<Memory>;

/**
 * **The exact look** proves that a difference is not lag, without holding any lock: (1) re-read the authority: the record and a version V
 * drawn while the key was locked, so every change older than V has committed, and its queue entry with it; (2) ask the queue: no
 * entry of the key left means that the follower has each of them; (3) read the follower with its fence: a fence not newer than V means that it
 * has nothing beyond. Then it must hold exactly what was re-read. Otherwise a change is under way, and the key is looked at again.
 * A store whose queue cannot say this per key is asked for the age of its oldest entry: the authority's value must have stood still for longer.
 */
export function createRechecker(
  scope: VerifyScope,
  comparator: Comparator,
  options: RecheckOptions,
  onDecision: (decision: Decision) => void,
): Rechecker {
  const { clock } = scope.context.runtime;
  const { name } = scope.collection;
  const queue = new RecheckQueue<Memory>();
  const delays = options.delaysMs ?? [200, 1_000, 3_000];
  const hotDelayMs = options.hotDelayMs ?? 100;
  const hotTriesMax = options.hotTriesMax ?? 20;
  const lagMaxMs = options.lagMaxMs ?? 30_000;
  const giveUpAfterMs = options.giveUpAfterMs ?? 60_000;

  const decide = (
    entry: Entry,
    verdict: Decision['verdict'],
    difference: PairDifference | null,
    standing: Standing,
    note: string,
  ): void => {
    const { suspicion, changes, exactLooks } = entry.memory;
    if (!queue.settle(entry, clock.monotonic() + (delays[0] ?? 0))) return;
    const looks = entry.tries + 1;
    onDecision({
      key: entry.key,
      id: entry.id,
      suspicion,
      verdict,
      hot: exactLooks > 0 || (looks > 1 && changes >= looks - 1),
      standing,
      difference,
      note,
      rechecks: suspicion.rechecks + looks,
    });
  };
  const again = (entry: Entry, delayMs: number, change: Partial<Memory> = {}): void =>
    queue.again(entry, { ...entry.memory, ...change }, clock.monotonic() + delayMs);

  /** The entry with what this look saw of the authority. */
  const remembered = (entry: Entry, pair: Pair): Entry => {
    const text = JSON.stringify(pair.authority);
    const { memory } = entry;
    if (memory.text === text) return entry;
    const changes = memory.text === undefined ? 0 : memory.changes + 1;
    return { ...entry, memory: { ...memory, text, changes, stableSince: clock.monotonic() } };
  };

  const plainLook = async (entries: readonly Entry[]): Promise<void> => {
    const keys = entries.map(({ key }) => key);
    const before = await scope.authority.records.read(name, keys);
    const after = await scope.follower.records.read(name, keys);
    const pairs = keys.map((key, index) => ({
      key,
      authority: before[index]?.record ?? null,
      follower: after[index]?.record ?? null,
    }));
    const found = await comparator.compare(pairs);
    entries.forEach((old, index) => {
      const entry = remembered(old, pairs[index] as Pair);
      const difference = found[index] ?? null;
      if (difference === null) decide(entry, 'transient', null, 'none', '');
      else again(entry, delays[entry.tries + 1] ?? hotDelayMs, { failingSince: null });
    });
  };

  const exactLook = async (entries: readonly Entry[]): Promise<void> => {
    const keys = entries.map(({ key }) => key);
    const before = await scope.authority.records.reread(name, keys, scope.begun.epoch);
    const askedAt = clock.monotonic();
    const { standings, oldestMs } = await standingsOf(scope, keys);
    const after = await scope.follower.records.read(name, keys, { withFence: true });
    const pairs = keys.map((key, index) => ({
      key,
      authority: before[index]?.record ?? null,
      follower: after[index]?.record ?? null,
    }));
    const found = await comparator.compare(pairs);
    entries.forEach((old, index) => {
      const reread = before[index];
      if (reread === undefined || reread.state === 'busy') {
        whenHot(old, null, 'a writer held the key at each look');
        return;
      }
      const entry = remembered(old, pairs[index] as Pair);
      const difference = found[index] ?? null;
      const fence = after[index]?.fence ?? null;
      if (difference === null) decide(entry, 'transient', null, 'none', '');
      else if (fence !== null && compareVersions(fence, reread.version) > 0)
        whenHot(entry, difference, 'it was written at each look');
      else whenStill(entry, difference, standings[index] ?? 'unknown', askedAt - oldestMs);
    });
  };

  /** Nothing newer has come in: a difference is real unless a change of the key is still on its way. */
  const whenStill = (
    entry: Entry,
    difference: PairDifference,
    standing: Standing,
    oldestAt: number,
  ): void => {
    const { memory } = entry;
    const { note } = difference;
    if (standing === 'dead') {
      const dead = 'dead letter: its change waits for a person';
      decide(entry, 'persistent', difference, standing, note ? `${dead}; ${note}` : dead);
      return;
    }
    // The write behind the present value is older than the first look that saw it: its entry would be older, too.
    const stoodStill = standing === 'unknown' && memory.stableSince < oldestAt;
    const settled = standing === 'none' || stoodStill;
    if (settled) decide(entry, 'persistent', difference, standing, note);
    else if (clock.monotonic() - memory.seenAt < lagMaxMs)
      again(entry, LAG_DELAY_MS, { failingSince: null });
    else if (standing === 'waiting')
      decide(entry, 'persistent', difference, standing, 'its change waits in the queue');
    else decide(entry, 'unresolved', difference, standing, 'the queue is behind');
  };

  const whenHot = (entry: Entry, difference: PairDifference | null, note: string): void => {
    const exactLooks = entry.memory.exactLooks + 1;
    if (exactLooks < hotTriesMax) again(entry, hotDelayMs, { exactLooks, failingSince: null });
    else decide(entry, 'unresolved', difference, 'unknown', note);
  };

  const look = async (
    entries: readonly Entry[],
    how: (entries: readonly Entry[]) => Promise<void>,
  ): Promise<void> => {
    if (entries.length === 0) return;
    try {
      await how(entries);
    } catch (error) {
      const retry = dispositionOf(error) === 'retry';
      const now = clock.monotonic();
      for (const entry of entries) {
        const since = entry.memory.failingSince ?? now;
        if (retry && now - since < giveUpAfterMs) {
          // Not a look: the same one is due again.
          queue.again(
            { ...entry, tries: entry.tries - 1 },
            { ...entry.memory, failingSince: since },
            now + FAILED_DELAY_MS,
          );
        } else decide(entry, 'unresolved', null, 'unknown', messageOf(error));
      }
    }
  };

  const work = async (): Promise<void> => {
    const due = queue.take(clock.monotonic(), BATCH);
    const exact = (entry: Entry): boolean => entry.tries >= delays.length - 1;
    await look(
      due.filter((entry) => !exact(entry)),
      plainLook,
    );
    await look(due.filter(exact), exactLook);
  };

  return {
    get size() {
      return queue.size;
    },
    suspect(key, suspicion) {
      const now = clock.monotonic();
      const memory: Memory = {
        suspicion,
        seenAt: now,
        text: undefined,
        stableSince: now,
        changes: 0,
        exactLooks: 0,
        failingSince: null,
      };
      return queue.suspect(key, memory, now + (delays[0] ?? 0));
    },
    work,
    async drain(left) {
      while (queue.size > left && stopReason(scope) === null) {
        const waitMs = (queue.nextAt() ?? 0) - clock.monotonic();
        if (waitMs > 0) await pause(scope, waitMs);
        if (stopReason(scope) === null) await work();
      }
    },
  };
}
