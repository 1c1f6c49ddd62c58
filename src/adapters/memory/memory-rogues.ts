import type { RogueWatch, RogueWrite } from '../../store/index.ts';
import { guardRowId, type MemoryLayout, type RogueRow, rowLock } from './memory-layout.ts';
import { isInstalled, type MemorySession } from './memory-session.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

/** A statement of a session without a mark, on a table of the follower: noted once for each client and table until the note is taken away. */
export function noteRogue(
  transaction: MemoryTransaction,
  layout: MemoryLayout,
  table: string,
): void {
  if (transaction.mark !== null) return;
  if (transaction.get(layout.guard, guardRowId)?.role !== 'follower') return;
  const id = `${transaction.client} ${table}`;
  if (transaction.get(layout.rogues, id) !== undefined) return;
  // Whoever has it writes the same note.
  if (!transaction.tryLock(rowLock(layout.rogues.name, id), 'exclusive')) return;
  const row: RogueRow = { table, user: transaction.client, atMs: transaction.serverNow() };
  transaction.set(layout.rogues, id, row);
}

/** See `RogueWatch`. */
export function createMemoryRogues(session: MemorySession): RogueWatch {
  const { database, layout, client, context } = session;
  return {
    async look(limit) {
      session.assertOpen();
      if (!isInstalled(session))
        return { blind: 'Nothing of ours is installed here.', total: 0, writes: [] };
      const rows = database.committedRows(layout.rogues);
      const nowMs = context.runtime.clock.now();
      const writes = [...rows]
        .map(([id, { table, user, atMs }]): RogueWrite => {
          const agoMs = Math.max(0, nowMs - atMs);
          const operation = 'UPDATE';
          return { id, table, operation, user, application: '', process: user, atMs, agoMs };
        })
        .sort((a, b) => b.atMs - a.atMs);
      return { blind: null, total: writes.length, writes: writes.slice(0, limit) };
    },
    async forget(writes) {
      session.assertOpen();
      await database.transaction({ client, mark: null }, (transaction) =>
        transaction.statement('rogues/forget', async () => {
          for (const { id } of writes) {
            await transaction.lock(rowLock(layout.rogues.name, id), 'exclusive');
            transaction.set(layout.rogues, id, undefined);
          }
        }),
      );
      return writes.length;
    },
  };
}
