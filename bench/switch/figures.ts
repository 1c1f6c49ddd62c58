/** What came out of many changes of authority under load. */
export interface SwitchFigures {
  /** Requests that failed, of all. */
  readonly failed: number;
  readonly requests: number;
  /** The longest request of each change. */
  readonly seenMs: readonly number[];
  /** What the engine says of each change. */
  readonly pauseMs: readonly number[];
  /** The longest request while the same was done with nothing in it. */
  readonly floorMs: readonly number[];
}
