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
}

/** Registrations, acknowledgements and leases. Times are the control store's, see `ControlStore`. */
export interface Fleet {
  /** Registers or renews: sets acknowledged version and lease (now + `leaseMs`). The acknowledged version never goes down. */
  heartbeat(
    migration: string,
    instance: Pick<Instance, 'id' | 'kind' | 'label' | 'acknowledgedVersion'>,
    leaseMs: number,
  ): Promise<void>;
  /** Every registered instance, dead ones too. `nowMs` is the clock by which leases are to be judged. */
  list(
    migration: string,
  ): Promise<{ readonly nowMs: number; readonly instances: readonly Instance[] }>;
  /** Clean exit, or attested gone by the operator. Idempotent. */
  remove(migration: string, id: string): Promise<void>;
}
