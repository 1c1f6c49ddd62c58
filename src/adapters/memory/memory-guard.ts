import { isChangeoverError } from '../../errors/index.ts';
import type { Guard, GuardState } from '../../store/index.ts';
import { guardLock, guardRowId, tableLock, tablesOf } from './memory-layout.ts';
import { guardState, type MemorySession } from './memory-session.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

/** One try waits at most this long: whoever waits for an exclusive lock makes all others wait behind it. */
const tryMs = 50;

export function createMemoryGuard(session: MemorySession): Guard {
  const { database, client, context } = session;
  const { clock, random } = context.runtime;
  const prefix = `${context.side}:`;
  return {
    read() {
      session.assertOpen();
      return database.transaction({ client, mark: null }, (transaction) =>
        transaction.statement('guard/read', () => guardState(session, transaction)),
      );
    },
    async change(from, to, lockTimeoutMs) {
      session.assertOpen();
      const until = clock.monotonic() + lockTimeoutMs;
      for (;;) {
        try {
          return await changeOnce(session, from, to, Math.min(tryMs, lockTimeoutMs));
        } catch (error) {
          const late = clock.monotonic() >= until;
          if (!isChangeoverError(error, 'STORE_CONFLICT') || late) throw error;
        }
        await clock.sleep(1 + random.next() * tryMs);
      }
    },
    async raiseSequences(atLeast) {
      session.assertOpen();
      for (const [name, value] of atLeast) {
        const own = `${prefix}${name}`;
        if (database.sequenceValue(own) < value) database.setSequence(own, value);
      }
    },
    async sequenceValues() {
      session.assertOpen();
      const names = database.sequenceNames().filter((name) => name.startsWith(prefix));
      return new Map(
        names.map((name) => [name.slice(prefix.length), database.sequenceValue(name)] as const),
      );
    },
  };
}

const equal = (a: GuardState, b: GuardState): boolean =>
  a.role === b.role && a.epoch === b.epoch && a.attempt === b.attempt;

function changeOnce(
  session: MemorySession,
  from: GuardState,
  to: GuardState,
  timeoutMs: number,
): Promise<boolean> {
  const { database, client, layout, sabotage } = session;
  return database.transaction({ client, mark: null }, async (transaction) => {
    await transaction.statement('guard/lock', () =>
      sabotage.has('guard-without-drain')
        ? undefined
        : transaction.lock(guardLock(layout), 'exclusive', timeoutMs),
    );
    return transaction.statement('guard/change', async () => {
      const now = guardState(session, transaction);
      if (equal(now, to)) return true;
      if (!equal(now, from)) return false;
      await setTriggersFor(session, transaction, now, to, timeoutMs);
      transaction.set(layout.guard, guardRowId, to);
      return true;
    });
  });
}

/**
 * Off for an authority that nobody can undo any more. One that still carries the mark of an attempt lets in own writes of its epoch
 * and no others: what a foreign writer committed before the commit of the attempt would be lost with its undo.
 */
async function setTriggersFor(
  session: MemorySession,
  transaction: MemoryTransaction,
  from: GuardState,
  to: GuardState,
  timeoutMs: number,
): Promise<void> {
  const opens = to.role === 'authority' || to.role === 'idle';
  if (opens && (to.attempt === null || from.role === 'authority'))
    setGuardTriggers(session, transaction, null);
  else if (opens) admitOwnWrites(session, transaction, to.epoch);
  else if (from.role === 'authority' && session.supportsGuard)
    await shutOutOthers(session, transaction, to, timeoutMs);
}

/** Triggers that are on stay on, for all but the door and journalled writes of the epoch. */
function admitOwnWrites(
  session: MemorySession,
  transaction: MemoryTransaction,
  epoch: number,
): void {
  const { triggers } = session.layout;
  for (const table of dataTables(session)) {
    const row = transaction.get(triggers, table);
    if (row && row.guardEpoch !== null)
      transaction.set(triggers, table, { ...row, guardEpoch: epoch, admitsOwn: true });
  }
}

/** Enables the guard triggers under table locks: the lock waits for foreign writers that are under way. */
async function shutOutOthers(
  session: MemorySession,
  transaction: MemoryTransaction,
  to: GuardState,
  timeoutMs: number,
): Promise<void> {
  for (const table of dataTables(session)) {
    await transaction.lock(tableLock(table), 'exclusive', timeoutMs);
  }
  setGuardTriggers(session, transaction, to.epoch);
}

export function setGuardTriggers(
  session: MemorySession,
  transaction: MemoryTransaction,
  guardEpoch: number | null,
): void {
  const { layout, sabotage } = session;
  const lax = sabotage.has('guard-admits-marked');
  for (const table of dataTables(session)) {
    const captured = transaction.get(layout.triggers, table)?.captured ?? [];
    transaction.set(layout.triggers, table, { guardEpoch, captured, ...(lax ? { lax } : {}) });
  }
}

/** Every table of every shape on this side, in name order. */
export function dataTables(session: {
  readonly context: MemorySession['context'];
}): readonly string[] {
  return [...new Set([...session.context.shapes.values()].flatMap(tablesOf))].sort();
}
