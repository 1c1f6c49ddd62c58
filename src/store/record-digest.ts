import type { ColumnType, Spelling } from '../mapping/index.ts';
import type { Key } from '../record/index.ts';
import type { DigestEncoding } from './digest-encoding.ts';
import type { KeyRange } from './record-reader.ts';

/**
 * What makes a digest of a range of rows.
 *
 * `sum64`: the sum of a 64-bit hash of each row (PostgreSQL's `hashtextextended`): in any order, by parallel workers; only between stores that have the same hash.
 * `sha256`: SHA-256 of all rows of the range in key order, 256 bits: every engine has it, and one hash of many rows costs a tenth of many hashes of one.
 */
export type DigestFunction = 'sum64' | 'sha256';

/** How rows are digested. The same columns in the same order and encodings on both sides. */
export interface DigestPlan {
  readonly function: DigestFunction;
  readonly columns: readonly { readonly name: string; readonly encoding: DigestEncoding }[];
}

/** What a store knows about a collection before it digests it. */
export interface DigestFacts {
  readonly spelling: Spelling;
  /** Fastest first; empty: nothing can be digested, for this `obstacle`. */
  readonly functions: readonly DigestFunction[];
  readonly obstacle: string;
  /** Carried columns. */
  readonly columns: ReadonlyMap<string, ColumnType>;
  /** Key columns in key order, and how each is ordered: two stores order keys alike where these names are equal. null: in a way that only this table has. */
  readonly key: readonly { readonly name: string; readonly order: string | null }[];
}

/** The digest of one range. Equal on both sides, rows and digest: the rows are equal. */
export interface RangeDigest {
  readonly rows: number;
  /** null: more text than the store can hold at once; ask for less. */
  readonly digest: string | null;
  /** Of the text that was digested; 0: not known. */
  readonly bytes: number;
}

/** A row by its key, as the store spells it, and 128 bits of its own SHA-256. */
export interface RowDigest {
  readonly key: Key;
  readonly digest: string;
}

/**
 * Digests of rows, computed inside the store: equal ranges cost a round trip and not a row. Each call sees what its reader sees (a moment of its own, or the snapshot).
 *
 * Errors: those of `RecordReader`.
 */
export interface RecordDigests {
  facts(collection: string): Promise<DigestFacts>;
  /** One digest for each range, in one round trip. */
  ranges(
    collection: string,
    plan: DigestPlan,
    ranges: readonly KeyRange[],
  ): Promise<readonly RangeDigest[]>;
  /** Up to `limit` rows of the range in key order, each with its digest. Fewer: the range is exhausted. */
  rows(
    collection: string,
    plan: DigestPlan,
    range: KeyRange,
    limit: number,
  ): Promise<readonly RowDigest[]>;
}
