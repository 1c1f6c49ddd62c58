import { dispositionOf, isChangeoverError, messageOf } from '../errors/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';
import { type AlignedPair, isNotAligned, type NotAligned } from './aligned-pair.ts';
import type { AlignedProgress, AlignedState, Doubt } from './aligned-progress.ts';
import { nextSegment, type Segment } from './aligned-segment.ts';
import type { KeyInDoubt } from './aligned-settle.ts';
import type { Alignment } from './alignment.ts';
import { pairsByKey, pairsByRange, pairsBySample, persistently } from './pages.ts';
import { type ProofGap, proofPlace, withWay } from './proof.ts';
import { folded } from './proof-digest.ts';
import { pause, stopReason, type VerifyStop } from './verify-scope.ts';
import { drainAll, recheckSome, tooMany, type Walk, walkPairs } from './verify-walk.ts';

/** Attempts after which a segment, and segments after which the rest, is compared by recheck. */
const TRIES_MAX = 3;
const GIVE_UP_MS = 60_000;
const RETRY_MS = 500;
const RANGES_MAX = 100;

/**
 * The comparison at one position, segment by segment (docs/design/aligned-proof.md): a snapshot of the authority with its place in the log, then one of the follower when it has come
 * there; all of the segment is compared, both ways; what differs and was written behind the place moves on into the next pair of snapshots, key by key.
 * What nobody can decide so is left to the rechecker: keys that never stand still, keys in the queue, ranges without a common position.
 *
 * State: segments → keys that moved on → rechecks → finished. Progress is written after each segment.
 */
export class AlignedWalk {
  readonly #walk: Walk;
  readonly #aligned: Alignment;
  readonly #progress: AlignedProgress;
  readonly #range: KeyRange;
  /** Keys that the rechecker has not decided; shared with whoever hears its decisions. */
  readonly #pending: ReadonlyMap<string, readonly [Key, Doubt]>;
  /** Segments in a row that had no common position. */
  #fellBack = 0;
  /** Attempts at this segment whose snapshots grew too old. */
  #tries = 0;
  #failingSince: number | null = null;
  /** The present attempt. */
  #beganAt = 0;
  /** Why digests are not asked for (again); null: they are. */
  #noDigests: string | null;
  /** Why the rest is compared by recheck. */
  #given: string | null = null;

  constructor(
    walk: Walk,
    aligned: Alignment,
    progress: AlignedProgress,
    range: KeyRange,
    pending: ReadonlyMap<string, readonly [Key, Doubt]>,
  ) {
    this.#walk = walk;
    this.#aligned = aligned;
    this.#progress = progress;
    this.#range = range;
    this.#pending = pending;
    this.#noDigests = aligned.options.digests ? null : 'digests were not wanted';
  }

