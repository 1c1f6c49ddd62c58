import { ChangeoverError } from '../../errors/index.ts';
import {
  type DataRecord,
  decodeKey,
  encodeKey,
  type Key,
  type Version,
} from '../../record/index.ts';
import type {
  AuthorityWrite,
  KeyRange,
  ReadAnswer,
  RecordStore,
  StoredRecord,
  Written,
} from '../../store/index.ts';
import { readRecord, splitRecord } from './memory-aggregates.ts';
import { holdKey } from './memory-hold-key.ts';
import { fenceId, keyLock, rootTable, rowLock } from './memory-layout.ts';
import { checkedKey, rereadKeys, rereadLogged } from './memory-reread.ts';
import {
  aggregateWriter,
  enterAsAuthority,
  type MemorySession,
  shapeOf,
} from './memory-session.ts';
import { compareKeys } from './memory-table.ts';
import type { MemoryTransaction } from './memory-transaction.ts';
import { insertEntry, journalledMark } from './memory-triggers.ts';

/** Statement order as in store/record-store.ts. */
export function createMemoryRecordStore(session: MemorySession): RecordStore {
  const { database, layout, client } = session;
  const query = <T>(label: string, run: (transaction: MemoryTransaction) => T): Promise<T> =>
    database.transaction({ client, mark: null }, (transaction) =>
      transaction.statement(label, () => run(transaction)),
    );

  return {
    async read(collection, keys, options = {}) {
      session.assertOpen();
      const shape = shapeOf(session, collection);
      if (options.signal?.aborted) throw options.signal.reason;
      return query('records/read', (transaction) =>
        keys.map((key): ReadAnswer => {
          const id = checkedKey(key, shape.key.length);
          const fence = options.withFence
            ? transaction.get(layout.fences, fenceId(collection, id))
            : undefined;
          return {
            record: readRecord(transaction, shape, id),
            fence: fence ? { epoch: fence.epoch, sequence: fence.sequence } : null,
          };
        }),
      );
    },
    async scan(collection, range, limit) {
      session.assertOpen();
      const shape = shapeOf(session, collection);
      return query('records/scan', (transaction) => {
        const found: StoredRecord[] = [];
        for (const key of keysIn(session, collection, range)) {
          if (found.length >= limit) break;
          const record = readRecord(transaction, shape, key);
          if (record) found.push({ key: decodeKey(key), record });
        }
        return found;
      });
    },
    async boundary(collection, range, rows) {
      session.assertOpen();
      return query('records/boundary', () => {
        let last: string | null = null;
        let count = 0;
        for (const key of keysIn(session, collection, range)) {
          last = key;
          count += 1;
          if (count >= rows) break;
        }
        return last === null ? null : decodeKey(last);
      });
    },
    async extent(collection) {
      session.assertOpen();
      const table = rootTable(shapeOf(session, collection));
      return query('records/extent', () => {
        const keys = database.committedKeys(table);
        const last = keys.at(-1);
        return { last: last === undefined ? null : decodeKey(last), estimatedRows: keys.length };
      });
    },
    write: (write) => writeAsAuthority(session, write),
    reread: (collection, keys, epoch, seen) =>
      session.context.logged?.has(collection)
        ? rereadLogged(session, collection, keys, epoch, seen)
        : rereadKeys(session, collection, keys, epoch),
    holdKey: (collection, key, epoch, limits, work) =>
      holdKey(session, collection, key, epoch, limits, work),
    async canonicalise(collection, records) {
      session.assertOpen();
      const shape = shapeOf(session, collection);
      return records.map((record) => {
        const key = encodeKey(shape.key.map((column) => String(record[column] ?? '')));
        const { root, children } = splitRecord(shape, key, record);
        const full: Record<string, DataRecord[string]> = { ...root };
        for (const column of shape.columns ?? []) full[column] ??= null;
        for (const [name, rows] of children) {
          full[name] = [...rows.keys()].sort().map((id) => rows.get(id)!);
        }
        return full;
      });
    },
  };
}

/** Encoded keys of the range in key order. */
function* keysIn(session: MemorySession, collection: string, range: KeyRange): Generator<string> {
  const keys = session.database.committedKeys(rootTable(shapeOf(session, collection)));
  for (let at = range.after ? firstAfter(keys, range.after) : 0; at < keys.length; at++) {
    const key = keys[at]!;
    if (range.until && compareKeys(decodeKey(key), range.until) > 0) return;
    yield key;
  }
}

/** Index of the first key behind `after`. */
function firstAfter(keys: readonly string[], after: Key): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(decodeKey(keys[middle]!), after) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

