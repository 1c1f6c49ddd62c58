import { isChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import type { HoldLimits, Reread } from '../../store/index.ts';
import { readRecord } from './memory-aggregates.ts';
import { keyLock, rootTable, rowLock } from './memory-layout.ts';
import { checkedKey } from './memory-reread.ts';
import { enterAsAuthority, type MemorySession, shapeOf } from './memory-session.ts';

/** See `RecordStore.holdKey`; not for collections that are captured from the log. */
export async function holdKey<T>(
  session: MemorySession,
  collection: string,
  key: Key,
  epoch: number,
  { waitMs }: HoldLimits,
  work: (held: Reread) => Promise<T>,
): Promise<T | 'busy'> {
  session.assertOpen();
  if (session.context.logged?.has(collection)) return 'busy';
  const { database, client, layout } = session;
  const shape = shapeOf(session, collection);
  const id = checkedKey(key, shape.key.length);
  try {
    return await database.transaction({ client, mark: null }, async (transaction) => {
      await enterAsAuthority(session, transaction, epoch, ['authority', 'sealed']);
      await transaction.statement('hold/lock', async () => {
        await transaction.lock(keyLock(layout, collection, id), 'exclusive', waitMs);
        if (transaction.get(rootTable(shape), id) !== undefined)
          await transaction.lock(rowLock(shape.table, id), 'shared', waitMs);
      });
      const held = await transaction.statement('hold/read', () => ({
        record: readRecord(transaction, shape, id),
        version: { epoch, sequence: transaction.nextValue(layout.sequence) },
      }));
      return work({ key, state: 'read', ...held });
    });
  } catch (error) {
    if (isChangeoverError(error, 'STORE_CONFLICT')) return 'busy';
    throw error;
  }
}
