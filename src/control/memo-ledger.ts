/** A small document that background work keeps by name, e.g. the place of a sweep. */
export interface Memo {
  readonly name: string;
  /** 1, 2, 3 … with each write. */
  readonly version: number;
  /** JSON-able; no record values but keys. */
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Documents by name, for what has to survive a process and is no state of the migration: places of sweeps, baselines, stops. Written by
 * compare-and-set, so that of several workers one at a time goes on with it. Errors: CONTROL_UNAVAILABLE.
 */
export interface MemoLedger {
  /** null: there is none of that name. */
  read(migration: string, name: string): Promise<Memo | null>;
  /** Those whose name begins so, by name; at most 10 000. */
  list(migration: string, prefix: string): Promise<readonly Memo[]>;
  /** True when the stored version was `version` (0: there was none); else nothing changed. */
  write(migration: string, name: string, body: Memo['body'], version: number): Promise<boolean>;
}
