import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import {
  type Change,
  compareVersions,
  encodeKey,
  type Key,
  type Version,
} from '../../record/index.ts';
import type { Door, DoorContext, DoorVerdict, OpenChange } from '../../store/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import { createPostgresChunks } from './postgres-chunks.ts';
import {
  asDoorError,
  doorTransaction,
  enterDoor,
  type PostgresStoreParts,
} from './postgres-door-entry.ts';
import { type KeyedRecord, tableRows } from './postgres-door-rows.ts';
import {
  type DoorStatement,
  deleteRecords,
  deleteSurplus,
  lockCoveringChunks,
  upsertChildRows,
  upsertRows,
} from './postgres-door-sql.ts';
import {
  lockFence,
  pruneFences,
  raiseFences,
  readFences,
  setFence,
  versionIn,
  winnersOf,
} from './postgres-fences.ts';
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
    const entrance = enterDoor(layout, context.epoch);
    const results = await transaction.run([
      ...entrance,
      ...winners.map((one) => raiseFences(layout, one)),
    ]);
    const statements: Statement[] = [];
    for (const [index, one] of winners.entries()) {
      const keys = results[entrance.length + index]?.rows ?? [];
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

/** The statements that make the rows what the changes say; the fences are locked. */
function rowStatements(
  layout: PostgresLayout,
  collection: CatalogCollection,
  changes: readonly Pick<Change, 'key' | 'value' | 'version'>[],
): readonly DoorStatement[] {
  const gone: Key[] = [];
  const present: KeyedRecord[] = [];
  for (const { key, value, version } of changes) {
    if (value === null) gone.push(key);
    else present.push({ key, record: value, version });
  }
  const statements: DoorStatement[] = [];
  if (gone.length > 0)
    statements.push(
      lockCoveringChunks(layout, collection, gone),
      ...deleteRecords(collection, gone),
    );
  if (present.length === 0) return statements;
  const rows = tableRows(collection, present);
  for (const group of rows.roots) statements.push(upsertRows(collection.root, group));
  // A statement of its own for each step: what a chunk has committed while the roots were waited for is seen by the next.
  for (const child of rows.children)
    if (child.roots.length > 0) statements.push(deleteSurplus(collection.root, child));
  for (const { child, groups } of rows.children)
    for (const group of groups)
      statements.push(...upsertChildRows(layout, collection, child, group));
  return statements;
}

async function open(
  { session, layout, catalog }: PostgresStoreParts,
  change: Omit<Change, 'version'>,
  context: DoorContext,
): Promise<OpenChange> {
  const { collection, key, value } = change;
  const found = await catalog.collection(collection);
  const transaction = await session.begin(
    doorTransaction(context, `open change of "${collection}"`),
  );
  try {
    const nothing: Version = { epoch: 0, sequence: 0n };
    const statements: readonly DoorStatement[] = [
      ...enterDoor(layout, context.epoch),
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
    const fence = versionIn(results[3]);
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
