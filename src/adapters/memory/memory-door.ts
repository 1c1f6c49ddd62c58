import { ChangeoverError } from '../../errors/index.ts';
import { type Change, compareVersions, encodeKey, type Version } from '../../record/index.ts';
import type { Door, DoorContext, DoorVerdict, OpenChange } from '../../store/index.ts';
import { splitRecord } from './memory-aggregates.ts';
import {
  abandonChunk,
  abandonInFlight,
  beginChunk,
  stopChunks,
  waitForChunks,
  writeChunk,
} from './memory-chunks.ts';
import { type FenceRow, fenceId, rowLock } from './memory-layout.ts';
import {
  aggregateWriter,
  beginAtDoor,
  enterAsFollower,
  type MemorySession,
  shapeOf,
} from './memory-session.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

/** A change with its encoded key. */
interface Incoming {
  readonly change: Omit<Change, 'version'>;
  readonly key: string;
}

/** Statement order as in store/door.ts. */
export function createMemoryDoor(session: MemorySession, batchMax: number): Door {
  const { database, layout, client } = session;
  return {
    async apply(changes, context) {
      session.assertOpen();
      if (changes.length > batchMax)
        throw new ChangeoverError('BUG', `${changes.length} changes, at most ${batchMax}.`);
      if (changes.length === 0) return [];
      const transaction = beginAtDoor(session, context);
      try {
        await enterAsFollower(session, transaction, context.epoch);
        const verdicts = await enterChanges(session, transaction, changes, context);
        if (context.discard) transaction.rollback();
        else await transaction.commit();
        return verdicts;
      } catch (error) {
        transaction.rollback();
        throw error;
      }
    },
    open: (change, context) => openChange(session, change, context),
    async fences(collection, keys) {
      session.assertOpen();
      return database.transaction({ client, mark: null }, (transaction) =>
        transaction.statement('door/fences', () =>
          keys.map((key): Version | null => {
            const fence = transaction.get(layout.fences, fenceId(collection, encodeKey(key)));
            return fence ? { epoch: fence.epoch, sequence: fence.sequence } : null;
          }),
        ),
      );
    },
    beginChunk: (collection, chunk, range, owner) =>
      beginChunk(session, collection, chunk, range, owner),
    writeChunk: (ticket, records, context) => writeChunk(session, ticket, records, context),
    abandonChunk: (ticket) => abandonChunk(session, ticket),
    pruneFences: (before) => pruneFences(session, before),
  };
}

/** So often a chunk may begin between the two steps. */
const pruneAttemptsMax = 20;

/**
 * Chunks are given up first, in transactions of their own, as in PostgreSQL: the door locks fences and then chunk records, so whoever holds
 * records may not wait for fences.
 */
async function pruneFences(session: MemorySession, before: Version): Promise<number> {
  session.assertOpen();
  const { database, client } = session;
  for (let attempt = 1; attempt <= pruneAttemptsMax; attempt++) {
    await abandonInFlight(session);
    const pruned = await database.transaction({ client, mark: null }, (transaction) =>
      transaction.statement('door/prune', async () =>
        (await stopChunks(session, transaction))
          ? deleteFences(session, transaction, before)
          : null,
      ),
    );
    if (pruned !== null) return pruned;
  }
  throw new ChangeoverError('STORE_CONFLICT', 'Chunks kept beginning while fences were pruned.');
}

function deleteFences(
  { layout }: MemorySession,
  transaction: MemoryTransaction,
  before: Version,
): number {
  let pruned = 0;
  for (const [id] of transaction.all(layout.fences)) {
    // A fence that somebody has locked is about to be newer.
    if (!transaction.tryLock(rowLock(layout.fences.name, id), 'exclusive')) continue;
    const fence = transaction.get(layout.fences, id);
    if (!fence || compareVersions(fence, before) >= 0) continue;
    transaction.set(layout.fences, id, undefined);
    pruned += 1;
  }
  return pruned;
}

/** Fences, then rows, in a transaction that has been let in. With rule `log` a change of the fence's own version is let in, too. */
export async function enterChanges(
  session: MemorySession,
  transaction: MemoryTransaction,
  changes: readonly Change[],
  context: DoorContext,
  rule: 'door' | 'log' = 'door',
): Promise<readonly DoorVerdict[]> {
  const verdicts: DoorVerdict[] = changes.map(() => 'stale');
  const winners = newestPerKey(changes);
  const accepted: Incoming[] = [];
  const raise = (within: MemoryTransaction) =>
    raiseFences(session, within, winners, { changes, verdicts, rule });
  if (session.sabotage.has('fence-in-own-transaction')) {
    const other = beginAtDoor(session, context);
    accepted.push(...(await raise(other)));
    await other.commit();
  } else {
    accepted.push(...(await raise(transaction)));
  }
  await writeAccepted(session, transaction, accepted);
  return verdicts;
}

/** Index of the newest change of each key, in fence order, so that two batches never wait for each other in a circle. */
function newestPerKey(changes: readonly Change[]): readonly (readonly [string, number])[] {
  const newest = new Map<string, number>();
  changes.forEach((change, at) => {
    const id = fenceId(change.collection, encodeKey(change.key));
    const other = newest.get(id);
    const rival = other === undefined ? null : changes[other]!;
    if (rival === null || compareVersions(change.version, rival.version) > 0) newest.set(id, at);
  });
  return [...newest].sort(([a], [b]) => (a < b ? -1 : 1));
}