  /** The reason when it ended early. */
  async run(): Promise<VerifyStop | null> {
    // What an earlier process had found and not decided: in its counts already.
    for (const [key, doubt] of this.#progress.state.pending)
      this.#walk.suspect(key, 'different', doubt);
    for (;;) {
      const { ended, moved } = this.#progress.state;
      if (ended && moved.length === 0) break;
      const stop = stopReason(this.#walk.scope) ?? (await this.#step());
      if (stop !== null) return stop;
      await recheckSome(this.#walk);
      await this.#save();
      this.#walk.progress(false);
      if (tooMany(this.#walk)) return 'too-many-mismatches';
    }
    return drainAll(this.#walk);
  }

  async #step(): Promise<VerifyStop | null> {
    if (this.#given !== null) return this.#byRecheck(this.#given);
    this.#beganAt = this.#walk.scope.context.runtime.clock.monotonic();
    try {
      const pair = await this.#aligned.open();
      if (isNotAligned(pair)) return await this.#failed(pair);
      try {
        const stop = await this.#compare(pair);
        this.#fellBack = 0;
        this.#tries = 0;
        this.#failingSince = null;
        return stop;
      } finally {
        await pair.close();
      }
    } catch (error) {
      return this.#afterError(error);
    }
  }

  /** The segment is begun again: a snapshot that failed, or grew too old, is gone. Throws what does not pass. */
  async #afterError(error: unknown): Promise<VerifyStop | null> {
    const { scope } = this.#walk;
    const now = scope.context.runtime.clock.monotonic();
    this.#failingSince ??= now;
    // The server may have ended an old one by cutting its connection.
    const old = now - this.#beganAt >= this.#aligned.options.snapshotMs;
    if (old || isChangeoverError(error, 'DEADLINE_EXCEEDED')) {
      this.#tries += 1;
      if (this.#tries >= TRIES_MAX)
        return this.#failed({ reason: messageOf(error), lasting: false });
    } else if (dispositionOf(error) !== 'retry' || now - this.#failingSince >= GIVE_UP_MS)
      throw error;
    await pause(scope, RETRY_MS);
    return null;
  }

  /** No common position for this segment; after some in a row, or for a reason that stays, none for the rest. */
  async #failed({ reason, lasting }: NotAligned): Promise<VerifyStop | null> {
    const stop = stopReason(this.#walk.scope);
    if (stop !== null) return stop;
    this.#fellBack += 1;
    this.#tries = 0;
    if (lasting || this.#fellBack >= TRIES_MAX) this.#given = reason;
    return this.#byRecheck(reason);
  }

  async #compare(pair: AlignedPair): Promise<VerifyStop | null> {
    const { scope, options, comparator, counts, tally } = this.#walk;
    const before = this.#progress.state;
    const segment = await nextSegment(this.#walk, pair, {
      range: { after: before.after, until: this.#range.until },
      ended: before.ended,
      rowsMax: this.#aligned.options.segmentRows,
      noDigests: this.#noDigests,
    });
    if ('stop' in segment) return segment.stop;
    this.#noDigests ??= segment.vain;
    const looks = new Map(before.moved.map(([key, count]) => [encodeKey(key), count]));
    const carried = before.moved.filter(([key]) => !segment.differing.has(encodeKey(key)));
    const keys = [...segment.differing.values(), ...carried.map(([key]) => key)];
    const settled = await this.#aligned.settle(comparator, pair, keys);
    // From here on nothing of the stores is held open.
    await pair.close();
    if (segment.unpaced > 0 && options.pace && !(await options.pace(segment.unpaced, scope.signal)))
      return stopReason(scope) ?? 'aborted';
    const confirmed = await this.#aligned.confirm(comparator, pair.place, settled.doubtful);
    // What was found in another state proves nothing.
    const stop = stopReason(scope);
    if (stop !== null) return stop;
    const equal = [...settled.equal, ...confirmed.equal];
    for (const { key, record } of equal) segment.digest.add(key, record);
    const moved: [Key, number][] = [];
    const hot: KeyInDoubt[] = [];
    for (const key of [...settled.moved, ...confirmed.moved]) {
      const count = (looks.get(encodeKey(key)) ?? 0) + 1;
      if (count < this.#aligned.options.roundsMax) moved.push([key, count]);
      else hot.push({ key, record: null, kind: 'different', followed: null });
    }
    const suspects =
      this.#suspect(confirmed.wrong, 'aligned') +
      this.#suspect(confirmed.queued, 'queued') +
      this.#suspect(hot, 'hot');
    const asked = [...looks.values()].filter((count) => count === 0).length;
    counts.compared(segment.compared + asked, suspects);
    tally.add({
      compared: segment.compared + asked,
      matched: segment.equal + equal.length,
      suspect: suspects,
    });
    this.#note(pair, segment, moved, hot.length, confirmed.queued.length);
    return null;
  }

  #suspect(keys: readonly KeyInDoubt[], doubt: Doubt): number {
    return keys.filter(({ key, kind }) => this.#walk.suspect(key, kind, doubt)).length;
  }

  #note(
    pair: AlignedPair,
    segment: Segment,
    moved: readonly (readonly [Key, number])[],
    hotKeys: number,
    queuedKeys: number,
  ): void {
    const { state } = this.#progress;
    const place = proofPlace(pair.place);
    const leaf = segment.digest.leaf(state.ended ? null : state.after, segment.until);
    this.#progress.change({
      after: segment.until,
      ended: segment.ended,
      moved,
      segments: state.segments + 1,
      first: state.first ?? place,
      last: place,
      follower: pair.reached,
      records: state.records + leaf.records,
      digested: state.digested + segment.digested,
      ways: segment.way === null ? state.ways : withWay(state.ways, segment.way),
      leaves: leaf.records === 0 ? state.leaves : folded([...state.leaves, leaf]),
      hotKeys: state.hotKeys + hotKeys,
      queuedKeys: state.queuedKeys + queuedKeys,
    });
  }

  /** The next segment, and what has moved on, at moments of their own. */
  async #byRecheck(reason: string): Promise<VerifyStop | null> {
    const { scope, options } = this.#walk;
    const { state } = this.#progress;
    const batchRows = Math.max(1, options.batchRows ?? 1_000);
    if (state.moved.length > 0) {
      const keys = state.moved.map(([key]) => key);
      const stop = await walkPairs(this.#walk, pairsByKey(scope, keys, Math.min(batchRows, 500)));
      if (stop !== null) return stop;
      // They were counted when they were met, unless they were only asked for.
      const known = state.moved.filter(([, count]) => count > 0).length;
      this.#walk.counts.compared(-known, 0);
      this.#progress.change({ moved: [], queuedKeys: state.queuedKeys + known });
    }
    if (state.ended) return null;
    const { sample } = options;
    const sampled = sample !== undefined && sample < 1;
    const end = sampled
      ? null
      : await persistently(scope, () =>
          scope.authority.records.boundary(
            scope.collection.name,
            { after: state.after, until: this.#range.until },
            this.#aligned.options.segmentRows,
          ),
        );
    const range = { after: state.after, until: end ?? this.#range.until };
    const pages = sampled
      ? pairsBySample(scope, sample, batchRows)
      : pairsByRange(scope, range, batchRows);
    const stop = await walkPairs(this.#walk, pages);
    if (stop !== null) return stop;
    this.#progress.change({
      after: range.until,
      ended: end === null,
      ...withRange(state, { ...range, reason }),
    });
    return null;
  }

  async #save(): Promise<void> {
    await this.#walk.tally.flush();
    this.#progress.change({
      counts: this.#walk.counts.now(),
      pending: [...this.#pending.values()],
    });
    await this.#progress.save();
  }
}

/** Neighbours that were given up for the same reason are one range. */
function withRange(
  { ranges, rangesTotal }: AlignedState,
  range: ProofGap,
): Pick<AlignedState, 'ranges' | 'rangesTotal'> {
  const last = ranges.at(-1);
  const touches = JSON.stringify(last?.until) === JSON.stringify(range.after);
  if (last !== undefined && touches && last.reason === range.reason && rangesTotal <= RANGES_MAX)
    return { ranges: [...ranges.slice(0, -1), { ...last, until: range.until }], rangesTotal };
  return { ranges: [...ranges, range].slice(0, RANGES_MAX), rangesTotal: rangesTotal + 1 };
}
