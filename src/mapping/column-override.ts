/** What a configuration says about one column, where the default of its two types is not what is wanted. */
export interface ColumnOverride {
  /** Dates such as `0000-00-00`, which PostgreSQL does not have. `refuse` (default): a dead letter. `null`: NULL, which the column has to allow. */
  readonly zeroDate?: 'refuse' | 'null';
  /** NUL characters, which text in PostgreSQL cannot hold. `refuse` (default), or `remove`. */
  readonly nul?: 'refuse' | 'remove';
  /** Digits behind the point that the column has no room for. `refuse` (default), or `round`: the store rounds as it likes. */
  readonly digits?: 'refuse' | 'round';
  /** What a text or enum holds for a boolean of the other side. */
  readonly truth?: { readonly true: string; readonly false: string };
  /** Offset of a date and time without zone whose other side has one. Default `+00:00`. */
  readonly offset?: string;
  /** 16 bytes of a uuid. `swapped`: as MySQL's `UUID_TO_BIN(uuid, 1)` writes it. Default `plain`. */
  readonly uuid?: 'plain' | 'swapped';
  /** False: the text goes over as it is, and the store decides. Default true. */
  readonly convert?: boolean;
}
