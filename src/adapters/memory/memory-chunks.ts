import { ChangeoverError } from '../../errors/index.ts';
import { type Change, decodeKey, encodeKey, type Key, type Row } from '../../record/index.ts';
import type { ChunkTicket, DoorContext, KeyRange, StoredRecord } from '../../store/index.ts';
import { splitRecord } from './memory-aggregates.ts';
import { type ChunkRow, chunkId, fenceId, rowLock, tableLock } from './memory-layout.ts';
import {
  aggregateWriter,
  beginAtDoor,
  enterAsFollower,
  type MemorySession,
  shapeOf,
} from './memory-session.ts';
import { compareKeys } from './memory-table.ts';
import type { MemoryTransaction } from './memory-transaction.ts';
import { doorMark } from './memory-triggers.ts';

/** Commits the in-flight record, then waits out every door transaction that began before it was visible. */
export async function beginChunk(
  session: MemorySession,
  collection: string,
  chunk: number,
  range: KeyRange,
  owner: string,
): Promise<ChunkTicket> {
  session.assertOpen();
  const { database, layout, client } = session;
  const id = chunkId(collection, chunk);
  const attempt = await database.transaction({ client, mark: null }, (transaction) =>
    transaction.statement('chunk/begin', async () => {
      await transaction.lock(tableLock(layout.chunks.name), 'shared');
      await transaction.lock(rowLock(layout.chunks.name, id), 'exclusive');
      const next = (transaction.get(layout.chunks, id)?.attempt ?? 0) + 1;
      const row: ChunkRow = {
        collection,
        chunk,
        after: range.after && encodeKey(range.after),
        until: range.until && encodeKey(range.until),
        owner,
        attempt: next,
        state: 'in flight',
      };
      transaction.set(layout.chunks, id, row);
      return next;
    }),
  );
  await database.transaction({ client, mark: null }, (transaction) =>
    transaction.statement('chunk/wait-older', async () => {
      const older = database
        .openTransactions()
        .filter((other) => other.mark?.kind === doorMark)
        .map((other) => other.ended);
      await Promise.all(older);
    }),
  );
  return { collection, chunk, range, owner, attempt };
}

export async function writeChunk(
  session: MemorySession,
  ticket: ChunkTicket,
  records: readonly StoredRecord[],
  context: DoorContext,
): Promise<{ readonly inserted: number }> {
  session.assertOpen();
  const transaction = beginAtDoor(session, context);
  try {
    await enterAsFollower(session, transaction, context.epoch);
    await transaction.statement('chunk/claim', () => claimChunk(session, transaction, ticket));
    const inserted = await insertAbsent(session, transaction, ticket, records);
    await transaction.statement('chunk/done', () => setState(session, transaction, ticket, 'done'));
    if (context.discard) transaction.rollback();
    else await transaction.commit();
    return { inserted };
  } catch (error) {
    transaction.rollback();
    throw error;
  }
}

export async function abandonChunk(session: MemorySession, ticket: ChunkTicket): Promise<void> {
  session.assertOpen();
  const { database, layout, client } = session;
  await database.transaction({ client, mark: null }, (transaction) =>
    transaction.statement('chunk/abandon', async () => {
      await transaction.lock(rowLock(layout.chunks.name, ticketId(ticket)), 'exclusive');
      if (isMine(session, transaction, ticket)) setState(session, transaction, ticket, 'abandoned');
    }),
  );
}

/** Gives up every chunk in flight; those that are being written are waited for, and are done then. One transaction each: no circle with the door. */
export async function abandonInFlight(session: MemorySession): Promise<void> {
  const { database, layout, client } = session;
  for (const [id] of database.committedRows(layout.chunks)) {
    await database.transaction({ client, mark: null }, (transaction) =>
      transaction.statement('door/abandon-chunk', async () => {
        await transaction.lock(rowLock(layout.chunks.name, id), 'exclusive');
        const row = transaction.get(layout.chunks, id);
        if (row?.state === 'in flight')
          transaction.set(layout.chunks, id, { ...row, state: 'abandoned' });
      }),
    );
  }
}

/** Until the end of the transaction no chunk begins. False: one is in flight already. */
export async function stopChunks(
  { layout }: MemorySession,
  transaction: MemoryTransaction,
): Promise<boolean> {
  await transaction.lock(tableLock(layout.chunks.name), 'exclusive');
  return transaction.all(layout.chunks).every(([, { state }]) => state !== 'in flight');
}

const ticketId = (ticket: ChunkTicket): string => chunkId(ticket.collection, ticket.chunk);

