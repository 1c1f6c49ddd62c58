import type { Key } from './key.ts';
import type { DataRecord } from './value.ts';
import type { Version } from './version.ts';

/** Which producer made a change. Decides the fence rule, see `store/door.ts`. */
export type Origin = 'live' | 'outbox' | 'log' | 'retry' | 'repair' | 'backfill';

/** What travels to the follower: the whole record in the *follower's* shape, or a tombstone. */
export interface Change {
  readonly collection: string;
  readonly key: Key;
  readonly version: Version;
  /** null is a tombstone: the record does not exist on the authority (or the transform leaves it out). */
  readonly value: DataRecord | null;
  readonly origin: Origin;
}
