import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { DoorContext } from '../../store/index.ts';
import type { MysqlCatalog } from './mysql-catalog.ts';
import { errnoOf } from './mysql-errors.ts';
import { shareGate } from './mysql-gates.ts';
import type { MysqlPresence } from './mysql-presence.ts';
import { enterStatement, type MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession, TransactionOptions } from './mysql-session.ts';

/** What the parts of one MySQL or MariaDB store share. */
export interface MysqlStoreParts {
  readonly session: MysqlSession;
  readonly catalog: MysqlCatalog;
  readonly layout: MysqlLayout;
  readonly presence: MysqlPresence;
  /** Collections that are captured from the log: `StoreContext.logged`. */
  readonly logged: ReadonlySet<string>;
}

/** First statements of a live door transaction: role and epoch, then the gate by which a chunk that begins sees it. */
export function enterDoor(
  { layout, session }: Pick<MysqlStoreParts, 'layout' | 'session'>,
  epoch: number,
): readonly string[] {
  return [enterStatement(layout, 'follower', epoch), shareGate(layout, session.runtime.random)];
}

export function doorTransaction(context: DoorContext, what: string): TransactionOptions {
  return {
    timeoutMs: context.timeoutMs,
    mark: `door:${context.epoch}`,
    what,
    ...(context.discard ? { discard: true } : {}),
  };
}

/** "Out of range", in an expression: what an upsert raises that meets another record's row (`mysql-door-sql`). Columns have another number for it. */
const FOREIGN_ROW = 1690;

/** The guard and its triggers say "fenced"; at the door that means: shut. */
export function asDoorError(error: unknown): unknown {
  if (errnoOf(error) === FOREIGN_ROW && isChangeoverError(error)) {
    return new ChangeoverError(
      'STORE_REJECTED',
      `${String(error.data['what'])}: a unique value of a record is held by another record (or an expression of the table, a generated column or a check, is out of range).`,
      { data: { ...error.data, waits: true } },
    );
  }
  if (!isChangeoverError(error, 'AUTHORITY_FENCED')) return error;
  return new ChangeoverError('DOOR_SHUT', error.message.replace(/^AUTHORITY_FENCED: /, ''), {
    cause: error,
    data: error.data,
  });
}

/** A transaction that lost a deadlock (InnoDB finds it at once and picks the one that has written less) is tried again this often. */
const ATTEMPTS_MAX = 5;

/** `work` with what is left of the time, again where it gave way to others. */
export async function withRetries<Result>(
  { session }: MysqlStoreParts,
  context: DoorContext,
  work: (context: DoorContext) => Promise<Result>,
): Promise<Result> {
  const { clock, random } = session.runtime;
  const endsAt = clock.monotonic() + context.timeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const timeoutMs = Math.max(1, endsAt - clock.monotonic());
      return await work({ ...context, timeoutMs });
    } catch (error) {
      const again = isChangeoverError(error, 'STORE_CONFLICT') && attempt < ATTEMPTS_MAX;
      if (!again || clock.monotonic() >= endsAt) throw asDoorError(error);
      await clock.sleep(random.next() * 10 * attempt);
    }
  }
}
