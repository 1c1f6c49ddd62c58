import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { Guard, GuardRole, GuardState } from '../../store/index.ts';
import { cut } from './mysql-connect.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { flyUntil } from './mysql-flight.ts';
import {
  createGuardTrigger,
  dropTrigger,
  guardTrigger,
  installedTriggers,
  qualifiedTrigger,
  shapeTables,
  TRIGGER_EVENTS,
} from './mysql-guard-triggers.ts';
import { raiseSequences, sequenceValues } from './mysql-sequences.ts';
import type { MysqlFlavour, MysqlTransaction, SqlResult } from './mysql-session.ts';
import { literal, quoteLiteral } from './mysql-text.ts';

/** Longest single wait for a lock (a second where the server knows no smaller unit): whoever queues behind us waits as long as we do. */
const LOCK_WAIT_MS = 300;
/** Upper end of the random pause between two tries, in which the others get their turn. */
const PAUSE_MS = 150;
/** What the statements themselves may take beyond the waiting. */
const WORK_MS = 15_000;

/**
 * Leaving `authority` keeps everybody but the door out; becoming `authority` or `idle` for good lets everybody in again. A new authority
 * that still carries the mark of an attempt can be undone, and what a foreign writer committed there before would be lost: until the
 * mark is cleared, triggers that are there stay, for all but own writes of the new epoch. Between the
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
 * The guard of a MySQL or MariaDB store; see `store/guard.ts`. Own writes and the door share the guard's row for as long as their transactions last; a change locks
 * it, which is the drain of both.
 *
 * **Foreign writers** are kept out by triggers. MySQL cannot disable a trigger, and creating one commits by itself: so they are created and dropped
 * under `LOCK TABLES … WRITE` on the guard and all tables of the shapes. That lock waits for every transaction that has touched one of them, readers
 * included, and lets no other begin: it is the drain. Readers and writers that come meanwhile wait with it, at most `LOCK_WAIT_MS` at a time.
 *
 * **A crash in between** leaves the tables shut, never open: triggers are created before the row changes, and dropped after it has. The same change again (the
 * switch resumes, or undoes itself) finishes it. TRUNCATE fires no triggers (`inspect` says so).
 */
export function createMysqlGuard(parts: MysqlStoreParts): Guard {
  const { session, layout } = parts;
  return {
    async read() {
      const { rows } = await session.query(look(layout.guard), { what: 'look at the guard' });
      return stateIn(rows);
    },
    change: (from, to, lockTimeoutMs) => change(parts, from, to, lockTimeoutMs),
    raiseSequences: (atLeast) => raiseSequences(parts, atLeast),
    sequenceValues: () => sequenceValues(parts),
  };
}

const look = (guard: string): string => `SELECT role, epoch, attempt FROM ${guard} WHERE one = 1`;

const set = (guard: string, { role, epoch, attempt }: GuardState): string =>
  `UPDATE ${guard} SET role = ${quoteLiteral(role)}, epoch = ${Math.trunc(epoch)}, attempt = ${literal(attempt)} WHERE one = 1`;

function stateIn(rows: SqlResult['rows']): GuardState {
  const [role, epoch, attempt] = rows[0] ?? [];
  if (role == null) throw new ChangeoverError('BUG', 'The guard has no row.');
  return { role: role as GuardRole, epoch: Number(epoch), attempt: attempt ?? null };
}

const same = (a: GuardState, b: GuardState): boolean =>
  a.role === b.role && a.epoch === b.epoch && a.attempt === b.attempt;

async function change(
  parts: MysqlStoreParts,
  from: GuardState,
  to: GuardState,
  lockTimeoutMs: number,
): Promise<boolean> {
  const { clock, random } = parts.session.runtime;
  const endsAt = clock.monotonic() + lockTimeoutMs;
  for (;;) {
    const leftMs = Math.max(1, endsAt - clock.monotonic());
    try {
      return await changeOnce(parts, from, to, Math.min(LOCK_WAIT_MS, leftMs));
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
          `The guard could not go from ${from.role} to ${to.role} within ${lockTimeoutMs} ms: transactions that use its tables, readers included, are still open.`,
          { cause: error, data: { lockTimeoutMs } },
        );
      }
      await clock.sleep(
        Math.min(random.next() * PAUSE_MS, Math.max(0, endsAt - clock.monotonic())),
      );
    }
  }
}

