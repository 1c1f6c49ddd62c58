import { ChangeoverError } from '../../errors/index.ts';
import type { Shape } from '../../migration/index.ts';
import type { DoorContext, GuardRole, GuardState, StoreContext } from '../../store/index.ts';
import { AggregateWriter } from './memory-aggregates.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { guardLock, guardRowId, type MemoryLayout } from './memory-layout.ts';
import type { MemoryTransaction } from './memory-transaction.ts';
import { doorMark } from './memory-triggers.ts';
import type { Sabotage } from './sabotage.ts';

/** What the parts of one opened memory store share. */
export interface MemorySession {
  readonly database: MemoryDatabase;
  readonly layout: MemoryLayout;
  readonly context: StoreContext;
  /** Name of the client process, for the simulation. */
  readonly client: string;
  /** Whether guard triggers are enabled when this store stops being the authority. */
  readonly supportsGuard: boolean;
  /** Deliberate defects. Empty outside of tests. */
  readonly sabotage: ReadonlySet<Sabotage>;
  /** STORE-side work is refused after close. */
  assertOpen(): void;
}

/** Shape of a collection on this side, or COLLECTION_UNKNOWN. */
export function shapeOf(session: MemorySession, collection: string): Shape {
  const shape = session.context.shapes.get(collection);
  if (shape) return shape;
  throw new ChangeoverError('COLLECTION_UNKNOWN', `This store has no collection "${collection}".`);
}

export function aggregateWriter(
  session: MemorySession,
  transaction: MemoryTransaction,
  collection: string,
): AggregateWriter {
  return new AggregateWriter(
    transaction,
    session.layout,
    collection,
    shapeOf(session, collection),
    session.database.constraints,
  );
}

/** The guard row; idle when nothing of ours is installed. */
export function guardState(session: MemorySession, transaction: MemoryTransaction): GuardState {
  return (
    transaction.get(session.layout.guard, guardRowId) ?? { role: 'idle', epoch: 0, attempt: null }
  );
}

/** True when `install` has been called and `uninstall` has not. */
export function isInstalled(session: MemorySession): boolean {
  return session.database.committed(session.layout.guard, guardRowId) !== undefined;
}

/** First statement of an own write or re-read: shared lock until commit, then the look. AUTHORITY_FENCED otherwise. */
export async function enterAsAuthority(
  session: MemorySession,
  transaction: MemoryTransaction,
  epoch: number,
  roles: readonly GuardRole[],
): Promise<void> {
  await transaction.statement('guard/enter', async () => {
    await shareGuard(session, transaction);
    if (session.sabotage.has('guard-not-asked')) return;
    const guard = guardState(session, transaction);
    const installed = transaction.get(session.layout.guard, guardRowId) !== undefined;
    if (roles.includes(guard.role) && (guard.epoch === epoch || !installed)) return;
    throw new ChangeoverError(
      'AUTHORITY_FENCED',
      `This store is ${guard.role} in epoch ${guard.epoch}; the write was routed by epoch ${epoch}.`,
      { data: { role: guard.role, epoch: guard.epoch, routedBy: epoch } },
    );
  });
}

/** First statement of a door transaction. DOOR_SHUT unless this store is the follower of `epoch`. */
export async function enterAsFollower(
  session: MemorySession,
  transaction: MemoryTransaction,
  epoch: number,
): Promise<void> {
  await transaction.statement('door/enter', async () => {
    await shareGuard(session, transaction);
    if (session.sabotage.has('door-without-role')) return;
    const guard = guardState(session, transaction);
    if (guard.role === 'follower' && guard.epoch === epoch) return;
    throw new ChangeoverError(
      'DOOR_SHUT',
      `This store is ${guard.role} in epoch ${guard.epoch}; the change is of epoch ${epoch}.`,
      { data: { role: guard.role, epoch: guard.epoch, routedBy: epoch } },
    );
  });
}

async function shareGuard(session: MemorySession, transaction: MemoryTransaction): Promise<void> {
  // Without the lock a change of role does not wait for those who looked before it.
  if (session.sabotage.has('guard-without-drain')) return;
  await transaction.lock(guardLock(session.layout), 'shared');
}

/** One statement that only looks: there is no COMMIT whose answer could be lost. */
export async function lookOnce<T>(
  { database, client, assertOpen }: MemorySession,
  label: string,
  work: (transaction: MemoryTransaction) => T | Promise<T>,
): Promise<T> {
  assertOpen();
  const transaction = database.begin({ client, mark: null });
  try {
    return await transaction.statement(label, () => work(transaction));
  } finally {
    transaction.rollback();
  }
}

/** A transaction with the door's mark; in the log too, where somebody captures from it. */
export function beginAtDoor(session: MemorySession, context: DoorContext): MemoryTransaction {
  const { logged, migration } = session.context;
  return session.database.begin({
    client: session.client,
    mark: { kind: doorMark, epoch: context.epoch },
    timeoutMs: context.timeoutMs,
    logMark: logged && logged.size > 0 ? migration : null,
  });
}
