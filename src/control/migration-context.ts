import type { EventHub, Migration, Side } from '../migration/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { MigrationStore } from '../store/index.ts';
import type { TrafficHook } from '../traffic/index.ts';
import type { ControlStore } from './control-store.ts';

/** An opened migration: what every engine is handed. Engines own none of it and close none of it. */
export interface MigrationContext {
  readonly migration: Migration;
  readonly stores: Readonly<Record<Side, MigrationStore>>;
  readonly control: ControlStore;
  /** Holds what does not go through a router during a change of authority. Absent: nothing does. */
  readonly traffic?: readonly TrafficHook[];
  readonly runtime: Runtime;
  readonly events: EventHub;
  /** Name of this process in leases and audit: unique for its lifetime. */
  readonly instance: string;
}