function isMine(
  session: MemorySession,
  transaction: MemoryTransaction,
  ticket: ChunkTicket,
): boolean {
  const row = transaction.get(session.layout.chunks, ticketId(ticket));
  if (!row) return false;
  if (session.sabotage.has('zombie-chunk')) return true;
  return row.owner === ticket.owner && row.attempt === ticket.attempt && row.state === 'in flight';
}

/** First write of the chunk's transaction: its lock is what a delete that found nothing waits for. */
async function claimChunk(
  session: MemorySession,
  transaction: MemoryTransaction,
  ticket: ChunkTicket,
): Promise<void> {
  await transaction.lock(rowLock(session.layout.chunks.name, ticketId(ticket)), 'exclusive');
  if (isMine(session, transaction, ticket)) return;
  throw new ChangeoverError(
    'CHUNK_LOST',
    `Chunk ${ticket.chunk} of "${ticket.collection}" (attempt ${ticket.attempt}) was taken over.`,
    { data: { collection: ticket.collection, chunk: ticket.chunk, attempt: ticket.attempt } },
  );
}

function setState(
  session: MemorySession,
  transaction: MemoryTransaction,
  ticket: ChunkTicket,
  state: ChunkRow['state'],
): void {
  const row = transaction.get(session.layout.chunks, ticketId(ticket));
  if (row) transaction.set(session.layout.chunks, ticketId(ticket), { ...row, state });
}

async function insertAbsent(
  session: MemorySession,
  transaction: MemoryTransaction,
  ticket: ChunkTicket,
  records: readonly StoredRecord[],
): Promise<number> {
  const { collection } = ticket;
  const { fences } = session.layout;
  const shape = shapeOf(session, collection);
  const overwrite = session.sabotage.has('backfill-overwrites');
  const writer = aggregateWriter(session, transaction, collection);
  const sorted = [...records].sort((a, b) => compareKeys(a.key, b.key));
  const inserted = new Map<string, ReadonlyMap<string, ReadonlyMap<string, Row>>>();
  await transaction.statement('chunk/insert-roots', async () => {
    // One SQL statement: the fences are those of its snapshot, whatever commits while it goes from row to row.
    const unfenced = sorted.filter(
      ({ key }) =>
        overwrite || transaction.get(fences, fenceId(collection, encodeKey(key))) === undefined,
    );
    for (const { key, record } of unfenced) {
      await transaction.betweenRows('chunk/insert-roots');
      const id = encodeKey(key);
      const { root, children } = splitRecord(shape, id, record);
      if (overwrite) await writer.upsertRoot(id, root);
      else if (!(await writer.insertRoot(id, root))) continue;
      inserted.set(id, children);
    }
  });
  if (overwrite) {
    await transaction.statement('chunk/delete-children', async () => {
      for (const [id, children] of inserted) await writer.deleteChildren(id, children);
    });
  }
  await transaction.statement('chunk/insert-children', async () => {
    for (const [id, children] of inserted) await writer.upsertChildren(id, children);
  });
  if (!overwrite && !session.sabotage.has('chunk-without-second-look')) {
    // A record may have been put and deleted again by the door since that snapshot: the delete found its row, had nothing to wait for, and
    // the row that was inserted after it is older than its fence.
    await transaction.statement('chunk/second-look', async () => {
      for (const id of [...inserted.keys()]) {
        if (transaction.get(fences, fenceId(collection, id)) === undefined) continue;
        await writer.deleteChildren(id);
        await writer.deleteRoot(id);
        inserted.delete(id);
      }
    });
  }
  return inserted.size;
}

/**
 * Share-locks every covering chunk in flight and thereby waits until it has committed or rolled back. True when there was one.
 * A chunk that has not locked its record yet will see the fence: our transaction ends before its first statement.
 */
export async function waitForChunks(
  session: MemorySession,
  transaction: MemoryTransaction,
  deletes: readonly { readonly change: Pick<Change, 'collection'>; readonly key: string }[],
): Promise<boolean> {
  const { chunks } = session.layout;
  return transaction.statement('door/wait-for-chunks', async () => {
    let waited = false;
    const candidates = transaction.all(chunks).filter(([, row]) => row.state === 'in flight');
    for (const [id, row] of candidates) {
      const covered = deletes.some(
        ({ change, key }) => change.collection === row.collection && covers(row, decodeKey(key)),
      );
      if (!covered) continue;
      await transaction.lock(rowLock(chunks.name, id), 'shared');
      waited = true;
    }
    return waited;
  });
}

function covers(row: ChunkRow, key: Key): boolean {
  if (row.after !== null && compareKeys(key, decodeKey(row.after)) <= 0) return false;
  return row.until === null || compareKeys(key, decodeKey(row.until)) <= 0;
}
