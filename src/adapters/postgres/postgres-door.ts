import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import { type Change, compareVersions, encodeKey, type Version } from '../../record/index.ts';
import type { Door, DoorContext, DoorVerdict, OpenChange } from '../../store/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import { createPostgresChunks } from './postgres-chunks.ts';
import {
  asDoorError,
  doorTransaction,
  enterDoor,
  type PostgresStoreParts,
} from './postgres-door-entry.ts';
import type { DoorStatement } from './postgres-door-sql.ts';
import { rowStatements } from './postgres-door-statements.ts';
import {
  lockFence,
  pruneFences,
  raiseFences,
  readFences,
  setFence,
  versionIn,
  winnersOf,
} from './postgres-fences.ts';
import { createPostgresLogDoor } from './postgres-log-door.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { OpenTransaction, PostgresTransaction, Statement } from './postgres-session.ts';

/** A batch that lost against another lock order (a user's trigger, a foreign key) is tried again this often. */
const ATTEMPTS_MAX = 3;

/**
 * The door of a PostgreSQL store; see `store/door.ts`. One batch is three round trips: {enter, fences}, {all rows}, COMMIT.
 *
 * **Locks**, always in this order, so that no two of ours wait in a circle: role (shared) → door (shared) → fences by
 * (collection, key) → chunk records (shared, for deletes of what is absent) → rows in key order. Chunks take their own record and then rows, never a
 * fence, and give way first (`postgres-chunks.ts`). Deletes go before upserts: a unique value may move from one record to another in a batch.
 */
export function createPostgresDoor(parts: PostgresStoreParts): Door {
  const { session, layout } = parts;
  return {
    ...createPostgresChunks(parts),
    apply: (changes, context) => apply(parts, changes, context),
    open: (change, context) => open(parts, change, context),
    fences: (collection, keys) => readFences(session, layout, collection, keys),
    pruneFences: (before) => pruneFences(session, layout, before),
    log: createPostgresLogDoor(parts),
  };
}

async function apply(
  parts: PostgresStoreParts,
  changes: readonly Change[],
  context: DoorContext,
): Promise<readonly DoorVerdict[]> {
  if (changes.length === 0) return [];
  const { clock } = parts.session.runtime;
  const endsAt = clock.monotonic() + context.timeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const timeoutMs = Math.max(1, endsAt - clock.monotonic());
      return await applyOnce(parts, changes, { ...context, timeoutMs });
    } catch (error) {
      const again = isChangeoverError(error, 'STORE_CONFLICT') && attempt < ATTEMPTS_MAX;
      if (!again || clock.monotonic() >= endsAt) throw asDoorError(error);
    }
  }
}

async function applyOnce(
  parts: PostgresStoreParts,
  changes: readonly Change[],
  context: DoorContext,
): Promise<readonly DoorVerdict[]> {
  const { session, layout, catalog } = parts;
  const winners = winnersOf(changes);
  const collections = await Promise.all(
    winners.map(({ collection }) => catalog.collection(collection)),
  );
  const accepted = new Set<Change>();
  const body = async (transaction: PostgresTransaction): Promise<void> => {
    const [, ...results] = await transaction.run([
      enterDoor(parts, context.epoch),
      ...winners.map((one) => raiseFences(layout, one)),
    ]);
    const statements: Statement[] = [];
    for (const [index, one] of winners.entries()) {
      const keys = results[index]?.rows ?? [];
      const taken = keys
        .map(([key]) => one.changes.get(key ?? ''))
        .filter((change) => change !== undefined);
      for (const change of taken) accepted.add(change);
      statements.push(...rowStatements(layout, collections[index] as CatalogCollection, taken));
    }
    if (statements.length > 0) await transaction.run(statements);
  };
  const options = doorTransaction(context, 'apply to the follower');
  await session.transaction(body, { ...options, ...(context.discard ? { discard: true } : {}) });
  return changes.map((change) => (accepted.has(change) ? 'applied' : 'stale'));
}

async function open(
  parts: PostgresStoreParts,
  change: Omit<Change, 'version'>,
  context: DoorContext,
): Promise<OpenChange> {
  const { session, layout, catalog } = parts;
  const { collection, key, value } = change;
  const found = await catalog.collection(collection);
  const transaction = await session.begin(
    doorTransaction(context, `open change of "${collection}"`),
  );
  try {
    const nothing: Version = { epoch: 0, sequence: 0n };
    const statements: readonly DoorStatement[] = [
      enterDoor(parts, context.epoch),
      ...lockFence(layout, collection, key),
      ...rowStatements(layout, found, [{ key, value, version: nothing }]),
    ];
    const results = await transaction.run(statements);
    const moving = statements.some(
      ({ rows }, index) => rows !== undefined && rows !== results[index]?.count,
    );
    if (moving) {
      throw new ChangeoverError(
        'STORE_CONFLICT',
        `A child row of "${collection}" moves between records: which change is the newer one is known only with its version.`,
      );
    }
    const fence = versionIn(results[2]);
    if (fence === null) {
      throw new ChangeoverError(
        'STORE_CONFLICT',
        `The fence of a key of "${collection}" was pruned meanwhile.`,
      );
    }
    return openChange(transaction, layout, change, fence, context.discard === true);
  } catch (error) {
    await transaction.rollback();
    throw asDoorError(error);
  }
}

function openChange(
  transaction: OpenTransaction,
  layout: PostgresLayout,
  change: Omit<Change, 'version'>,
  fence: Version,
  discard: boolean,
): OpenChange {
  return {
    async commit(version) {
      try {
        const order = compareVersions(version, fence);
        if (order < 0 || (order === 0 && change.origin !== 'repair')) {
          await transaction.rollback();
          return 'stale';
        }
        const { count } = (await transaction.run([setFence(layout, change, version)]))[0] ?? {
          count: 0,
        };
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
