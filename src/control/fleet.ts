import type { Side } from '../migration/index.ts';

/**
 * What a worker tells of its work for the follower, with each heartbeat. Times are ages at that moment, so that no clocks are compared; numbers are of its last
 * minute.
 */
export interface WorkerReport {
  /** The authority whose changes it applies to the other store. */
  readonly side: Side;
  /** Changes of the queue that it applied a second while it had some; null: it had none. */
  readonly changesPerSecond: number | null;
  /** Keys of the log a second, the same. */
  readonly keysPerSecond: number | null;
  /** From the newest commit of the log's last batch to its application; null: not known. */
  readonly logLagMs: number | null;
  /** Since it last applied something; null: never. */
  readonly appliedAgoMs: number | null;
  /** Why it last could not apply something (code and message, no values); null: it always could. */
  readonly lastError: string | null;
  readonly failedAgoMs: number | null;
}

/** A process that routes writes or reads, or works for the migration. */
export interface Instance {
  readonly id: string;
  readonly kind: 'router' | 'worker';
  /** host:pid, for people. */
  readonly label: string;
  /** No operation is in flight that was routed by an older state version than this. Not: "has seen it". */
  readonly acknowledgedVersion: number;
  readonly lastSeenMs: number;
  /** After this moment the instance may be dead; it is *known* to be gone only by deregistration or attestation. */
  readonly leaseUntilMs: number;
  /** Of workers; absent or null: it has not told any. */
  readonly report?: WorkerReport | null;
}

/** Registrations, acknowledgements and leases. Times are the control store's, see `ControlStore`. */
export interface Fleet {
  /** Registers or renews: sets acknowledged version and lease (now + `leaseMs`). The acknowledged version never goes down. */
  heartbeat(
    migration: string,
    instance: Pick<Instance, 'id' | 'kind' | 'label' | 'acknowledgedVersion' | 'report'>,
    leaseMs: number,
  ): Promise<void>;
  /** Every registered instance, dead ones too. `nowMs` is the clock by which leases are to be judged. */
  list(
    migration: string,
  ): Promise<{ readonly nowMs: number; readonly instances: readonly Instance[] }>;
  /** Clean exit, or attested gone by the operator. Idempotent. */
  remove(migration: string, id: string): Promise<void>;
}
