import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { Guard, GuardState } from '../../store/index.ts';
import type { MysqlCatalog } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { dropGuardTriggers, makeGuardTriggers } from './mysql-guard-ddl.ts';
import { changeUnderTableLocks } from './mysql-guard-locked.ts';
import { type ForeignPlan, isOpen, look, same, set, stateIn } from './mysql-guard-row.ts';
import {
  databasesOf,
  guardTriggers,
  type InstalledTrigger,
  missingTriggers,
  shapeTables,
  toInstalled,
  triggersQuery,
} from './mysql-guard-triggers.ts';
import { raiseSequences, sequenceValues } from './mysql-sequences.ts';
import type { MysqlFlavour, MysqlTransaction, SqlResult } from './mysql-session.ts';

/** Longest single wait for a lock (a second where the server knows no smaller unit): whoever queues behind us waits as long as we do. */
const LOCK_WAIT_MS = 300;
/** Upper end of the random pause between two tries, in which the others get their turn. */
const PAUSE_MS = 150;
/** What the statements themselves may take beyond the waiting. Not long: a process that is stopped in between keeps writers waiting. */
const WORK_MS = 5_000;
/** The list of triggers waits for DDL of others; then the next try. */
const LIST_MS = 1_000;

/**
 * Leaving `authority` shuts foreign writers out; becoming `authority` or `idle` for good lets them in again. A new authority that still carries the mark of
 * an attempt can be undone, and what a foreign writer committed there before would be lost: until the mark is cleared, admission stays as it is. Between the
 * other roles too: foreign writes to a follower that was never the authority are reported, not refused.
 */
function foreignPlan(from: GuardState, to: GuardState): ForeignPlan {
  const maker = to.attempt ?? from.attempt ?? `epoch ${to.epoch}`;
  if (to.role === 'authority' || to.role === 'idle') {
    if (to.attempt !== null && from.role !== 'authority')
      return { admission: null, triggers: null, maker };
    if (to.attempt === null || to.role === 'idle')
      return { admission: 'open', triggers: 'drop', maker };
    // Of an attempt that is over already: nothing will be sealed in its name, and traffic may be waiting for this change.
    const goesOn = from.attempt !== null && to.attempt.startsWith(`${from.attempt}:`);
    return { admission: 'open', triggers: goesOn ? null : 'make', maker };
  }
  if (from.role === 'authority') return { admission: 'shut', triggers: 'need', maker };
  return { admission: null, triggers: null, maker };
}

/**
 * The guard of a MySQL or MariaDB store; see `store/guard.ts`. Own writes and the door share the guard's row for as long as their transactions last; a change locks
 * it, which is the drain of both.
 *
 * **Foreign writers** are kept out by triggers, which share the row of `admission`: shutting it is their drain. MySQL cannot disable a trigger, and each
 * CREATE TRIGGER takes its table and commits by itself. So an authority that takes an attempt's mark gets triggers that let everybody in, made one by one
 * while writes flow; leaving `authority` then changes two rows in one transaction, after a look that the triggers of this attempt are there. Where one is not (an
 * authority that took no mark, too many tables, a table that was exchanged), it is made under `LOCK TABLES` (`changeUnderTableLocks`). Why, with the
 * interleavings: docs/design/guard-row.md.
 *
 * **A crash in between** leaves triggers without effect, which the undo removes, or tables that are shut. TRUNCATE fires no triggers (`inspect` says so).
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

async function change(
  parts: MysqlStoreParts,
  from: GuardState,
  to: GuardState,
  lockTimeoutMs: number,
): Promise<boolean> {
  const { clock, random } = parts.session.runtime;
  const plan = foreignPlan(from, to);
  const endsAt = clock.monotonic() + lockTimeoutMs;
  for (;;) {
    const leftMs = Math.max(1, endsAt - clock.monotonic());
    try {
      const lockWaitMs = Math.min(LOCK_WAIT_MS, leftMs);
      const done = await changeOnce(parts, from, to, plan, lockWaitMs);
      if (done === 'triggers are missing')
        return await changeUnderTableLocks(parts, from, to, plan, lockWaitMs);
      if (done === false) return false;
      if (plan.triggers === 'make') await makeGuardTriggers(parts, plan.maker, done, endsAt);
      if (plan.triggers === 'drop') await dropGuardTriggers(parts, done, endsAt);
      return true;
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

/**
 * The change in one transaction. False: the row was something else. Otherwise the guard's triggers as they were while the row was locked: those that
 * another attempt makes afterwards are not among them, and must not be dropped by somebody who has slept.
 */