async function writeAsAuthority(session: MemorySession, write: AuthorityWrite): Promise<Written> {
  session.assertOpen();
  const { database, client } = session;
  const shape = shapeOf(session, write.collection);
  const key = checkedKey(write.key, shape.key.length);
  const kind = write.journal === 'none' ? 'unjournalled' : journalledMark;
  return database.transaction(
    { client, mark: { kind, epoch: write.epoch }, timeoutMs: write.timeoutMs },
    async (transaction) => {
      const roles =
        write.journal === 'none' ? (['idle'] as const) : (['authority', 'idle'] as const);
      await enterAsAuthority(session, transaction, write.epoch, roles);
      const early = session.sabotage.has('version-before-lock')
        ? await transaction.statement('records/early-draw', () =>
            transaction.nextValue(session.layout.sequence),
          )
        : undefined;
      await transaction.statement('records/lock-key', () =>
        transaction.lock(keyLock(session.layout, write.collection, key), 'exclusive'),
      );
      await consumeIntent(session, transaction, write);
      const written = await writeRows(session, transaction, write, key, early);
      await write.beforeCommit?.(written);
      return written;
    },
  );
}

/** Exactly one row, else somebody has taken the intent for lost and the follower was settled without this write. */
async function consumeIntent(
  session: MemorySession,
  transaction: MemoryTransaction,
  write: AuthorityWrite,
): Promise<void> {
  if (typeof write.journal === 'string') return;
  const id = String(write.journal.intent);
  const { queue } = session.layout;
  await transaction.statement('records/consume-intent', async () => {
    if (transaction.get(queue, id) !== undefined)
      await transaction.lock(rowLock(queue.name, id), 'exclusive');
    const entry = transaction.get(queue, id);
    const mine = entry?.kind === 'intent' && !entry.claimed && entry.dead === null;
    if (mine) transaction.set(queue, id, undefined);
    else if (!session.sabotage.has('healer-clears-intent')) {
      throw new ChangeoverError(
        'STORE_CONFLICT',
        'The intent of this write was taken over by a worker; nothing was written.',
      );
    }
  });
}

async function writeRows(
  session: MemorySession,
  transaction: MemoryTransaction,
  write: AuthorityWrite,
  key: string,
  early: bigint | undefined,
): Promise<Written> {
  const { layout } = session;
  const shape = shapeOf(session, write.collection);
  const changed =
    write.action === 'delete'
      ? await deleteAggregate(session, transaction, write, key)
      : await putAggregate(session, transaction, write, key);
  return transaction.statement('records/journal', () => {
    // What was not there may have come by now, by somebody else.
    const record = changed ? readRecord(transaction, shape, key) : null;
    let version: Version | null = null;
    let journalId: bigint | null = null;
    if (changed && typeof write.journal !== 'string') {
      // Fail-closed: the follower has it before this commits, so nothing is left to be done.
      const sequence = early ?? transaction.nextValue(layout.sequence);
      version = { epoch: write.epoch, sequence };
    } else if (changed && write.journal === 'change') {
      journalId = insertEntry(transaction, layout, {
        collection: write.collection,
        key,
        kind: 'change',
        dueInMs: write.graceMs,
        ...(early === undefined ? {} : { id: early }),
      });
      version = { epoch: write.epoch, sequence: journalId };
    }
    return { key: write.key, record, version, journalId };
  });
}

async function deleteAggregate(
  session: MemorySession,
  transaction: MemoryTransaction,
  write: AuthorityWrite,
  key: string,
): Promise<boolean> {
  const writer = aggregateWriter(session, transaction, write.collection);
  // The root first: for aggregates it is what the version is drawn under.
  const found = await transaction.statement('records/lock-root', () => writer.lockRoot(key));
  write.check?.(readRecord(transaction, shapeOf(session, write.collection), key));
  if (!found) return false;
  await transaction.statement('records/delete-children', () => writer.deleteChildren(key));
  return transaction.statement('records/delete-root', () => writer.deleteRoot(key));
}

async function putAggregate(
  session: MemorySession,
  transaction: MemoryTransaction,
  write: AuthorityWrite,
  key: string,
): Promise<boolean> {
  const shape = shapeOf(session, write.collection);
  const writer = aggregateWriter(session, transaction, write.collection);
  const exists = await transaction.statement('records/lock-root', () => writer.lockRoot(key));
  write.check?.(readRecord(transaction, shape, key));
  if (write.action === 'update' && !exists) return false;
  const given = write.revise ? write.revise(readRecord(transaction, shape, key)) : write.record;
  const { root, children } = splitRecord(shape, key, given);
  await transaction.statement('records/put-root', () => writer.upsertRoot(key, root));
  if (children.size === 0) return true;
  await transaction.statement('records/put-children', async () => {
    await writer.deleteChildren(key, children);
    await writer.upsertChildren(key, children);
  });
  return true;
}
