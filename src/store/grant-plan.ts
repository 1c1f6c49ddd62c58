/** What a migration will do with one side, as far as the configuration says it: enough to say what its role needs. */
export interface GrantPlan {
  readonly migration: string;
  readonly side: 'source' | 'target';
  /** Tables of all shapes, `table` or `schema.table`. */
  readonly tables: readonly string[];
  /** Something is captured from the log. */
  readonly logged: boolean;
  /** `backfill.deferIndexes` is on for this side. */
  readonly defersIndexes: boolean;
}