async function changeOnce(
  { session, layout, catalog }: MysqlStoreParts,
  from: GuardState,
  to: GuardState,
  { admission, triggers, maker }: ForeignPlan,
  lockWaitMs: number,
): Promise<false | 'triggers are missing' | readonly InstalledTrigger[]> {
  // Before the locks. Whoever lets everybody in must be able to without the tables: one of them may be gone.
  const wanted =
    triggers === null || triggers === 'drop' ? [] : await guardTriggers(layout, catalog, maker);
  const databases = triggers === 'drop' ? await knownDatabases(catalog) : databasesOf(wanted);
  const body = async (
    transaction: MysqlTransaction,
  ): Promise<false | 'triggers are missing' | readonly InstalledTrigger[]> => {
    const { flavour } = transaction;
    const lockAdmission = `${isOpen(layout)} FOR UPDATE`;
    // Whoever wants it open and finds it so must not wait for those who share it.
    const locks =
      admission === 'shut' ||
      (admission === 'open' && !isNowOpen(await transaction.query(isOpen(layout))));
    // Admission first: who waits with these few locks is the lightest of a deadlock between foreign transactions, and the one that InnoDB gives up.
    const locked = await transaction.run([
      ...limits(flavour, lockWaitMs),
      ...(locks ? [lockAdmission] : []),
      `${look(layout.guard)} FOR UPDATE`,
    ]);
    const found = stateIn(locked.at(-1)?.rows);
    const done = same(found, to);
    if (!done && !same(found, from)) return false;
    // All this time writers wait: one round trip.
    const seen = await transaction.run([
      ...limits(flavour, LIST_MS),
      ...(triggers === null ? [] : [triggersQuery(layout, 'guard', databases)]),
      isOpen(layout),
    ]);
    const installed = triggers === null ? [] : toInstalled(seen.at(-2));
    if (done) return installed;
    if (triggers === 'need' && missingTriggers(wanted, installed).length > 0)
      return 'triggers are missing';
    const open = isNowOpen(seen.at(-1)) ? 'open' : 'shut';
    const differs = admission !== null && admission !== open;
    if (differs && !locks) await transaction.query(lockAdmission);
    await transaction.query(set(layout, to, differs ? admission === 'open' : null));
    return installed;
  };
  return session.transaction(body, {
    timeoutMs: lockWaitMs + WORK_MS,
    lockWaitMs,
    what: 'change of the guard',
  });
}

/** Where the triggers are; undefined, so anywhere, when a table is not there any more. */
async function knownDatabases(catalog: MysqlCatalog): Promise<readonly string[] | undefined> {
  const tables = await shapeTables(catalog).catch(() => null);
  return tables === null ? undefined : [...new Set(tables.map(({ database }) => database))];
}

/** What `isOpen` found. */
const isNowOpen = (answer: SqlResult | undefined): boolean => answer?.rows[0]?.[0] === '1';

/** Finer than the whole seconds of a lock wait, where the server can. Each statement of the transaction is short but for its waiting. */
function limits(flavour: MysqlFlavour, ms: number): readonly string[] {
  const limit = flavour.statementLimit(ms);
  return limit.length === 0 ? [] : [`SET SESSION ${limit.join(', ')}`];
}