async function changeOnce(
  parts: MysqlStoreParts,
  from: GuardState,
  to: GuardState,
  lockWaitMs: number,
): Promise<boolean> {
  const triggers = triggersAfter(from, to);
  const there =
    triggers === 'off'
      ? (await installedTriggers(parts.session, parts.layout, 'guard')).length > 0
      : false;
  if (triggers === 'on' || there)
    return changeWithTriggers(parts, from, to, triggers === 'on', lockWaitMs);
  const { session, layout } = parts;
  return session.transaction(
    async (transaction) => {
      await limitWaiting(transaction, lockWaitMs);
      const { rows } = await transaction.query(`${look(layout.guard)} FOR UPDATE`);
      const found = stateIn(rows);
      if (same(found, to)) return true;
      if (!same(found, from)) return false;
      await transaction.query(set(layout.guard, to));
      return true;
    },
    { timeoutMs: lockWaitMs + WORK_MS, lockWaitMs, what: 'change of the guard' },
  );
}

/** Finer than the whole seconds of a lock wait, where the server can. Each statement of the transaction is short but for its waiting. */
async function limitWaiting(transaction: MysqlTransaction, waitMs: number): Promise<void> {
  const limit = transaction.flavour.statementLimit(waitMs);
  if (limit.length > 0) await transaction.query(`SET SESSION ${limit.join(', ')}`);
}

/** The same under table locks, with the triggers that go with it. */
async function changeWithTriggers(
  parts: MysqlStoreParts,
  from: GuardState,
  to: GuardState,
  on: boolean,
  lockWaitMs: number,
): Promise<boolean> {
  const { session, layout, catalog } = parts;
  const { clock } = session.runtime;
  const tables = await shapeTables(catalog);
  const installed = await installedTriggers(session, layout, 'guard');
  const what = 'change of the guard';
  // Tables that have left the shapes may still carry triggers of ours.
  const locked = new Set([layout.guard, ...tables.map(({ quoted }) => quoted)]);
  for (const { table } of installed) locked.add(table);
  return session.alone(
    async (client, flavour) => {
      const run = async (
        statements: readonly string[],
        limitMs = WORK_MS,
      ): Promise<readonly SqlResult[]> =>
        flyUntil(client, statements, limitMs, clock, what, () => cut(client));
      await run(waitLimits(flavour, lockWaitMs));
      const list = [...locked].map((table) => `${table} WRITE`).join(', ');
      await run([`LOCK TABLES ${list}`], lockWaitMs + 2_000);
      await run(waitLimits(flavour, WORK_MS));
      const [row] = await run([look(layout.guard)]);
      const found = stateIn(row?.rows ?? []);
      if (!same(found, to) && !same(found, from)) return false;
      if (on && !same(found, to)) {
        // By database as well: tables of two databases may have one name.
        const there = new Set(installed.map(qualifiedTrigger));
        const missing = tables.flatMap((table) =>
          TRIGGER_EVENTS.filter((event) => !there.has(guardTrigger(layout, table, event))).map(
            (event) => createGuardTrigger(layout, table, event),
          ),
        );
        if (missing.length > 0) await run(missing);
      }
      if (!same(found, to)) await run([set(layout.guard, to)]);
      if (!on && installed.length > 0) await run(installed.map(dropTrigger));
      return true;
    },
    { timeoutMs: lockWaitMs + 2 * WORK_MS, what },
  );
}

/** `LOCK TABLES` waits whole seconds; a limit for the statement is finer, where the server applies it to more than reads. */
function waitLimits(flavour: MysqlFlavour, waitMs: number): readonly string[] {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  const settings = [...flavour.statementLimit(waitMs), `lock_wait_timeout = ${seconds}`];
  return [`SET SESSION ${settings.join(', ')}`];
}
