import type { Key } from '../record/index.ts';
import type { SnapshotPlace } from '../store/index.ts';
import type { AlignedOptions } from './aligned-options.ts';
import type { AlignedPair, NotAligned } from './aligned-pair.ts';
import type { Confirmed, KeyInDoubt, Settled } from './aligned-settle.ts';
import type { Comparator } from './comparator.ts';

/** How two stores are brought to one position, and how it is told whether a key that differs there was only on its way. */
export interface Alignment {
  /** What the follower takes the changes from. */
  readonly by: 'log' | 'queue';
  readonly options: Required<AlignedOptions>;
  /** The next pair of snapshots. Throws what the stores throw. */
  open(): Promise<AlignedPair | NotAligned>;
  /** Looks at keys again, in the same pair. */
  settle(comparator: Comparator, pair: AlignedPair, keys: readonly Key[]): Promise<Settled>;
  /** Looks at what is left, when the pair is closed. */
  confirm(
    comparator: Comparator,
    place: SnapshotPlace,
    doubtful: readonly KeyInDoubt[],
  ): Promise<Confirmed>;
}
