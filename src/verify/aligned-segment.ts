import { encodeKey, type Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';
import type { AlignedPair } from './aligned-pair.ts';
import { openNarrowing } from './narrowing.ts';
import {
  type AuthorityPage,
  type PageExit,
  type PageReaders,
  pairsOfPage,
  readPage,
} from './pages.ts';
import type { ProofWay } from './proof.ts';
import { SegmentDigest } from './proof-digest.ts';
import { stopReason, type VerifyStop } from './verify-scope.ts';
import type { Walk as WholeWalk } from './verify-walk.ts';

type Walk = Pick<WholeWalk, 'scope' | 'options' | 'comparator'>;

/** What a pair of snapshots has shown of a range of keys. */
export interface Segment {
  /** The last key of it; null: the end of the range. */
  readonly until: Key | null;
  /** Nothing of the range is left. */
  readonly ended: boolean;
  readonly compared: number;
  readonly equal: number;
  /** Of those, the ones whose digests were made, and found equal, inside the stores. */
  readonly digested: number;
  /** Records that `pace` has not been asked for: digests come many at a time, and snapshots would grow old over the wait. */
  readonly unpaced: number;
  /** Digests say nothing here, equal records differ in them: in words. null: they do. */
  readonly vain: string | null;
  /** How it was compared; null: only single keys were. */
  readonly way: Pick<ProofWay, 'way' | 'why'> | null;
  readonly digest: SegmentDigest;
  /** Encoded key → key. */
  readonly differing: ReadonlyMap<string, Key>;
}

interface SegmentWish {
  readonly range: KeyRange;
  /** Nothing of the range is left: only single keys are looked at. */
  readonly ended: boolean;
  readonly rowsMax: number;
  /** Why ranges are not to be digested inside the stores; null: they may be. */
  readonly noDigests: string | null;
}

/** So many keys that differ end a segment: they are looked at one by one. */
const DIFFERING_MAX = 5_000;

/**
 * Compares pages of the two snapshots until so many rows are done, the snapshots have grown old or too much differs. At least one page. Nothing of it counts
 * before the caller has looked at what differs.
 */
export async function nextSegment(
  walk: Walk,
  pair: AlignedPair,
  wish: SegmentWish,
): Promise<Segment | { readonly stop: VerifyStop }> {
  const { scope, options } = walk;
  const readers: PageReaders = {
    collection: scope.collection.name,
    authority: pair.authority,
    follower: pair.follower,
    ask: (work) => work(),
  };
  if (wish.ended) return streamedSegment(walk, pair, readers, wish, null);
  const sampled = (options.sample ?? 1) < 1;
  const without = wish.noDigests ?? (sampled ? 'a sample is read page by page' : null);
  if (without !== null) return streamedSegment(walk, pair, readers, wish, without);
  const narrowed = await narrowedSegment(walk, pair, readers, wish);
  if (!('stream' in narrowed)) return narrowed;
  return streamedSegment(walk, pair, readers, wish, narrowed.stream);
}

async function streamedSegment(
  walk: Walk,
  pair: AlignedPair,
  readers: PageReaders,
  { range, ended, rowsMax }: SegmentWish,
  why: string | null,
): Promise<Segment | { readonly stop: VerifyStop }> {
  const { scope, options, comparator } = walk;
  const batchRows = Math.max(1, options.batchRows ?? 1_000);
  const digest = new SegmentDigest();
  const differing = new Map<string, Key>();
  const now = {
    until: range.after,
    ended,
    compared: 0,
    equal: 0,
    digested: 0,
    unpaced: 0,
    vain: null,
    way: why === null ? null : ({ way: 'stream', why } as const),
    digest,
    differing,
  };
  const read = (after: Key | null): Promise<AuthorityPage | null> => {
    const page = pageOf(walk, readers, pair, { after, until: range.until }, batchRows);
    // It is asked for in its turn; a failure until then is not unhandled.
    page.catch(() => {});
    return page;
  };
  let rows = 0;
  let next = ended ? null : read(range.after);
  try {
    while (next !== null) {
      const page = await next;
      next = null;
      if (page === null) return { ...now, until: range.until, ended: true };
      rows += Math.max(page.rows.length, 1);
      const goesOn = (): boolean =>
        !page.last && rows < rowsMax && pair.isYoung() && differing.size < DIFFERING_MAX;
      if (goesOn()) next = read(page.range.until);
      let until = page.range.until;
      let ended = page.last;
      const exit: PageExit = {
        isWanted: () => differing.size >= DIFFERING_MAX,
        left(at) {
          until = at;
          ended = false;
        },
      };
      for await (const pairs of pairsOfPage(readers, page, batchRows, exit)) {
        if (options.pace && !(await options.pace(pairs.length, scope.signal)))
          return { stop: stopReason(scope) ?? 'aborted' };
        const found = await comparator.compare(pairs);
        pairs.forEach(({ key, authority }, at) => {
          if (found[at]) differing.set(encodeKey(key), key);
          else {
            now.equal += 1;
            digest.add(key, authority);
          }
        });
        now.compared += pairs.length;
      }
      const stop = stopReason(scope);
      if (stop !== null) return { stop };
      now.until = until;
      now.ended = ended;
      if (next !== null && !goesOn()) {
        // What was read ahead belongs to the next segment.
        await next;
        next = null;
      }
    }
  } finally {
    await next?.catch(() => undefined);
  }
  return now;
}

/** Records in a segment whose digests are made in the stores, times those of one that is read: it costs so much less. */
const DIGESTED_TIMES = 20;
/** Records in one digest, times the same. */
const DIGEST_TIMES = 4;

/**
 * The same by digests that the stores make: equal ranges are not read at all. `stream`: why not, because these stores, or this collection, have none, or the first range shows that they
 * say nothing.
 */
async function narrowedSegment(
  { scope, options }: Walk,
  pair: AlignedPair,
  readers: PageReaders,
  { range, rowsMax }: SegmentWish,
): Promise<Segment | { readonly stop: VerifyStop } | { readonly stream: string }> {
  const narrowing = await openNarrowing(scope, readers, {
    batchRows: Math.max(1, options.batchRows ?? 1_000),
    segments: { hashedRows: DIGEST_TIMES * rowsMax, rowsMax: DIGEST_TIMES * rowsMax },
    differingMax: DIFFERING_MAX,
  });
  if (narrowing.way === 'stream') return { stream: narrowing.why };
  const digest = new SegmentDigest();
  const differing = new Map<string, Key>();
  const now = {
    until: range.after,
    ended: false,
    compared: 0,
    equal: 0,
    digested: 0,
    unpaced: 0,
    vain: null,
    way: { way: 'digest', why: narrowing.why } as const,
    digest,
    differing,
  };
  for await (const step of narrowing.walk(range)) {
    // What was streamed has no digest: the caller reads it again, and digests the text.
    if (step.way === 'stream')
      return now.compared === 0 ? { stream: narrowing.why } : { ...now, vain: narrowing.why };
    const stop = stopReason(scope);
    if (stop !== null) return { stop };
    const without = step.differing.map((one) => one.pair.key);
    for (const key of without) differing.set(encodeKey(key), key);
    const equal = step.compared - without.length;
    digest.addRange(step.range, step.digest, equal, without);
    now.compared += step.compared;
    now.equal += equal;
    now.digested += equal;
    now.unpaced += step.compared;
    now.until = step.range.until;
    now.ended = sameEnd(step.range.until, range.until);
    const full = now.compared >= DIGESTED_TIMES * rowsMax || differing.size >= DIFFERING_MAX;
    if (full || !pair.isYoung()) break;
  }
  const stop = stopReason(scope);
  return stop === null ? now : { stop };
}

const sameEnd = (one: Key | null, other: Key | null): boolean =>
  one === null || other === null ? one === other : encodeKey(one) === encodeKey(other);

/** The next page, or of a sample the next one that chance picks; null: none is left. */
async function pageOf(
  { scope, options }: Walk,
  readers: PageReaders,
  pair: AlignedPair,
  range: KeyRange,
  batchRows: number,
): Promise<AuthorityPage | null> {
  const { sample = 1 } = options;
  if (sample >= 1) return readPage(readers, range, batchRows);
  const { random } = scope.context.runtime;
  const { collection, authority } = readers;
  let { after } = range;
  for (;;) {
    const rest = { after, until: range.until };
    const until = await authority.boundary(collection, rest, batchRows);
    const wanted = random.next() < sample;
    // Behind the authority's last record there may be some of the follower's.
    if (until === null) return wanted ? { rows: [], range: rest, last: true } : null;
    if (wanted) {
      const rows = await authority.scan(collection, { after, until }, batchRows);
      return { rows, range: { after, until }, last: false };
    }
    after = until;
    if (!pair.isYoung()) return { rows: [], range: { after, until: after }, last: false };
  }
}