async function raiseFences(
  session: MemorySession,
  transaction: MemoryTransaction,
  winners: readonly (readonly [string, number])[],
  batch: {
    readonly changes: readonly Change[];
    readonly verdicts: DoorVerdict[];
    readonly rule: 'door' | 'log';
  },
): Promise<readonly Incoming[]> {
  const { changes, verdicts, rule } = batch;
  const accepted: Incoming[] = [];
  await transaction.statement('door/raise-fences', async () => {
    for (const [id, at] of winners) {
      const change = changes[at]!;
      await lockFence(session, transaction, id);
      if (!isLetIn(session, transaction, id, change, rule)) continue;
      setFence(session, transaction, id, change.version, change.value === null);
      verdicts[at] = 'applied';
      accepted.push({ change, key: encodeKey(change.key) });
    }
  });
  return accepted;
}

function isLetIn(
  session: MemorySession,
  transaction: MemoryTransaction,
  id: string,
  change: Change,
  rule: 'door' | 'log' = 'door',
): boolean {
  const { sabotage } = session;
  const fence = transaction.get(session.layout.fences, id);
  if (!fence || sabotage.has('door-without-fence')) return true;
  const order = compareVersions(change.version, fence);
  if (rule === 'log' && sabotage.has('log-without-fence')) return true;
  if (rule === 'log' && !sabotage.has('log-parts-refused')) return order >= 0;
  return change.origin === 'repair' ? order >= 0 : order > 0;
}

async function lockFence(
  session: MemorySession,
  transaction: MemoryTransaction,
  id: string,
): Promise<void> {
  await transaction.lock(rowLock(session.layout.fences.name, id), 'exclusive');
}

function setFence(
  session: MemorySession,
  transaction: MemoryTransaction,
  id: string,
  version: Version,
  deleted: boolean,
): void {
  const row: FenceRow = { epoch: version.epoch, sequence: version.sequence, deleted };
  const forgotten = deleted && session.sabotage.has('tombstone-forgotten');
  transaction.set(session.layout.fences, id, forgotten ? undefined : row);
}

/** Steps 3 and 4 of the door: each its own statement, so that a later one sees what an earlier one waited for. */
async function writeAccepted(
  session: MemorySession,
  transaction: MemoryTransaction,
  accepted: readonly Incoming[],
): Promise<void> {
  const upserts = accepted.flatMap(({ change, key }) =>
    change.value === null
      ? []
      : [{ change, key, ...splitRecord(shapeOf(session, change.collection), key, change.value) }],
  );
  if (upserts.length > 0) {
    await transaction.statement('door/put-roots', async () => {
      for (const { change, key, root } of upserts) {
        await aggregateWriter(session, transaction, change.collection).upsertRoot(key, root);
        await transaction.betweenRows('door/put-roots');
      }
    });
    const parents = upserts.filter(({ children }) => children.size > 0);
    if (parents.length > 0) {
      await transaction.statement('door/delete-children', async () => {
        for (const { change, key, children } of parents) {
          const writer = aggregateWriter(session, transaction, change.collection);
          await writer.deleteChildren(key, children);
        }
      });
      await transaction.statement('door/put-children', async () => {
        for (const { change, key, children } of parents) {
          const writer = aggregateWriter(session, transaction, change.collection);
          await writer.upsertChildren(key, children);
        }
      });
    }
  }
  await deleteAccepted(
    session,
    transaction,
    accepted.filter(({ change }) => change.value === null),
  );
}

async function deleteAccepted(
  session: MemorySession,
  transaction: MemoryTransaction,
  tombstones: readonly Incoming[],
): Promise<void> {
  if (tombstones.length === 0) return;
  const missed: Incoming[] = [];
  const deleteAll = (which: readonly Incoming[], noteMissed: boolean): Promise<void> =>
    transaction.statement('door/delete', async () => {
      for (const tombstone of which) {
        const { change, key } = tombstone;
        const writer = aggregateWriter(session, transaction, change.collection);
        await writer.deleteChildren(key);
        const found = await writer.deleteRoot(key);
        if (!found && noteMissed) missed.push(tombstone);
      }
    });
  await deleteAll(tombstones, true);
  if (missed.length === 0 || session.sabotage.has('delete-skips-chunk')) return;
  const waited = await waitForChunks(session, transaction, missed);
  // Also when no chunk is in flight any more: it may have committed after our look at the rows and before the one at the chunks.
  if (waited || !session.sabotage.has('delete-looks-once')) await deleteAll(missed, false);
}

async function openChange(
  session: MemorySession,
  change: Omit<Change, 'version'>,
  context: DoorContext,
): Promise<OpenChange> {
  session.assertOpen();
  const transaction = beginAtDoor(session, context);
  const key = encodeKey(change.key);
  const id = fenceId(change.collection, key);
  try {
    await enterAsFollower(session, transaction, context.epoch);
    await transaction.statement('door/lock-fence', () => lockFence(session, transaction, id));
    await writeAccepted(session, transaction, [{ change, key }]);
  } catch (error) {
    transaction.rollback();
    throw error;
  }
  return {
    async commit(version) {
      const letIn = await transaction.statement('door/set-fence', () => {
        if (!isLetIn(session, transaction, id, { ...change, version })) return false;
        setFence(session, transaction, id, version, change.value === null);
        return true;
      });
      if (!letIn || context.discard) {
        transaction.rollback();
        return letIn ? 'applied' : 'stale';
      }
      await transaction.commit();
      return 'applied';
    },
    async abort() {
      transaction.rollback();
    },
  };
}
