import type { ChangeSource } from '../log/index.ts';
import type { Shape, Side } from '../migration/index.ts';
import type { ChangeQueue } from '../queue/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { StoreCapabilities } from './capabilities.ts';
import type { Door } from './door.ts';
import type { GrantPlan } from './grant-plan.ts';
import type { Guard } from './guard.ts';
import type { ModifiedRows } from './modified-rows.ts';
import type { StorePressure } from './pressure.ts';
import type { SnapshotSource } from './record-reader.ts';
import type { RecordStore } from './record-store.ts';
import type { RogueWatch } from './rogue-watch.ts';
import type { StoreSetup } from './setup.ts';
import type { SwitchSurvey } from './switch-survey.ts';
import type { TableDescription } from './table-description.ts';
import type { TextSource } from './text-source.ts';

/** Everything that one side of a migration offers. An adapter implements this; nothing else knows the engine. */
export interface MigrationStore {
  readonly side: Side;
  /** `postgres`, `memory` … for display. */
  readonly engine: string;
  readonly capabilities: StoreCapabilities;
  /** Reads, and writes as the authority. */
  readonly records: RecordStore;
  /** Entry of all changes when this store is the follower. */
  readonly door: Door;
  /** Changes of this store that have not reached the other one: journal, outbox, retries, dead letters. */
  readonly queue: ChangeQueue;
  /** This store's role and epoch, and what enforces them. */
  readonly guard: Guard;
  /** Preflight, installation, removal. */
  readonly setup: StoreSetup;
  /** Its commit log, for collections with capture `log`. Optional: without it they are refused. */
  readonly log?: ChangeSource;
  /** Its rows as text, in bulk. Optional. */
  readonly text?: TextSource;
  /** One moment of it, held for a while. Optional: without it, comparisons are proven by recheck. */
  readonly snapshots?: SnapshotSource;
  /** How busy it is. Optional: without it, background work that is to look at it does not go on. */
  readonly pressure?: StorePressure;
  /** Its rows by the time of their last change, for the sweeper. Optional. */
  readonly modified?: ModifiedRows;
  /** What a change of authority would meet here. Optional: without it nobody is told who would be waited for. */
  readonly survey?: SwitchSurvey;
  /** Who writes here although it is the follower. Optional: without it nobody knows. */
  readonly rogues?: RogueWatch;
  /** Idempotent. Running operations are waited for, at most 5 s. */
  close(): Promise<void>;
}

/** What an adapter needs to open one side. */
export interface StoreContext {
  readonly migration: string;
  readonly side: Side;
  /** Collection name → shape on this side. */
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Collections that are captured from the log: their versions are log positions. Absent: none. */
  readonly logged?: ReadonlySet<string>;
  readonly runtime: Runtime;
}

/** What stands in the configuration: knows how to open a store, and how to call it without secrets. */
export interface StoreConnector {
  readonly engine: string;
  /** Address without password. */
  readonly display: string;
  /** Opens lazily: throws STORE_UNAVAILABLE only for addresses that can never work. */
  connect(context: StoreContext): Promise<MigrationStore>;
  /**
   * The tables of the store, over a connection of its own that is closed again: fills in keys that a configuration leaves out, and lets
   * `changeover init` propose one. Without it every shape states its keys. `types`: with what each column holds, which costs a little more.
   * STORE_UNAVAILABLE.
   */
  describeTables?(
    runtime: Runtime,
    wanted?: { readonly types?: boolean },
  ): Promise<readonly TableDescription[]>;
  /** Statements that make a role with the least privileges, each ended, comments between; contacts nothing. Without it there is nothing to be granted. */
  grants?(plan: GrantPlan): readonly string[];
}
