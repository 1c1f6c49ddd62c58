import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { DoorContext } from '../../store/index.ts';
import type { PostgresCatalog } from './postgres-catalog.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, Statement, TransactionOptions } from './postgres-session.ts';

/** What the parts of one PostgreSQL store share. */
export interface PostgresStoreParts {
  readonly session: PostgresSession;
  readonly catalog: PostgresCatalog;
  readonly layout: PostgresLayout;
}

/** Advisory lock that live door transactions share for as long as they are open; chunks look who holds it. */
export function doorLock(layout: PostgresLayout): bigint {
  return BigInt.asIntN(64, layout.roleLock ^ 1n);
}

/** The shared role lock, then role and epoch. */
export function enterFollower(layout: PostgresLayout, epoch: number): Statement {
  return { text: `SELECT ${layout.enter}('follower', $1, false)`, values: [String(epoch)] };
}

/** First statements of a live door transaction; the second one is the mark by which a chunk that begins sees it. */
export function enterDoor(layout: PostgresLayout, epoch: number): readonly Statement[] {
  const lock = `SELECT pg_catalog.pg_advisory_xact_lock_shared(${doorLock(layout)})`;
  return [enterFollower(layout, epoch), { text: lock }];
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
