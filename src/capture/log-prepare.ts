import type { MigrationContext } from '../control/index.ts';
import { messageOf } from '../errors/index.ts';
import type { LogMark } from '../log/index.ts';
import { type Collection, type Side, toFollower } from '../migration/index.ts';
import type { Change, Key, Version } from '../record/index.ts';
import type { CollectionChanges, KeyChange } from './log-coalesce.ts';

/** A key whose change cannot go through the door as it is. */
export interface Parked {
  readonly collection: string;
  readonly key: Key;
  /** Set: nothing but a person can help (a transform that throws). Absent: it may pass later. */
  readonly deadReason?: string;
}

/** A batch in the follower's shape. */
export interface PreparedChanges {
  readonly changes: readonly Change[];
  readonly parked: readonly Parked[];
}

/** Where changes come from and go to. */
export interface Direction {
  readonly context: MigrationContext;
  readonly authority: Side;
  readonly follower: Side;
  readonly epoch: number;
}

const REREAD_MAX = 500;
/** A key that a writer holds is asked for so often, that far apart, before it waits in the queue. */
const BUSY_TRIES = 20;
const BUSY_MS = 5;

/**
 * Makes of the newest states of a batch what the door takes: reads again what the log does not hold, and transforms. In the order of the collections.
 * A key that stays busy is parked: whoever takes it from the queue later reads it as it is then. Throws what is not about a single key.
 */
export async function prepareChanges(
  direction: Direction,
  collected: readonly CollectionChanges[],
  mark: LogMark,
): Promise<PreparedChanges> {
  const changes: Change[] = [];
  const parked: Parked[] = [];
  // One object for all changes of a transaction: there are many of them.
  let version: Version = { epoch: direction.epoch, sequence: 0n };
  for (const { collection, keys } of collected) {
    const again: Key[] = [];
    for (const change of keys.values()) {
      if (change.value === 'reread') again.push(change.key);
      else add(direction, collection, change.key, change.value, change.sequence);
    }
    for (let at = 0; at < again.length; at += REREAD_MAX)
      await readAgain(collection, again.slice(at, at + REREAD_MAX));
  }
  return { changes, parked };

  function add(
    { follower, epoch }: Direction,
    collection: Collection,
    key: Key,
    value: Exclude<KeyChange['value'], 'reread'>,
    sequence: bigint,
  ): void {
    try {
      if (version.sequence !== sequence) version = { epoch, sequence };
      changes.push({
        collection: collection.name,
        key,
        version,
        value: toFollower(collection, follower, value),
        origin: 'log',
      });
    } catch (error) {
      parked.push({ collection: collection.name, key, deadReason: messageOf(error) });
    }
  }

  async function readAgain(collection: Collection, keys: readonly Key[]): Promise<void> {
    const { records } = direction.context.stores[direction.authority];
    let left = keys;
    for (let attempt = 1; left.length > 0; attempt++) {
      const answers = await records.reread(collection.name, left, direction.epoch, mark);
      const busy: Key[] = [];
      answers.forEach((answer, index) => {
        if (answer.state === 'busy') busy.push(left[index] as Key);
        else add(direction, collection, answer.key, answer.record, answer.version.sequence);
      });
      left = busy;
      if (left.length > 0 && attempt >= BUSY_TRIES) {
        parked.push(...left.map((key) => ({ collection: collection.name, key })));
        return;
      }
      if (left.length > 0) await direction.context.runtime.clock.sleep(BUSY_MS);
    }
  }
}
