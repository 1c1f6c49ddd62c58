/** What `docs/reference/check.md` says of one finding: the same for every store, without values. */
export interface FindingEntry {
  /** What was seen, and why it matters. */
  readonly meaning: string;
  /** What to do. The finding itself names tables and statements. */
  readonly fix: string;
}
