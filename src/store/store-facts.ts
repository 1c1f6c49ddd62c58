/**
 * What the preflight asks a store in order to set it beside the other side. Changes nothing; errors are those of a read. What a store cannot tell is null, never
 * a guess.
 */
export interface StoreFacts {
  /** The server's clock, ms since 1970. */
  now(): Promise<number>;
  /** The tables of a collection, the root first. */
  limits(collection: string): Promise<readonly TableLimits[]>;
  space(): Promise<StoreSpace>;
}

/** What a table refuses, and how large it is. */
export interface TableLimits {
  /** Field of the record whose rows lie here; null: the root. */
  readonly field: string | null;
  /** Qualified and quoted. */
  readonly table: string;
  /** Carried columns that take no NULL. */
  readonly notNull: readonly string[];
  /** Unique indexes beside the key, on whole columns. */
  readonly unique: readonly { readonly name: string; readonly columns: readonly string[] }[];
  /** Conditions as the store prints them. */
  readonly checks: readonly { readonly name: string; readonly condition: string }[];
  /** Rows and indexes, as far as the store has counted; null: it does not tell. */
  readonly bytes: number | null;
}

/** Room on the disk, and how fast the log grows. */
export interface StoreSpace {
  /** Where its data lies; null: not told. */
  readonly freeBytes: number | null;
  /** Why it is not told. Empty when it is. */
  readonly unread: string;
  /** The average since the server began to count; null: not told. */
  readonly logBytesPerHour: number | null;
}
