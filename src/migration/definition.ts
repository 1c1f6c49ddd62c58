import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import type { DataRecord } from '../record/index.ts';
import type { ModifiedSetting, ParitySetting, RepairSetting } from './checking.ts';
import type { Side } from './phase.ts';

/** The rows of one child table that belong to a record. One level: a child has no children. */
export interface ChildShape {
  /** `table` or `schema.table`. */
  readonly table: string;
  /** Unique key of the child row, in full (may include parent columns). */
  readonly key: readonly string[];
  /** Columns that hold the root's key, in the order of the root's key. */
  readonly parent: readonly string[];
  /** Columns to carry; default: all columns of the table that are not generated. */
  readonly columns?: readonly string[];
}

/** How a collection's records lie in one store: a root table and, for aggregates, child tables. */
export interface Shape {
  readonly table: string;
  /** Key columns of the root, in order. */
  readonly key: readonly string[];
  readonly columns?: readonly string[];
  readonly children?: Readonly<Record<string, ChildShape>>;
}

/** Makes a record of one side from the other side's. Pure and fast; null leaves the record out on that side. */
export type Transform = (record: DataRecord) => DataRecord | null;

/** Who makes the change known. */
export type Capture = 'app' | 'outbox' | 'log';
/** How a dual write reaches the follower. */
export type WriteMode = 'serial' | 'parallel' | 'deferred';
/** What a failing follower means for the caller. */
export type FailureMode = 'fail-open' | 'fail-closed';

/** A field that is not compared, for a while and for a reason. */
export interface IgnoredField {
  readonly reason: string;
  /** ISO date after which the field is compared again. */
  readonly until: string;
}

/** One collection, resolved: every default filled in. */
export interface Collection {
  readonly name: string;
  readonly source: Shape;
  readonly target: Shape;
  readonly forward: Transform;
  readonly backward: Transform;
  /** True when forward and backward are both the identity: bytes may be passed through. */
  readonly identity: boolean;
  /** True when forward and backward convert each column by itself: they may be given a part of a record. Absent: no. */
  readonly columnwise?: boolean;
  /** Without a transform of its own: the target makes the same values of the source's texts as of the converted ones, or refuses them. Rows may be
   * passed through as text (`store/text-source.ts`). Absent: false. */
  readonly passesText?: boolean;
  /**
   * Between stores that spell values differently, without a transform of its own: the fields (`column`, `child.column`) of each side that existed when the conversion was
   * made; others would pass as they are. Absent: there is nothing to convert by type.
   */
  readonly convertedFields?: Readonly<Record<Side, ReadonlySet<string>>>;
  readonly capture: Capture;
  readonly write: WriteMode;
  readonly failureMode: FailureMode;
  readonly latencyBudgetMs: number;
  readonly shadowReadSample: number;
  /** In the follower's shape: field or `child.field` → why it is not compared. */
  readonly ignore: Readonly<Record<string, IgnoredField>>;
  /** Raise it when a transform changes: it resets the evidence window. */
  readonly transformVersion: number;
  /** What becomes of each column between stores that spell values differently, as text: a change of it resets the evidence window, too. Absent: nothing. */
  readonly mapping?: string;
  /** Fields (`column`, `child.column`) whose values are kept and shown as keyed hashes only. Absent: none. */
  readonly redact?: readonly string[] | 'all';
  /** Background comparison. Absent: off. */
  readonly parity?: ParitySetting;
  /** The sweeper over a modification time. Absent: off. */
  readonly modified?: ModifiedSetting;
  /** What becomes of confirmed mismatches. Absent: a person decides. */
  readonly repair?: RepairSetting;
}

/** The migration as the engines see it. Frozen. */
export interface Migration {
  readonly name: string;
  readonly collections: ReadonlyMap<string, Collection>;
}

/** The collection of that name, or COLLECTION_UNKNOWN. */
export function collectionOf(migration: Migration, name: string): Collection {
  const collection = migration.collections.get(name);
  if (collection) return collection;
  const known = [...migration.collections.keys()].join(', ');
  throw new ChangeoverError(
    'COLLECTION_UNKNOWN',
    `Migration "${migration.name}" has no collection "${name}" (it has: ${known}).`,
  );
}

/** A record of the authority in the follower's shape. Throws TRANSFORM_FAILED or MAPPING_REFUSED, without values in the message. */
export function toFollower(
  collection: Collection,
  follower: Side,
  record: DataRecord | null,
): DataRecord | null {
  if (record === null) return null;
  const transform = follower === 'target' ? collection.forward : collection.backward;
  let result: DataRecord | null;
  try {
    result = transform(record);
  } catch (error) {
    // Not the transform's: the mapping of types around it says which column and what to do.
    if (isChangeoverError(error, 'MAPPING_REFUSED')) throw error;
    throw new ChangeoverError(
      'TRANSFORM_FAILED',
      `The ${follower === 'target' ? 'forward' : 'backward'} transform of "${collection.name}" threw: ${messageOf(error)}.`,
      { cause: error, data: { collection: collection.name } },
    );
  }
  if (result === null) return null;
  if (typeof result !== 'object' || Array.isArray(result)) {
    throw new ChangeoverError(
      'TRANSFORM_FAILED',
      `The transform of "${collection.name}" returned ${typeof result}, not a record.`,
    );
  }
  return result;
}
