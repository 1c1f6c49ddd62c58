import { ChangeoverError } from '../../errors/index.ts';
import { type Change, compareVersions, encodeKey, type Version } from '../../record/index.ts';
import type { Door, DoorContext, DoorVerdict, OpenChange } from '../../store/index.ts';
import { createMysqlChunks } from './mysql-chunks.ts';
import {
  applyBatch,
  deleteStatements,
  lockChunksFor,
  writeStatements,
} from './mysql-door-batch.ts';
import {
  asDoorError,
  doorTransaction,
  enterDoor,
  type MysqlStoreParts,
  withRetries,
} from './mysql-door-entry.ts';
import {
  fenceIds,
  lockFence,
  pruneFences,
  readFences,
  setFence,
  versionsIn,
  winnersOf,
} from './mysql-fences.ts';
import { createMysqlLogDoor } from './mysql-log-door.ts';
import { refuseMoving, writeMoving } from './mysql-moving-children.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { OpenTransaction } from './mysql-session.ts';

/**
 * The door of a MySQL or MariaDB store; see `store/door.ts`. One batch is three round trips: {enter, fences}, {all rows}, COMMIT.
 *
 * **Locks**, always in this order, so that no two of ours wait in a circle: guard (shared) → gate (shared) → fences by
 * (collection, key) → chunk records (shared, for deletes of what is absent) → rows. Chunks take their own record and then rows, never a
 * fence. Deletes go before upserts: a unique value may move from one record to another in a batch.
 *
 * **Foreign keys are checked** (`foreign_key_checks`), except for what comes from a log (`mysql-log-door`): changes of different records come in any order, and one
 * that comes before the row it refers to is refused with `waits` and tried again. Unchecked it would be let in, and stay an orphan if the
 * other never came.
 *
 * The first row event of every transaction is on a table of ours, which is how this store's own log tells them.
 */
export function createMysqlDoor(parts: MysqlStoreParts): Door {
  const { session, layout } = parts;
  return {
    ...createMysqlChunks(parts),
    apply: (changes, context) => apply(parts, changes, context),
    open: (change, context) => open(parts, change, context),
    fences: async (collection, keys) =>
      readFences(session, layout, await parts.catalog.collection(collection), keys),
    pruneFences: (before) => pruneFences(session, layout, before),
    log: createMysqlLogDoor(parts),
  };
}

async function apply(
  parts: MysqlStoreParts,
  changes: readonly Change[],
  context: DoorContext,
): Promise<readonly DoorVerdict[]> {
  if (changes.length === 0) return [];
  const winners = await winnersOf(parts, changes);
  return withRetries(parts, context, async (left) => {
    const accepted = await parts.session.transaction(
      (transaction) =>
        applyBatch(parts, transaction, winners, {
          entrance: enterDoor(parts, left.epoch),
          acceptsEqual: false,
          order: null,
        }),
      doorTransaction(left, 'apply to the follower'),
    );
    return changes.map((change) => (accepted.has(change) ? 'applied' : 'stale'));
  });
}

async function open(
  parts: MysqlStoreParts,
  change: Omit<Change, 'version'>,
  context: DoorContext,
): Promise<OpenChange> {
  const { session, layout, catalog } = parts;
  const collection = await catalog.collection(change.collection);
  const [id = ''] = await fenceIds(session.run, collection, [change.key]);
  const { discard: _, ...options } = doorTransaction(
    context,
    `open change of "${change.collection}"`,
  );
  const transaction = await session.begin(options);
  try {
    const entrance = enterDoor(parts, context.epoch);
    const locked = await transaction.run([
      ...entrance,
      ...lockFence(layout, change.collection, id, change.key),
    ]);
    const fence = [...versionsIn(locked.at(-1)?.rows ?? []).values()][0];
    if (fence === undefined) {
      throw new ChangeoverError('BUG', `A locked fence of "${change.collection}" was not found.`);
    }
    const whole: Change = { ...change, version: { epoch: 0, sequence: 0n } };
    await lockChunksFor(transaction, layout, collection, whole);
    const written = writeStatements(collection, [whole]);
    await transaction.run([...deleteStatements(collection, [whole]), ...written.statements]);
    const moved = await writeMoving(transaction, layout, collection, written.moving, [whole]);
    refuseMoving(change.collection, moved);
    return openChange(transaction, layout, change, {
      id,
      fence,
      discard: context.discard === true,
    });
  } catch (error) {
    await transaction.rollback();
    throw asDoorError(error);
  }
}

function openChange(
  transaction: OpenTransaction,
  layout: MysqlLayout,
  change: Omit<Change, 'version'>,
  {
    id,
    fence,
    discard,
  }: { readonly id: string; readonly fence: Version; readonly discard: boolean },
): OpenChange {
  return {
    async commit(version) {
      try {
        const order = compareVersions(version, fence);
        if (order < 0 || (order === 0 && change.origin !== 'repair')) {
          await transaction.rollback();
          return 'stale';
        }
        const { count } = await transaction.query(setFence(layout, change, id, version));
        if (count !== 1) {
          throw new ChangeoverError('BUG', `A locked fence of "${change.collection}" was gone.`, {
            data: { collection: change.collection, key: encodeKey(change.key).length },
          });
        }
        if (discard) await transaction.rollback();
        else await transaction.commit();
        return 'applied';
      } catch (error) {
        await transaction.rollback();
        throw asDoorError(error);
      }
    },
    abort: () => transaction.rollback(),
  };
}
