import { ChangeoverError } from '../../errors/index.ts';
import type { LogCheckpoint } from '../../log/index.ts';
import type { DoorContext, LogApplied, LogApply, LogDoor } from '../../store/index.ts';
import { enterChanges } from './memory-door.ts';
import { rowLock } from './memory-layout.ts';
import { beginAtDoor, enterAsFollower, lookOnce, type MemorySession } from './memory-session.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

/** Statement order: role, checkpoint (locked and compared), then fences and rows as in the door, then the checkpoint moves. */
export function createMemoryLogDoor(session: MemorySession): LogDoor {
  const { database, layout, client } = session;
  const { checkpoints } = layout;
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
    checkpoint: (stream) =>
      lookOnce(
        session,
        'log/checkpoint',
        (transaction) => transaction.get(checkpoints, stream) ?? null,
      ),
    begin: (stream, { identity, position }) =>
      run('log/begin', async (transaction) => {
        await transaction.lock(rowLock(checkpoints.name, stream), 'exclusive');
        const known = transaction.get(checkpoints, stream);
        if (known && known.identity !== identity) throw foreign(stream, known, identity);
        const checkpoint = known ?? { identity, position, skip: 0 };
        if (!known) transaction.set(checkpoints, stream, checkpoint);
        return checkpoint;
      }),
    async apply(batch, context) {
      session.assertOpen();
      const transaction = beginAtDoor(session, context);
      try {
        const applied = await applyBatch(session, transaction, batch, context);
        if (context.discard) transaction.rollback();
        // Then it is committed already.
        else if (!session.sabotage.has('log-checkpoint-before')) await transaction.commit();
        if (session.sabotage.has('log-checkpoint-after')) await moveAlone(session, batch);
        return applied;
      } catch (error) {
        transaction.rollback();
        throw error;
      }
    },
    move: (stream, from, to) =>
      run('log/move', async (transaction) => {
        await transaction.lock(rowLock(checkpoints.name, stream), 'exclusive');
        const held = transaction.get(checkpoints, stream) ?? null;
        if (!isSame(held, from)) throw moved(stream, held, from);
        transaction.set(checkpoints, stream, to);
      }),
    forget: (stream) =>
      run('log/forget', async (transaction) => {
        await transaction.lock(rowLock(checkpoints.name, stream), 'exclusive');
        if (transaction.get(checkpoints, stream)) transaction.set(checkpoints, stream, undefined);
      }),
  };
}

async function applyBatch(
  session: MemorySession,
  transaction: MemoryTransaction,
  batch: LogApply,
  context: DoorContext,
): Promise<LogApplied> {
  const { checkpoints } = session.layout;
  const { stream, from, to, changes } = batch;
  const { sabotage } = session;
  await enterAsFollower(session, transaction, context.epoch);
  if (!sabotage.has('log-checkpoint-after')) {
    await transaction.statement('log/compare', async () => {
      await transaction.lock(rowLock(checkpoints.name, stream), 'exclusive');
      const held = transaction.get(checkpoints, stream) ?? null;
      if (!isSame(held, from)) throw moved(stream, held, from);
    });
  }
  if (sabotage.has('log-checkpoint-before')) {
    transaction.set(checkpoints, stream, to);
    await transaction.commit();
    const late = beginAtDoor(session, context);
    const verdicts = await enterChanges(session, late, changes, context, 'log');
    await late.commit();
    return count(verdicts);
  }
  const verdicts = await enterChanges(session, transaction, changes, context, 'log');
  if (!sabotage.has('log-checkpoint-after')) {
    await transaction.statement('log/move', () => transaction.set(checkpoints, stream, to));
  }
  return count(verdicts);
}

function count(verdicts: readonly string[]): LogApplied {
  const applied = verdicts.filter((verdict) => verdict === 'applied').length;
  return { applied, stale: verdicts.length - applied, durable: true };
}

function isSame(held: LogCheckpoint | null, from: LogCheckpoint): boolean {
  return (
    held !== null &&
    held.identity === from.identity &&
    held.position.sequence === from.position.sequence &&
    held.skip === from.skip
  );
}

const told = (at: LogCheckpoint | null): string =>
  at === null ? 'nothing' : `${at.position.text} and ${at.skip} rows`;

function moved(stream: string, held: LogCheckpoint | null, from: LogCheckpoint): ChangeoverError {
  return new ChangeoverError(
    'CHECKPOINT_MOVED',
    `Stream ${stream} stands at ${told(held)}, not at ${told(from)}: nothing was applied.`,
    { data: { stream } },
  );
}

function foreign(stream: string, known: LogCheckpoint, identity: string): ChangeoverError {
  return new ChangeoverError(
    'LOG_LOST',
    `Stream ${stream} was begun on log "${known.identity}", the log is "${identity}" now.`,
    { data: { stream } },
  );
}

/** Sabotage `log-checkpoint-after`: rows are committed, the checkpoint follows when it can. */
async function moveAlone({ database, client, layout }: MemorySession, batch: LogApply) {
  await database.transaction({ client, mark: null }, (transaction) =>
    transaction.statement('log/move', async () => {
      await transaction.lock(rowLock(layout.checkpoints.name, batch.stream), 'exclusive');
      transaction.set(layout.checkpoints, batch.stream, batch.to);
    }),
  );
}
