import type { Finding, InstalledObject, StoreSetup } from '../../store/index.ts';
import { dataTables, setGuardTriggers } from './memory-guard.ts';
import {
  fenceId,
  guardLock,
  guardRowId,
  rootTable,
  rowLock,
  tableLock,
  tablesOf,
} from './memory-layout.ts';
import { guardState, isInstalled, type MemorySession, shapeOf } from './memory-session.ts';
import { tableRef } from './memory-table.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

/** Longest wait for writers when a capture trigger is installed. */
const captureLockMs = 5_000;

export function createMemorySetup(session: MemorySession): StoreSetup {
  const { database, layout, client, context } = session;
  const run = <T>(
    label: string,
    work: (transaction: MemoryTransaction) => T | Promise<T>,
  ): Promise<T> => {
    session.assertOpen();
    return database.transaction({ client, mark: null }, (transaction) =>
      transaction.statement(label, () => work(transaction)),
    );
  };

  return {
    async inspect(role) {
      try {
        await run('setup/inspect', () => undefined);
      } catch (error) {
        return [unreachable(error)];
      }
      return [...context.shapes.keys()].map(
        (collection): Finding => ({
          id: 'memory/ready',
          verdict: 'pass',
          message: `"${collection}" can be the ${role} in memory database "${database.label}".`,
          fix: '',
        }),
      );
    },
    install: (role, epoch) =>
      run('setup/install', async (transaction) => {
        await transaction.lock(guardLock(layout), 'exclusive');
        if (guardState(session, transaction).role !== 'idle') return;
        setGuardTriggers(session, transaction, null);
        transaction.set(layout.guard, guardRowId, { role, epoch, attempt: null });
      }),
    installCapture: (collection) =>
      run('setup/install-capture', (transaction) =>
        setCapture(session, transaction, collection, true),
      ),
    removeCapture: (collection) =>
      run('setup/remove-capture', (transaction) =>
        setCapture(session, transaction, collection, false),
      ),
    async objects() {
      return run('setup/objects', () => objectsOf(session));
    },
    uninstall: () =>
      run('setup/uninstall', async (transaction) => {
        await transaction.lock(guardLock(layout), 'exclusive');
        for (const table of dataTables(session))
          await transaction.lock(tableLock(table), 'exclusive');
        const { guard, queue, fences, chunks, triggers, checkpoints, rogues } = layout;
        for (const { name } of [guard, queue, fences, chunks, triggers, checkpoints, rogues])
          database.dropTable(name);
        database.dropSequence(layout.sequence);
      }),
    async countUpTo(collection, max) {
      const table = rootTable(shapeOf(session, collection));
      return run('setup/count', () => Math.min(max, database.committedKeys(table).length));
    },
    truncate: (collection) =>
      run('setup/truncate', async (transaction) => {
        for (const name of tablesOf(shapeOf(session, collection))) {
          await transaction.lock(tableLock(name), 'exclusive');
          transaction.empty(tableRef(name));
        }
        const ours = [
          [layout.fences, fenceId(collection, '')],
          [layout.chunks, `${collection} `],
        ] as const;
        for (const [table, prefix] of ours) {
          for (const [id] of transaction.all<unknown>(table)) {
            if (!id.startsWith(prefix)) continue;
            await transaction.lock(rowLock(table.name, id), 'exclusive');
            transaction.set<unknown>(table, id, undefined);
          }
        }
      }),
  };
}

function unreachable(error: unknown): Finding {
  return {
    id: 'memory/unreachable',
    verdict: 'fail',
    message: String(error),
    fix: 'Start the memory database.',
  };
}

/** Under table locks: once it returns, no writer is under way that did not meet the trigger. */
async function setCapture(
  session: MemorySession,
  transaction: MemoryTransaction,
  collection: string,
  on: boolean,
): Promise<void> {
  const { triggers } = session.layout;
  for (const table of tablesOf(shapeOf(session, collection))) {
    await transaction.lock(tableLock(table), 'exclusive', captureLockMs);
    const old = transaction.get(triggers, table) ?? { guardEpoch: null, captured: [] };
    const others = old.captured.filter((name) => name !== collection);
    transaction.set(triggers, table, { ...old, captured: on ? [...others, collection] : others });
  }
}

function objectsOf(session: MemorySession): readonly InstalledObject[] {
  const { database, layout } = session;
  if (!isInstalled(session)) return [];
  const { guard, queue, fences, chunks, checkpoints } = layout;
  const objects: InstalledObject[] = [{ kind: 'schema', name: layout.schema }];
  for (const { name } of [guard, queue, fences, chunks, checkpoints])
    objects.push({ kind: 'table', name });
  objects.push({ kind: 'sequence', name: layout.sequence });
  for (const [table, row] of database.committedRows(layout.triggers)) {
    objects.push({ kind: 'trigger', name: `changeover_guard on ${table}` });
    if (row.captured.length > 0)
      objects.push({ kind: 'trigger', name: `changeover_capture on ${table}` });
  }
  return objects;
}
