import { ChangeoverError } from '../../errors/index.ts';
import type { LogMark } from '../../log/index.ts';
import { type DataRecord, encodeKey, type Key } from '../../record/index.ts';
import type { Reread } from '../../store/index.ts';
import { readRecord } from './memory-aggregates.ts';
import { keyLock, rootTable, rowLock } from './memory-layout.ts';
import { enterAsAuthority, type MemorySession, shapeOf } from './memory-session.ts';

const rereadMax = 500;

/** KEY_INVALID for another number of parts. */
export function checkedKey(key: Key, parts: number): string {
  if (key.length === parts && key.every((part) => typeof part === 'string')) return encodeKey(key);
  throw new ChangeoverError('KEY_INVALID', `A key of this collection has ${parts} parts.`);
}

function assertFew(keys: readonly Key[]): void {
  if (keys.length <= rereadMax) return;
  throw new ChangeoverError('BUG', `${keys.length} keys in one re-read, at most ${rereadMax}.`);
}

/**
 * The log knows of a commit before anybody sees it. So the position is taken first, then whatever stands before it in the log and cannot be seen
 * is waited for (`seen`: of that only the mark's transactions), and only a statement behind that reads.
 */
export async function rereadLogged(
  session: MemorySession,
  collection: string,
  keys: readonly Key[],
  epoch: number,
  seen?: LogMark,
): Promise<readonly Reread[]> {
  session.assertOpen();
  assertFew(keys);
  const { database, client } = session;
  const { log } = database;
  const shape = shapeOf(session, collection);
  const ids = keys.map((key) => checkedKey(key, shape.key.length));
  const transaction = database.begin({ client, mark: null });
  try {
    await enterAsAuthority(session, transaction, epoch, ['authority', 'sealed']);
    const sequence = await transaction.statement('reread/position', async () => {
      const position = seen?.sequence ?? log.end;
      const hidden = (): boolean =>
        seen
          ? seen.transactions.some((id) => log.surfacing.has(Number(id)))
          : [...log.surfacing.values()].some((at) => at <= position);
      if (session.sabotage.has('reread-before-visible')) return position;
      while (hidden()) await transaction.waitFor((wake) => log.onChange(wake));
      return position;
    });
    const records = await transaction.statement('reread/read', () =>
      ids.map((id) => readRecord(transaction, shape, id)),
    );
    return keys.map((key, at): Reread => {
      return { key, state: 'read', record: records[at] ?? null, version: { epoch, sequence } };
    });
  } finally {
    transaction.rollback();
  }
}

/** Under the lock of each key, or `busy`; the version is drawn while it is held. */
export async function rereadKeys(
  session: MemorySession,
  collection: string,
  keys: readonly Key[],
  epoch: number,
): Promise<readonly Reread[]> {
  session.assertOpen();
  assertFew(keys);
  const { database, client, layout } = session;
  const shape = shapeOf(session, collection);
  const lax = session.sabotage.has('reread-unserialized');
  return database.transaction({ client, mark: null }, async (transaction) => {
    // Sealed too: what was committed before a change of authority is drained behind the seal.
    await enterAsAuthority(session, transaction, epoch, ['authority', 'sealed']);
    const ids = keys.map((key) => checkedKey(key, shape.key.length));
    const readAll = (): Promise<readonly (DataRecord | null)[]> =>
      transaction.statement('reread/read', () =>
        ids.map((id) => readRecord(transaction, shape, id)),
      );
    const early = lax ? await readAll() : [];
    const free = await transaction.statement('reread/lock-and-draw', () =>
      ids.map((id): bigint | null => {
        if (!lax) {
          if (!transaction.tryLock(keyLock(layout, collection, id), 'exclusive')) return null;
          // Writers that do not know the key lock draw while they hold the row.
          const seen = transaction.get(rootTable(shape), id) !== undefined;
          if (seen && !transaction.tryLock(rowLock(shape.table, id), 'shared')) return null;
        }
        return transaction.nextValue(layout.sequence);
      }),
    );
    const records = lax ? early : await readAll();
    return keys.map((key, at): Reread => {
      const sequence = free[at] ?? null;
      return sequence === null
        ? { key, state: 'busy', record: null, version: { epoch, sequence: 0n } }
        : { key, state: 'read', record: records[at] ?? null, version: { epoch, sequence } };
    });
  });
}
