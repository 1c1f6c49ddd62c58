/** How a comparison at one position is made. Times in milliseconds. */
export interface AlignedOptions {
  /** Records of the authority in one segment, that is in one pair of snapshots. Default 50 000. */
  readonly segmentRows?: number;
  /** Equal ranges are compared by digests that the stores make, where they can. Default true. */
  readonly digests?: boolean;
  /** A snapshot ends after this; a segment ends a good while before. Default 60 000. */
  readonly snapshotMs?: number;
  /** How long a snapshot may take to know its place: writers that were there before are waited for. Default 5 000. */
  readonly openMs?: number;
  /** How long a follower that is behind is waited for, without a snapshot being open. Default 30 000. */
  readonly lagMs?: number;
  /** Looks at a key that is written between the two snapshots each time; then it is rechecked under its lock. Default 3. */
  readonly roundsMax?: number;
  /** Progress older than this is not gone on with. 0: each comparison begins anew. Default 12 hours. */
  readonly resumeMs?: number;
  /** Deliberate defects, for proving that tests catch them. Default none. */
  readonly sabotage?: readonly AlignedSabotage[];
}

/**
 * - `place-beside`: the place is asked for beside the snapshot.
 * - `follower-too-early`: the follower's snapshot is taken before it has come to the place.
 * - `moved-is-equal`: a key that was written behind the place is counted as equal.
 * - `read-ahead-trusted`: what a re-read has brought before its time is not waited for; by the queue: what differs is not looked at between two looks at the follower.
 * - `queue-beside`: the queue is asked beside the snapshot.
 * - `number-trusted`: a fence up to the number that was drawn before the authority's snapshot is taken for one of a change in that snapshot.
 */
export type AlignedSabotage =
  | 'place-beside'
  | 'follower-too-early'
  | 'moved-is-equal'
  | 'read-ahead-trusted'
  | 'queue-beside'
  | 'number-trusted';

export const alignedDefaults = {
  segmentRows: 50_000,
  digests: true,
  snapshotMs: 60_000,
  openMs: 5_000,
  lagMs: 30_000,
  roundsMax: 3,
  resumeMs: 12 * 3_600_000,
  sabotage: [],
} as const satisfies Required<AlignedOptions>;
