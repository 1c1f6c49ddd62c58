/**
 * A write or a delete of one key, as its caller saw it. Times of all operations of a history are of one clock, in any unit: milliseconds, steps.
 */
export interface WriteOperation {
  readonly kind: 'write';
  /** Unique in the history: what a token names, and a report. */
  readonly id: string;
  readonly key: string;
  /** What the record is afterwards, so that no two writes of a key give the same one; null: deleted. */
  readonly value: string | null;
  readonly process: string;
  /** When it was called. */
  readonly from: number;
  /** When it was answered; of `unknown` and of one that never was: Infinity. */
  readonly to: number;
  /** `failed`: told to be not made. `unknown`: may take effect at any time after `from`, once, or never. */
  readonly outcome: 'ok' | 'failed' | 'unknown';
  /** Epoch that its process knew when it was answered (its own or a later one); null: unknown to the recorder, and taken for none. */
  readonly epoch: number | null;
}

/** A read of one key that was answered. */
export interface ReadOperation {
  readonly kind: 'read';
  readonly id: string;
  readonly key: string;
  /** null: absent. */
  readonly value: string | null;
  readonly process: string;
  readonly from: number;
  readonly to: number;
  /** The acknowledged write of this key whose token was presented; null: none. */
  readonly token: string | null;
  /** `authority`: the process read what it took for the authority. `any`: perhaps the follower (the dial was up), or nobody knows. */
  readonly route: 'authority' | 'any';
  /** Epoch that its process knew when it was answered: with the route `authority` the one by which it was routed; null: unknown. */
  readonly epoch: number | null;
}

export type Operation = WriteOperation | ReadOperation;

/** Operations in any order, and what the records were before all of them; keys that are not in `initial` were absent. */
export interface OperationHistory {
  readonly initial: ReadonlyMap<string, string>;
  readonly operations: readonly Operation[];
}

/**
 * What is asked of a read:
 * - `linearizable`: the state at a moment between call and answer;
 * - `token`: a state at or after the write of its token, and none from after its answer;
 * - `written`: some state from before its answer, however old.
 */
export type ReadDemand = 'linearizable' | 'token' | 'written';

/** Why no order of a key's operations explains what was seen. */
export type HistoryFaultKind =
  /** A read saw what nobody wrote, what its writer was told has failed, or what was written only after the read. */
  | 'value from nowhere'
  /** It could be explained if the read had not presented its token. */
  | 'older than the token'
  /** No order of the writes and of the reads from the authority fits. */
  | 'no order'
  /** Too many operations at once to decide within the bound: not a proof of a fault, and none of its absence. */
  | 'undecided';

export interface HistoryFault {
  readonly kind: HistoryFaultKind;
  readonly key: string;
  /** The first read that nothing explains. */
  readonly at: Operation;
  /** The fewest operations of the key that show it, by the time of their call. */
  readonly operations: readonly Operation[];
  /** In words, a line for each of them. */
  readonly text: string;
}

/** What was checked: counts of nothing prove nothing. */
export interface HistoryVerdict {
  readonly faults: readonly HistoryFault[];
  readonly keys: number;
  readonly writes: number;
  readonly reads: Readonly<Record<ReadDemand, number>>;
}
