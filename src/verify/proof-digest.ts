import { createHash, type Hash } from 'node:crypto';
import type { DataRecord, Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';

/** One leaf of the digest tree: a range of keys, and what both stores held of it. */
export interface ProofLeaf {
  /** After this key … null: from the beginning. */
  readonly after: Key | null;
  /** … up to and including this one; null: to the end. */
  readonly until: Key | null;
  readonly records: number;
  /** SHA-256, hexadecimal. */
  readonly digest: string;
}

/** Leaves that a proof has at most: then neighbours are put together, two and two. */
export const LEAVES_MAX = 256;

/** Digest over the records of a segment that were found equal, in the order in which they were met: key and text as the authority's store gives it. */
export class SegmentDigest {
  records = 0;
  readonly #hash: Hash = createHash('sha256');

  /** An absent record is equal to an absent one, and nothing to digest. */
  add(key: Key, record: DataRecord | null): void {
    if (record === null) return;
    this.records += 1;
    this.#hash.update(`${JSON.stringify([key, record])}\n`);
  }

  /**
   * A range that the stores digested themselves: the authority's digest stands for its records, but for those that differ, which are named; they are added one
   * by one when they have been found equal after all.
   */
  addRange(
    { after, until }: KeyRange,
    digest: string | null,
    equal: number,
    without: readonly Key[],
  ): void {
    this.records += equal;
    this.#hash.update(`${JSON.stringify(['range', after, until, digest, without])}\n`);
  }

  /** Ends it. */
  leaf(after: Key | null, until: Key | null): ProofLeaf {
    return { after, until, records: this.records, digest: this.#hash.digest('hex') };
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** At most `LEAVES_MAX` of them, the same whoever makes them of the same segments in the same order. */
export function folded(leaves: readonly ProofLeaf[]): readonly ProofLeaf[] {
  if (leaves.length <= LEAVES_MAX) return leaves;
  const pairs: ProofLeaf[] = [];
  for (let at = 0; at < leaves.length; at += 2) {
    const one = leaves[at] as ProofLeaf;
    const other = leaves[at + 1];
    pairs.push(
      other === undefined
        ? one
        : {
            after: one.after,
            until: other.until,
            records: one.records + other.records,
            digest: sha256(`${one.digest} ${other.digest}`),
          },
    );
  }
  return pairs;
}

/** One digest for all leaves, their ranges and counts. */
export function rootOf(leaves: readonly ProofLeaf[]): string {
  return sha256(
    leaves
      .map(({ after, until, records, digest }) => JSON.stringify([after, until, records, digest]))
      .join('\n'),
  );
}
