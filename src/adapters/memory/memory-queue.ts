import type { ChangeQueue, DeadLetter, QueuedChange, QueueStanding } from '../../queue/index.ts';
import { decodeKey, encodeKey } from '../../record/index.ts';
import { type QueueRow, rowLock } from './memory-layout.ts';
import type { MemorySession } from './memory-session.ts';
import type { MemoryTransaction } from './memory-transaction.ts';
import { insertEntry } from './memory-triggers.ts';

type Edit = (row: QueueRow, nowMs: number) => QueueRow | undefined;

const byKey = (row: QueueRow): string => `${row.collection} ${row.key}`;

export function createMemoryQueue(session: MemorySession): ChangeQueue {
  const { database, layout, client } = session;
  const { queue } = layout;

  const run = <T>(
    label: string,
    work: (transaction: MemoryTransaction) => T | Promise<T>,
  ): Promise<T> => {
    session.assertOpen();
    return database.transaction({ client, mark: null }, (transaction) =>
      transaction.statement(label, () => work(transaction)),
    );
  };
  /** UPDATE or DELETE by id, in id order: waits for whoever holds an entry and then looks at it again. */
  const edit = (label: string, ids: readonly bigint[], change: Edit): Promise<number> =>
    run(label, async (transaction) => {
      let touched = 0;
      const sorted = [...new Set(ids)].sort((a, b) => (a < b ? -1 : 1));
      for (const id of sorted) {
        const row = String(id);
        if (transaction.get(queue, row) === undefined) continue;
        await transaction.lock(rowLock(queue.name, row), 'exclusive');
        const found = transaction.get(queue, row);
        if (!found) continue;
        const next = change(found, transaction.serverNow());
        if (next === found) continue;
        transaction.set(queue, row, next);
        touched += 1;
      }
      return touched;
    });

  return {
    async claim(limit, _owner, leaseMs) {
      return run('queue/claim', (transaction) => claimDue(session, transaction, limit, leaseMs));
    },
    async complete(ids) {
      if (ids.length > 0) await edit('queue/complete', ids, () => undefined);
    },
    async retryLater(ids, delayMs, error, countAttempt) {
      if (ids.length === 0) return;
      await edit('queue/retry-later', ids, (row, nowMs) =>
        row.dead
          ? row
          : {
              ...row,
              attempts: row.attempts + (countAttempt ? 1 : 0),
              dueAtMs: nowMs + delayMs,
              leaseUntilMs: 0,
              error,
            },
      );
    },
    async bury(ids, reason) {
      if (ids.length === 0) return;
      await edit('queue/bury', ids, (row, nowMs) =>
        row.dead ? row : { ...row, dead: { reason, diedAtMs: nowMs }, leaseUntilMs: 0 },
      );
    },
    async enqueue(entries) {
      if (entries.length === 0) return [];
      return run('queue/enqueue', (transaction) =>
        entries.map(({ collection, key, kind, graceMs, deadReason }) =>
          insertEntry(transaction, layout, {
            collection,
            key: encodeKey(key),
            kind,
            dueInMs: graceMs,
            deadReason,
          }),
        ),
      );
    },
    async depth() {
      return run('queue/depth', (transaction) => {
        const rows = transaction.all(queue).map(([, row]) => row);
        const waiting = rows.filter((row) => row.dead === null);
        const oldest = waiting.reduce(
          (least, row) => Math.min(least, row.enqueuedAtMs),
          transaction.serverNow(),
        );
        return {
          waiting: waiting.length,
          dead: rows.length - waiting.length,
          oldestMs: waiting.length === 0 ? 0 : transaction.serverNow() - oldest,
        };
      });
    },
    async deadLetters(limit) {
      return run('queue/dead-letters', (transaction) => {
        const rows = transaction.all(queue).map(([, row]) => row);
        return rows
          .filter((row) => row.dead !== null)
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .slice(0, limit)
          .map(
            (row): DeadLetter => ({
              ...queued(row),
              reason: row.dead!.reason,
              diedAtMs: row.dead!.diedAtMs,
              newerWriteExists: rows.some(
                (other) => other.id > row.id && byKey(other) === byKey(row),
              ),
            }),
          );
      });
    },
    async resolveDead(action, ids) {
      return edit('queue/resolve-dead', ids, (row, nowMs) => {
        if (row.dead === null) return row;
        if (action === 'discard') return undefined;
        return { ...row, dead: null, attempts: 0, dueAtMs: nowMs, leaseUntilMs: 0, error: '' };
      });
    },
    async entries(after, limit) {
      return run('queue/entries', (transaction) =>
        transaction
          .all(queue)
          .map(([, row]) => row)
          .filter(({ id }) => after === null || id > after)
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .slice(0, limit)
          .map(queued),
      );
    },
    async standing(collection, keys) {
      return run('queue/standing', (transaction) => {
        const found = new Map<string, QueueStanding>();
        for (const [, row] of transaction.all(queue)) {
          if (row.collection !== collection) continue;
          if (row.dead) found.set(row.key, 'dead');
          else if (!found.has(row.key)) found.set(row.key, 'waiting');
        }
        return keys.map((key) => found.get(encodeKey(key)) ?? 'none');
      });
    },
  };
}

/** FOR UPDATE SKIP LOCKED, oldest due first; entries of keys with a dead letter stay parked. */
function claimDue(
  session: MemorySession,
  transaction: MemoryTransaction,
  limit: number,
  leaseMs: number,
): readonly QueuedChange[] {
  const { queue } = session.layout;
  const nowMs = transaction.serverNow();
  const rows = transaction.all(queue).map(([, row]) => row);
  const parked = new Set(rows.filter((row) => row.dead !== null).map(byKey));
  const due = rows
    .filter((row) => row.dead === null && row.dueAtMs <= nowMs && row.leaseUntilMs <= nowMs)
    .filter((row) => !parked.has(byKey(row)))
    .sort((a, b) => a.dueAtMs - b.dueAtMs || (a.id < b.id ? -1 : 1));
  const claimed: QueuedChange[] = [];
  for (const row of due) {
    if (claimed.length >= limit) break;
    if (!transaction.tryLock(rowLock(queue.name, String(row.id)), 'exclusive')) continue;
    transaction.set(queue, String(row.id), {
      ...row,
      claimed: true,
      leaseUntilMs: nowMs + leaseMs,
    });
    claimed.push(queued(row));
  }
  return claimed;
}

function queued(row: QueueRow): QueuedChange {
  const { id, collection, attempts, enqueuedAtMs, kind } = row;
  return { id, collection, key: decodeKey(row.key), attempts, enqueuedAtMs, kind };
}
