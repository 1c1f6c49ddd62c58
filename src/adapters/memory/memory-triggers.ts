import { ChangeoverError } from '../../errors/index.ts';
import type { MemoryLayout, QueueRow } from './memory-layout.ts';
import { rowLock } from './memory-layout.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

/** Marks of sessions that our triggers know. */
export const doorMark = 'door';
/** Own writes that write their journal row themselves; the capture trigger leaves them alone. */
export const journalledMark = 'journalled';

/** The guard: a statement trigger, so that a statement that finds no row is refused, too. */
export function refuseUnlessAdmitted(
  transaction: MemoryTransaction,
  layout: MemoryLayout,
  table: string,
): void {
  const triggers = transaction.get(layout.triggers, table);
  if (!triggers || triggers.guardEpoch === null) return;
  const { mark } = transaction;
  const recent = mark !== null && mark.epoch >= triggers.guardEpoch;
  const admitted =
    (recent && mark.kind === doorMark) ||
    (recent && mark.kind === journalledMark && triggers.admitsOwn === true) ||
    (mark !== null && triggers.lax === true);
  if (admitted) return;
  throw new ChangeoverError(
    'AUTHORITY_FENCED',
    `Table ${table} does not take writes of this session any more (epoch ${triggers.guardEpoch}).`,
    { data: { table, epoch: triggers.guardEpoch } },
  );
}

/** Capture: an AFTER ROW trigger in the writer's own transaction, while it holds the row. */
export function captureRow(
  transaction: MemoryTransaction,
  layout: MemoryLayout,
  collection: string,
  table: string,
  key: string,
): void {
  const triggers = transaction.get(layout.triggers, table);
  if (!triggers?.captured.includes(collection)) return;
  const { mark } = transaction;
  if (mark?.kind === doorMark || mark?.kind === journalledMark) return;
  insertEntry(transaction, layout, { collection, key, kind: 'change', dueInMs: 0 });
}

/** Draws an id and inserts the entry: the caller holds the key's or the row's lock. */
export function insertEntry(
  transaction: MemoryTransaction,
  layout: MemoryLayout,
  entry: {
    readonly collection: string;
    readonly key: string;
    readonly kind: 'change' | 'intent';
    readonly dueInMs: number;
    readonly deadReason?: string | undefined;
    readonly id?: bigint;
  },
): bigint {
  const id = entry.id ?? transaction.nextValue(layout.sequence);
  const nowMs = transaction.serverNow();
  const row: QueueRow = {
    id,
    collection: entry.collection,
    key: entry.key,
    kind: entry.kind,
    attempts: 0,
    enqueuedAtMs: nowMs,
    dueAtMs: nowMs + entry.dueInMs,
    leaseUntilMs: 0,
    claimed: false,
    error: '',
    dead: entry.deadReason === undefined ? null : { reason: entry.deadReason, diedAtMs: nowMs },
  };
  // Nobody else can hold the lock of a row that does not exist yet.
  transaction.tryLock(rowLock(layout.queue.name, String(id)), 'exclusive');
  transaction.set(layout.queue, String(id), row);
  return id;
}
