/** What a store can and cannot do; engines ask this, never which engine it is. */
export interface StoreCapabilities {
  /** Row, fence and journal commit in one transaction. */
  readonly supportsTransactions: boolean;
  /** Writers that bypass the library can be refused by the store itself. */
  readonly supportsGuard: boolean;
  /** Changes by any writer can be captured by an installed trigger. */
  readonly supportsTriggerOutbox: boolean;
  /** Bulk streams between two stores of this engine without decoding. */
  readonly supportsCopyStream: boolean;
  /** Largest number of changes the door takes in one call. */
  readonly batchMax: number;
}
