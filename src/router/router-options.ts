import type { BreakerOptions } from './circuit-breaker.ts';

/** Named moments of a write at which tests stop or kill the process. Not for applications. */
export interface RouterHooks {
  /** The authority has committed; the follower knows nothing yet. */
  readonly afterAuthority?: (collection: string) => void | Promise<void>;
}

/** How a router behaves; every value has a default (`resolveRouterOptions`). */
export interface RouterOptions {
  /** Instances that have not renewed for this long count as dead where that is safe. */
  readonly leaseMs: number;
  /** For people: shown in `status`. */
  readonly label: string;
  /** File for the last known state; null: a cold start needs the control store. */
  readonly stateFile: string | null;
  /** Longest time that a write waits while a switch holds writes; then HOLD_EXPIRED. */
  readonly holdMs: number;
  /** Writes that may wait at once; more are refused with HOLD_EXPIRED. */
  readonly heldMax: number;
  /** Server-side limit of an authority write. */
  readonly authorityTimeoutMs: number;
  /** Limit of a follower write, also after the caller has its answer. */
  readonly followerTimeoutMs: number;
  /** A read that the dial sends to the target and that takes longer is answered by the authority instead. */
  readonly dialledReadMs: number;
  /** Follower writes in flight, waited for or not; more go to the queue. */
  readonly detachedMax: number;
  /** How long the worker leaves a journal entry to this process. */
  readonly graceMs: number;
  readonly breaker: BreakerOptions;
  readonly shadow: ShadowReadOptions;
  /** Key for signing tokens; null: unsigned. */
  readonly tokenSecret: string | null;
  readonly hooks: RouterHooks;
}

export interface ShadowReadOptions {
  /** Shadow reads at once; more are shed and counted. */
  readonly concurrency: number;
  /** A shadow read that takes longer is given up and counted. */
  readonly deadlineMs: number;
  /** Counts are added to the evidence ledger this often. */
  readonly flushMs: number;
}

export const routerDefaults: RouterOptions = {
  leaseMs: 10_000,
  label: '',
  stateFile: null,
  holdMs: 5_000,
  heldMax: 10_000,
  authorityTimeoutMs: 10_000,
  followerTimeoutMs: 5_000,
  dialledReadMs: 1_000,
  detachedMax: 256,
  graceMs: 10_000,
  breaker: { failures: 5, openMs: 1_000 },
  shadow: { concurrency: 32, deadlineMs: 1_000, flushMs: 1_000 },
  tokenSecret: null,
  hooks: {},
};

export type RouterOptionsInput = Partial<Omit<RouterOptions, 'breaker' | 'shadow'>> & {
  readonly breaker?: Partial<BreakerOptions>;
  readonly shadow?: Partial<ShadowReadOptions>;
};

export function resolveRouterOptions(input: RouterOptionsInput): RouterOptions {
  return {
    ...routerDefaults,
    ...input,
    breaker: { ...routerDefaults.breaker, ...input.breaker },
    shadow: { ...routerDefaults.shadow, ...input.shadow },
  };
}
