import type { GuardState } from '../../store/index.ts';
import { cut } from './mysql-connect.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import type { MysqlFlavour } from './mysql-flavour.ts';
import { flyUntil } from './mysql-flight.ts';
import { type ForeignPlan, look, same, set, stateIn } from './mysql-guard-row.ts';
import {
  createGuardTrigger,
  databasesOf,
  dropTrigger,
  guardTriggers,
  installedTriggers,
  missingTriggers,
} from './mysql-guard-triggers.ts';
import type { SqlResult } from './mysql-session.ts';

/** What the statements themselves may take beyond the waiting: a few milliseconds for each trigger. */
const WORK_MS = 15_000;
/** A process that is stopped in here loses its locks after so long. */
const IDLE_SECONDS = 20;

/**
 * Leaving `authority` where triggers are missing: under `LOCK TABLES … WRITE` on the guard and all tables of the shapes, because an exchange of tables or
 * a writer of before must not come in between. That lock waits for every transaction that has touched one of them, readers included, and lets no
 * other begin, at most `lockWaitMs` at a time; with many tables the application notices it. False: the row was something else.
 */
export async function changeUnderTableLocks(
  { session, layout, catalog }: MysqlStoreParts,
  from: GuardState,
  to: GuardState,
  { admission, maker }: ForeignPlan,
  lockWaitMs: number,
): Promise<boolean> {
  const { clock } = session.runtime;
  const wanted = await guardTriggers(layout, catalog, maker);
  const installed = await installedTriggers(session, layout, 'guard', databasesOf(wanted));
  const missing = missingTriggers(wanted, installed);
  const what = 'change of the guard';
  const locked = new Set([layout.guard, layout.admission]);
  // A table that was exchanged carries its triggers on under another name.
  for (const { table } of [...wanted, ...installed]) locked.add(table);
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
      const found = stateIn(row?.rows);
      if (same(found, to)) return true;
      if (!same(found, from)) return false;
      if (missing.length > 0)
        await run(
          missing.flatMap((trigger) => [dropTrigger(trigger), createGuardTrigger(layout, trigger)]),
        );
      await run([set(layout, to, admission === null ? null : admission === 'open')]);
      return true;
    },
    { timeoutMs: lockWaitMs + 2 * WORK_MS, what },
  );
}

/** `LOCK TABLES` waits whole seconds; a limit for the statement is finer, where the server applies it to more than reads. */
function waitLimits(flavour: MysqlFlavour, waitMs: number): readonly string[] {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  const settings = [
    ...flavour.statementLimit(waitMs),
    `lock_wait_timeout = ${seconds}`,
    `wait_timeout = ${IDLE_SECONDS}`,
  ];
  return [`SET SESSION ${settings.join(', ')}`];
}
