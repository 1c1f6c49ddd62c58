import type { StoreFacts } from './store-facts.ts';

/** One answer of the preflight. `unknown` is never pass. */
export interface Finding {
  /** Stable id, e.g. `postgres/no-primary-key`. */
  readonly id: string;
  readonly verdict: 'pass' | 'warn' | 'fail' | 'unknown';
  /** What was looked at and what was seen. */
  readonly message: string;
  /** What to do; a statement to run where there is one. Empty for `pass`. */
  readonly fix: string;
}

/** What the configuration intends with a store, beyond being one side. */
export interface InspectPlan {
  /** Of a follower that is copied to: `backfill.deferIndexes`. Default: none. */
  readonly deferIndexes?: 'none' | 'secondary' | 'all';
}

/** An object of ours in the store. */
export interface InstalledObject {
  readonly kind: 'schema' | 'table' | 'function' | 'trigger' | 'sequence' | 'slot' | 'publication';
  readonly name: string;
}

/** What is taken down of a collection's indexes for a copy. */
export interface DeferredIndexes {
  /** How many, the key included. */
  readonly indexes: number;
  /** The key is one of them: until it is back the door lets no upsert in (STORE_UNAVAILABLE), and changes stay where they wait. */
  readonly key: boolean;
}

/** Preflight, installation and removal. Nothing outside our own schema and triggers is ever touched. */
export interface StoreSetup {
  /** Connectivity, privileges, versions, keys, types, constraints. Never throws for a finding; changes nothing. */
  inspect(role: 'authority' | 'follower', plan?: InspectPlan): Promise<readonly Finding[]>;
  /** What is set beside the other side's. Optional: what a store does not tell is not compared. */
  readonly facts?: StoreFacts;
  /** Creates our schema, tables, sequence, disabled guard triggers. Idempotent. The guard's role starts as given if it was `idle`. */
  install(role: 'authority' | 'follower' | 'idle', epoch: number): Promise<void>;
  /**
   * Adds what this version has beside what an older one has installed; nothing where nothing is installed. Idempotent. CONFIG_INVALID where a newer version
   * has installed, LEFTOVERS_FOUND where an older one has what this one cannot work with. Without it every version has the same.
   */
  readonly upgrade?: () => Promise<void>;
  /** Installs the outbox trigger on the tables of a collection. Idempotent. */
  installCapture(collection: string): Promise<void>;
  removeCapture(collection: string): Promise<void>;
  /** A table was altered: what is remembered of columns is looked up again at the next use. Without it nothing is remembered. */
  readonly forgetTables?: () => void;
  /** What of ours exists. */
  objects(): Promise<readonly InstalledObject[]>;
  /** Removes everything of ours. Idempotent. */
  uninstall(): Promise<void>;
  /** Number of rows in the root table of the collection, counted up to `max`. */
  countUpTo(collection: string, max: number): Promise<number>;
  /** Empties the tables of the collection's shape and its fences and chunks. For a new generation, on consent only. */
  truncate(collection: string): Promise<void>;
  /** After a bulk load: what the planner needs to know (PostgreSQL: ANALYZE). Optional; a failure costs speed, never data. */
  readonly afterBulkLoad?: (collection: string) => Promise<void>;
  /**
   * Takes indexes of an *empty* follower down for the time of a bulk load: `secondary` those that neither are unique nor carry a
   * constraint, `all` the key as well where that can be. A collection that holds something is left as it is. What is down afterwards, be it from
   * an earlier call. The definitions are durable before the indexes go. Optional.
   */
  readonly deferIndexes?: (
    collection: string,
    which: 'secondary' | 'all',
  ) => Promise<DeferredIndexes>;
  /** Makes everything again that `deferIndexes` took down; idempotent; may take long. `uninstall` does it, too. Goes with `deferIndexes`. */
  readonly restoreIndexes?: (collection: string) => Promise<void>;
}
