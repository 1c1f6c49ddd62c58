import type { GuardState } from './guard.ts';

/**
 * What a change of authority would meet in this store. `look` takes no locks that anybody could wait for. What cannot be seen (privileges) stands in
 * `unseen`, never as "nothing there".
 */
export interface SwitchSurvey {
  look(timeoutMs: number): Promise<SwitchFacts>;
  /**
   * Takes the lock under which the guard's role is changed, and lets go of it with everything as it was: own writes and the door wait meanwhile, as in a
   * switch. What the guard said. STORE_CONFLICT after `lockTimeoutMs`: somebody's write stays open.
   */
  tryLock(lockTimeoutMs: number): Promise<GuardState>;
  /** Shows the sign as long as `work` runs, at most `timeoutMs`. Optional: without it nobody can tell whether another way leads here. */
  showSign?<T>(timeoutMs: number, work: (sign: StoreSign) => Promise<T>): Promise<T>;
}

/** Tells one store from every other, copies and standbys of it included, for as long as it is shown. */
export interface StoreSign {
  /** A statement that answers one row with one value: true in this store, for every user; false everywhere else of its engine. */
  readonly question: string;
}

export interface SwitchFacts {
  /** Tables that the guard shuts when this store stops being the authority. */
  readonly tables: number;
  /** What shutting them takes once nobody is in the way, ms: round trips as measured now, DDL as measured for this engine. */
  readonly guardMs: number;
  /** Open transactions that the shutting waits for, the oldest first. */
  readonly transactions: readonly OpenTransactionSeen[];
  /** What would keep the guard from being changed, with what to do about it. */
  readonly problems: readonly string[];
  /** What cannot be seen with these privileges, with what to do about it: nobody is to take it for "nothing there". */
  readonly unseen: readonly string[];
}

/** A transaction of anybody's, as the store's catalogue shows it. */
export interface OpenTransactionSeen {
  /** Process or connection id; of a prepared transaction its name. */
  readonly id: string;
  readonly kind: 'session' | 'prepared';
  readonly user: string;
  readonly application: string;
  /** null: not told to us. */
  readonly ageMs: number | null;
  /** `active`, `idle in transaction` …, as the store calls it. */
  readonly doing: string;
  /** Empty: it is not known which. */
  readonly tables: readonly string[];
}
