import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { Guard, GuardRole, GuardState } from '../../store/index.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { guardTriggersAre, setGuardTriggers } from './postgres-guard-triggers.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import { raiseSequences, sequenceValues } from './postgres-sequences.ts';
import type { PostgresTransaction, SqlResult, Statement } from './postgres-session.ts';

/** Longest single wait for a lock: whoever queues behind us waits as long as we do. */
const LOCK_WAIT_MS = 300;
/** Upper end of the random pause between two tries, in which the others get their turn. */
const PAUSE_MS = 150;
/** What the statements themselves may take beyond the waiting. */
const WORK_MS = 5_000;

/**
 * Leaving `authority` keeps everybody but the door out; becoming `authority` or `idle` for good lets everybody in again. A new authority
 * that still carries the mark of an attempt can be undone, and what a foreign writer committed there before would be lost: until the
 * mark is cleared, triggers that are on stay on, for all but own writes of the new epoch (found by the simulation). Between the
 * other roles the triggers stay as they are: foreign writes to a follower that was never the authority are reported, not refused.
 */
function triggersAfter(from: GuardState, to: GuardState): 'on' | 'off' | 'as they are' {
  if (to.role === 'authority' || to.role === 'idle') {
    const mayBeUndone = to.attempt !== null && from.role !== 'authority';
    return mayBeUndone ? 'as they are' : 'off';
  }
  return from.role === 'authority' ? 'on' : 'as they are';
}

/**
 * The guard of a PostgreSQL store; see `store/guard.ts`. A change is one transaction: exclusive role lock (drains own writes and
 * door), compare, triggers under table locks (drains foreign writers), swap. The installed follower's triggers are off until its first change.
 *
 * A change of the mark alone lets in and keeps out whom the row did before: it waits for nobody, unless triggers are to change with it. Else a process that was
 * stopped with its transaction open would keep an attempt from being undone, and all writes held, for as long as that transaction may last.
 */
export function createPostgresGuard(parts: PostgresStoreParts): Guard {
  return {
    async read() {
      const { rows } = await parts.session.query(
        `SELECT role, epoch, attempt FROM ${parts.layout.guard}`,
        [],
        {
          what: 'look at the guard',
        },
      );
      return stateIn(rows);
    },
    change: (from, to, lockTimeoutMs) => change(parts, from, to, lockTimeoutMs),
    raiseSequences: (atLeast) => raiseSequences(parts, atLeast),
    sequenceValues: () => sequenceValues(parts),
  };
}

function stateIn(rows: SqlResult['rows']): GuardState {
  const [role, epoch, attempt] = rows[0] ?? [];
  if (role == null) throw new ChangeoverError('BUG', 'The guard has no row.');
  return { role: role as GuardRole, epoch: Number(epoch), attempt: attempt ?? null };
}

const sameRole = (a: GuardState, b: GuardState): boolean =>
  a.role === b.role && a.epoch === b.epoch;
const same = (a: GuardState, b: GuardState): boolean => sameRole(a, b) && a.attempt === b.attempt;

async function change(
  parts: PostgresStoreParts,
  from: GuardState,
  to: GuardState,
  lockTimeoutMs: number,
): Promise<boolean> {
  const { clock, random } = parts.session.runtime;
  const endsAt = clock.monotonic() + lockTimeoutMs;
  for (;;) {
    const leftMs = Math.max(1, endsAt - clock.monotonic());
    const lockWaitMs = Math.min(LOCK_WAIT_MS, leftMs);
    try {
      const marked = sameRole(from, to) ? await changeMark(parts, from, to, lockWaitMs) : null;
      return marked ?? (await changeOnce(parts, from, to, lockWaitMs));
    } catch (error) {
      // An unknown outcome may be tried again: the exclusive lock waits for the first try's end, and `to` counts as done.
      const passes = isChangeoverError(
        error,
        'STORE_CONFLICT',
        'OUTCOME_UNKNOWN',
        'DEADLINE_EXCEEDED',
      );
      if (!passes) throw error;
      if (clock.monotonic() >= endsAt) {
        if (isChangeoverError(error, 'OUTCOME_UNKNOWN')) throw error;
        throw new ChangeoverError(
          'STORE_CONFLICT',
          `The guard could not go from ${from.role} to ${to.role} within ${lockTimeoutMs} ms: transactions that write are still open.`,
          { cause: error, data: { lockTimeoutMs } },
        );
      }
      await clock.sleep(
        Math.min(random.next() * PAUSE_MS, Math.max(0, endsAt - clock.monotonic())),
      );
    }
  }
}

function changeOnce(
  parts: PostgresStoreParts,
  from: GuardState,
  to: GuardState,
  lockWaitMs: number,
): Promise<boolean> {
  const { session, layout, catalog } = parts;
  const body = async (transaction: PostgresTransaction): Promise<boolean> => {
    const roleLock = { text: `SELECT pg_catalog.pg_advisory_xact_lock(${layout.roleLock})` };
    const found = await lockedRow(transaction, layout, lockWaitMs, [roleLock]);
    if (same(found, to)) return true;
    if (!same(found, from)) return false;
    await setGuardTriggers(transaction, layout, catalog, {
      triggers: triggersAfter(from, to),
      epoch: to.epoch,
      admitsOwn: to.role === 'authority',
    });
    await setRow(transaction, layout, to);
    return true;
  };
  return session.transaction(body, {
    timeoutMs: lockWaitMs + WORK_MS,
    what: 'change of the guard',
  });
}

/** A change of the mark under the row's lock alone; null: triggers have to change with it, and nothing was changed. */
function changeMark(
  { session, layout, catalog }: PostgresStoreParts,
  from: GuardState,
  to: GuardState,
  lockWaitMs: number,
): Promise<boolean | null> {
  const body = async (transaction: PostgresTransaction): Promise<boolean | null> => {
    const found = await lockedRow(transaction, layout, lockWaitMs, []);
    if (same(found, to)) return true;
    if (!same(found, from)) return false;
    // Whoever changes a trigger holds the row: what is seen here stays until our end.
    const wanted = triggersAfter(from, to);
    const asWanted =
      wanted === 'as they are' || (await guardTriggersAre(transaction, layout, catalog, wanted));
    if (!asWanted) return null;
    await setRow(transaction, layout, to);
    return true;
  };
  return session.transaction(body, {
    timeoutMs: lockWaitMs + WORK_MS,
    what: 'change of the mark of the guard',
  });
}

async function lockedRow(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  lockWaitMs: number,
  first: readonly Statement[],
): Promise<GuardState> {
  const results = await transaction.run([
    {
      text: `SELECT pg_catalog.set_config('lock_timeout', $1, true)`,
      values: [String(Math.ceil(lockWaitMs))],
    },
    ...first,
    { text: `SELECT role, epoch, attempt FROM ${layout.guard} FOR UPDATE` },
  ]);
  return stateIn(results.at(-1)?.rows ?? []);
}

async function setRow(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  { role, epoch, attempt }: GuardState,
): Promise<void> {
  await transaction.query(`UPDATE ${layout.guard} SET role = $1, epoch = $2, attempt = $3`, [
    role,
    String(epoch),
    attempt,
  ]);
}
