/** How much of a collection is compared all the time, in the background. */
export interface ParitySetting {
  /** `sweep`: everything once in each period. `sample`: `share` of the records in each period. */
  readonly mode: 'off' | 'sample' | 'sweep';
  /** 0 … 1; only with `sample`. */
  readonly share: number;
  readonly periodMinutes: number;
  /** Never faster, also where the period then gets longer. */
  readonly recordsPerSecondMax: number;
}

/** Where a collection says when its records were changed, and how often that is looked at. */
export interface ModifiedSetting {
  /** Column of the root table of that side; null: there is none. */
  readonly source: string | null;
  readonly target: string | null;
  readonly everySeconds: number;
  readonly overlapSeconds: number;
}

/** What happens to mismatches that are confirmed. */
export interface RepairSetting {
  /** `off`: nothing is ever written. `propose`: a person applies. `automatic`: a worker does. */
  readonly mode: 'off' | 'propose' | 'automatic';
  /** With `automatic`: records that only the follower has. */
  readonly extras: 'keep' | 'delete';
  readonly keysPerSecond: number;
  /** Repair stops when a larger share of the collection differs … */
  readonly stopShare: number;
  /** … and more keys than this. */
  readonly stopKeysMin: number;
}
