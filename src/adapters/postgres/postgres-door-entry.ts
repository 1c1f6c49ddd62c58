import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { DoorContext } from '../../store/index.ts';
import type { PostgresCatalog } from './postgres-catalog.ts';
import { DOOR_PREFIX } from './postgres-log-mark.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, Statement, TransactionOptions } from './postgres-session.ts';

/** What the parts of one PostgreSQL store share. */
export interface PostgresStoreParts {
  readonly session: PostgresSession;
  readonly catalog: PostgresCatalog;
  readonly layout: PostgresLayout;
  /** Collections that are captured from the log: `StoreContext.logged`. */
  readonly logged: ReadonlySet<string>;
  /** Opens a replication connection and closes it again; rejects with what is in the way. */
  readonly probeLog?: () => Promise<void>;
}

/** Advisory lock that live door transactions share for as long as they are open; chunks look who holds it. */
export function doorLock(layout: PostgresLayout): bigint {
  return BigInt.asIntN(64, layout.roleLock ^ 1n);
}

type Entrance = Pick<PostgresStoreParts, 'layout' | 'logged'>;

/**
 * The shared role lock, then role and epoch; and, where collections are captured from the log, the mark by which this store's own
 * log leaves the transaction out. One statement, and the first of every transaction that writes rows as the door.
 */
export function enterFollower(parts: Entrance, epoch: number): Statement {
  return entrance(parts, epoch, '');
}

/** First statement of a live door transaction: then it also takes the lock by which a chunk that begins sees it. */
export function enterDoor(parts: Entrance, epoch: number): Statement {
  const lock = `, pg_catalog.pg_advisory_xact_lock_shared(${doorLock(parts.layout)})`;
  return entrance(parts, epoch, lock);
}

/** The columns of a select list without aggregates are computed from left to right. */
function entrance({ layout, logged }: Entrance, epoch: number, more: string): Statement {
  const enter = `SELECT ${layout.enter}('follower', $1, false)`;
  if (logged.size === 0) return { text: enter + more, values: [String(epoch)] };
  return {
    text: `${enter}, pg_catalog.pg_logical_emit_message(true, $2::text, $3::text)${more}`,
    values: [String(epoch), DOOR_PREFIX, layout.migration],
  };
}

export function doorTransaction(context: DoorContext, what: string): TransactionOptions {
  return { timeoutMs: context.timeoutMs, mark: `door:${context.epoch}`, what };
}

/** The guard and its triggers say "fenced"; at the door that means: shut. */
export function asDoorError(error: unknown): unknown {
  if (!isChangeoverError(error, 'AUTHORITY_FENCED')) return error;
  return new ChangeoverError('DOOR_SHUT', error.message.replace(/^AUTHORITY_FENCED: /, ''), {
    cause: error,
    data: error.data,
  });
}
