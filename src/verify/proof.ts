import type { Phase } from '../migration/index.ts';
import type { Key } from '../record/index.ts';
import type { SnapshotPlace } from '../store/index.ts';
import type { ProofLeaf } from './proof-digest.ts';

/** A place in the log, JSON-able. */
export interface ProofPlace {
  readonly from: string;
  readonly until: string;
  readonly text: string;
}

export const proofPlace = ({ from, until, text }: SnapshotPlace): ProofPlace => ({
  from: String(from),
  until: String(until),
  text,
});

/** A range that was not compared at one position. */
export interface ProofGap {
  readonly after: Key | null;
  readonly until: Key | null;
  readonly reason: string;
}

/** A field that was not compared. */
export interface ProofIgnore {
  readonly field: string;
  readonly reason: string;
  readonly until: string;
}

/** How records were compared, and why so: by digests made in the stores, or read and compared one by one. */
export interface ProofWay {
  readonly way: 'digest' | 'stream';
  readonly why: string;
  readonly segments: number;
}

/** What a verification proves, and what it does not: goes into report, audit and `--json`. No record values, but keys. */
export interface VerifyProof {
  /**
   * `aligned`: both stores at one position of the log or the queue, segment by segment; what is excluded stands in `exclusions`. `recheck`: each record at a moment of
   * its own.
   */
  readonly kind: 'aligned' | 'recheck';
  /** In a sentence, with what was not checked. */
  readonly sentence: string;
  /** Why it is not `aligned`; null: it is. */
  readonly because: string | null;
  /** What its positions are of: the authority's log, or the numbers of its queue; null: none was looked for. */
  readonly by: 'log' | 'queue' | null;
  /** Which way it chose, and why; the first ten. */
  readonly ways: readonly ProofWay[];
  /** How records were compared: shapes, mapping, transform version, ignored fields, comparator. Two proofs of one fingerprint are of one kind. */
  readonly comparator: string;
  readonly phase: Phase;
  readonly epoch: number;
  readonly generation: number;
  /** Pairs of snapshots, those that only looked at single keys included. */
  readonly segments: number;
  /** Places of the authority's snapshots: the first and the last; null: there was none. */
  readonly first: ProofPlace | null;
  readonly last: ProofPlace | null;
  /** Where the follower stood before its last snapshot. */
  readonly follower: string | null;
  /** Records that both stores held alike, each at the position of its segment. */
  readonly records: number;
  /** Of those, the ones that were compared by digests made inside the stores: 256 bits, between two PostgreSQL servers 64. */
  readonly digested: number;
  /** Digest of the leaves; null: there are none. */
  readonly root: string | null;
  readonly leaves: readonly ProofLeaf[];
  readonly exclusions: {
    readonly ignored: readonly ProofIgnore[];
    /** Ranges that were compared by recheck, the first hundred. */
    readonly ranges: readonly ProofGap[];
    readonly rangesTotal: number;
    /** Keys that were written between the snapshots each time, and then decided under their lock. */
    readonly hotKeys: number;
    /** Keys whose change waited in the queue, and that were decided by recheck. */
    readonly queuedKeys: number;
  };
  /** Of the differences found at one position: those that the recheck took back. Should be 0. */
  readonly overruled: number;
  /** How often it was gone on with after it had been stopped. */
  readonly resumed: number;
}

/** Said of proofs that are not aligned. */
export const proofByRecheck =
  'Proof by recheck: each record was compared at its own moment, not at one position of both stores; ' +
  'what differed was read again under the key lock until no change of it was under way.';

/** Said of such proofs. */
export const readByRecheck: ProofWay = {
  way: 'stream',
  why: 'digests of two moments would differ by what was written in between',
  segments: 0,
};

/** One more segment that was compared in this way. */
export function withWay(
  ways: readonly ProofWay[],
  { way, why }: Omit<ProofWay, 'segments'>,
): readonly ProofWay[] {
  const known = ways.find((one) => one.way === way && one.why === why);
  if (known === undefined) return [...ways, { way, why, segments: 1 }].slice(0, WAYS_MAX);
  return ways.map((one) => (one === known ? { ...one, segments: one.segments + 1 } : one));
}

const WAYS_MAX = 10;

const positionWords: Readonly<Record<'log' | 'queue', readonly [of: string, follower: string]>> = {
  log: ['of its log', 'that had come there'],
  queue: ['of its queue', 'taken behind it, when what still waited in the queue had come'],
};

/** The sentence of an aligned proof. */
export function alignedSentence(
  proof: Pick<
    VerifyProof,
    'by' | 'first' | 'last' | 'records' | 'digested' | 'segments' | 'exclusions'
  >,
): string {
  const { by, first, last, records, digested, segments, exclusions } = proof;
  const [of, came] = positionWords[by ?? 'log'];
  const { ignored, rangesTotal, hotKeys, queuedKeys } = exclusions;
  const places =
    first?.text === last?.text ? `at ${first?.text}` : `from ${first?.text} to ${last?.text}`;
  const byDigests = digested > 0 ? ` (${digested} of them by digests made in the stores)` : '';
  const without = [
    ...(ignored.length > 0
      ? [
          `not compared: ${ignored.map(({ field, until }) => `${field} (until ${until})`).join(', ')}`,
        ]
      : []),
    ...(rangesTotal > 0 ? [`compared by recheck instead: ${counted(rangesTotal, 'range')}`] : []),
    ...(hotKeys > 0 ? [`decided under the key lock: ${counted(hotKeys, 'key')}`] : []),
    ...(queuedKeys > 0
      ? [`decided by recheck, from the queue: ${counted(queuedKeys, 'key')}`]
      : []),
  ];
  return (
    `Position-aligned proof: ${counted(records, 'record')} in ${counted(segments, 'segment')} were the same in a snapshot of the authority, ${places} ${of}, ` +
    `and in one of the follower ${came}${byDigests}; ${without.length === 0 ? 'nothing was left out' : without.join('; ')}.`
  );
}

const counted = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? '' : 's'}`;
