import type { ControlConnector } from '../control/index.ts';
import type { Gate } from '../gates/index.ts';
import type { ColumnOverride } from '../mapping/index.ts';
import type {
  Capture,
  FailureMode,
  IgnoredField,
  Phase,
  Transform,
  WriteMode,
} from '../migration/index.ts';
import type { StoreConnector } from '../store/index.ts';
import type { TrafficHook } from '../traffic/index.ts';
import type { CollectionGroups, CollectionGroupsInput } from './collection-groups.ts';
import type { CustomGates } from './custom-gates.ts';
import type { MigrationOptions, OptionsInput } from './options.ts';
import type { RedactedFields } from './redaction-options.ts';

/** A child table, as far as it is stated; the rest comes from the store's catalog. */
export interface ChildDraft {
  readonly table: string;
  /** Default: the primary key. */
  readonly key?: readonly string[];
  /** Columns that hold the root's key. Default: those of the one foreign key to the root. */
  readonly parent?: readonly string[];
  readonly columns?: readonly string[];
}

/** Where a collection's records lie, as far as it is stated; the rest comes from the store's catalog. */
export interface ShapeDraft {
  /** `table` or `schema.table`. */
  readonly table: string;
  /** Default: the primary key. */
  readonly key?: readonly string[];
  readonly columns?: readonly string[];
  readonly children?: Readonly<Record<string, ChildDraft>>;
}

/** One collection in the configuration. */
export interface CollectionConfig extends CollectionGroupsInput {
  /** A table, or a shape. Default: the table named like the collection. */
  readonly source?: string | ShapeDraft;
  readonly target?: string | ShapeDraft;
  /** Makes a record of the target from one of the source. Default: unchanged. */
  readonly forward?: Transform;
  /** The way back. Needed when `forward` is given. */
  readonly backward?: Transform;
  readonly capture?: Capture;
  readonly write?: WriteMode;
  readonly failureMode?: FailureMode;
  readonly latencyBudgetMs?: number;
  readonly shadowReadSample?: number;
  /** Field or `child.field` of either side → why it is not compared, and until when. */
  readonly ignore?: Readonly<Record<string, IgnoredField>>;
  /** Column or `child.column` → what becomes of its values between the engines, where the default is not what is wanted. */
  readonly columns?: Readonly<Record<string, ColumnOverride>>;
  readonly transformVersion?: number;
  /** Fields (`column`, `child.column`) whose values are shown and kept as keyed hashes, or `'all'`. */
  readonly redact?: RedactedFields;
}

/** What `changeover.config.ts` exports, through `defineMigration`. */
export interface MigrationConfig extends OptionsInput {
  /** Lower-case letters, digits, `_`, at most 30: names our schema in both stores. */
  readonly name: string;
  readonly source: StoreConnector;
  readonly target: StoreConnector;
  /** Default: `sqlite({ file: '.changeover/<name>.db' })` beside the configuration, for processes of one host. */
  readonly control?: ControlConnector;
  readonly collections: Readonly<Record<string, CollectionConfig>>;
  /**
   * Holds the traffic that does not go through a router while authority changes: `pgbouncer({ … })`, an own `{ hold, release }`, or several. Without
   * it such writes are not held, and the store that they come to too late refuses them.
   */
  readonly traffic?: TrafficHook | readonly TrafficHook[];
  /** Further gates: a list that says before which phases, or lists per phase that is to be entered. */
  readonly customGates?: CustomGates;
}

/** A collection with every default that needs no look at the stores. */
export interface CollectionDraft extends CollectionGroups {
  readonly name: string;
  readonly source: ShapeDraft;
  readonly target: ShapeDraft;
  readonly forward: Transform;
  readonly backward: Transform;
  readonly identity: boolean;
  readonly capture: Capture;
  readonly write: WriteMode;
  readonly failureMode: FailureMode;
  readonly latencyBudgetMs: number;
  readonly shadowReadSample: number;
  readonly ignore: Readonly<Record<string, IgnoredField>>;
  readonly columns: Readonly<Record<string, ColumnOverride>>;
  readonly transformVersion: number;
  readonly redact: RedactedFields;
}

/** A configuration that was checked; made by `defineMigration` only. Frozen. */
export interface DefinedMigration {
  readonly kind: 'changeover/migration';
  readonly name: string;
  readonly source: StoreConnector;
  readonly target: StoreConnector;
  /** null: the default file. */
  readonly control: ControlConnector | null;
  readonly collections: ReadonlyMap<string, CollectionDraft>;
  readonly traffic: readonly TrafficHook[];
  readonly customGates: Partial<Readonly<Record<Phase, readonly Gate[]>>>;
  readonly options: MigrationOptions;
}
