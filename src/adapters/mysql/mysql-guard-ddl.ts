import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import { cut } from './mysql-connect.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { errnoOf, toChangeoverError } from './mysql-errors.ts';
import type { MysqlFlavour } from './mysql-flavour.ts';
import { flyUntil } from './mysql-flight.ts';
import {
  createGuardTrigger,
  dropTrigger,
  guardTriggers,
  type InstalledTrigger,
  missingTriggers,
  qualifiedTrigger,
} from './mysql-guard-triggers.ts';

/** Connections at once: the server spends most of a CREATE TRIGGER with its files. */
const LANES = 4;
/** Longest wait for one table: who comes to it meanwhile waits as well. */
const TABLE_WAIT_MS = 200;
/** Upper end of the random pause before a table that was in use is tried again. */
const PAUSE_MS = 40;
/** Work beyond the waiting, after which what is missing is left: to the change under table locks, or inert on its table. */
const WORK_MS = 1_500;
const STATEMENT_MS = 5_000;
/** "Trigger already exists": another process makes the same. */
const EXISTS = 1359;

/**
 * Makes the triggers of an attempt, table by table while writes flow; inert until admission is shut. Idempotent. Each waits for the transactions
 * that have used its table, and a table that is never free until `endsAt` is a STORE_CONFLICT. Ends without an error when there are more tables than time.
 *
 * @param installed the guard's triggers as they were when the attempt took the guard; those of ended attempts go
 */
export async function makeGuardTriggers(
  parts: MysqlStoreParts,
  maker: string,
  installed: readonly InstalledTrigger[],
  endsAt: number,
): Promise<void> {
  const { layout, catalog } = parts;
  const wanted = await guardTriggers(layout, catalog, maker);
  const busy = await tableByTable(parts, missingTriggers(wanted, installed), endsAt, (trigger) =>
    createGuardTrigger(layout, trigger),
  );
  if (busy === null) {
    const own = new Set(wanted.map(qualifiedTrigger));
    const old = installed.filter((trigger) => !own.has(qualifiedTrigger(trigger)));
    await dropGuardTriggers(parts, old, endsAt);
    return;
  }
  throw new ChangeoverError(
    'STORE_CONFLICT',
    `The guard's triggers could not be prepared in time: transactions that use ${busy}, readers included, are still open.`,
    { data: { table: busy } },
  );
}

/** Best effort: what cannot be dropped in time has no effect but its cost, and goes with the next change or the removal. */
export async function dropGuardTriggers(
  parts: MysqlStoreParts,
  triggers: readonly InstalledTrigger[],
  endsAt: number,
): Promise<void> {
  try {
    await tableByTable(parts, triggers, endsAt, dropTrigger);
  } catch (error) {
    // The role has changed; the store may go away after that.
    if (!isChangeoverError(error)) throw error;
  }
}

/** Runs the statements of each table one by one, some tables at a time. A table that was still in use at `endsAt`, or null. */
async function tableByTable<Trigger extends InstalledTrigger>(
  { session }: MysqlStoreParts,
  triggers: readonly Trigger[],
  endsAt: number,
  statementOf: (trigger: Trigger) => string,
): Promise<string | null> {
  if (triggers.length === 0) return null;
  const { clock, random } = session.runtime;
  const stopAt = Math.max(endsAt, clock.monotonic() + WORK_MS);
  const queue = [...new Set(triggers.map(({ table }) => table))].map((table) => ({
    table,
    statements: triggers.filter((trigger) => trigger.table === table).map(statementOf),
  }));
  const what = 'triggers of the guard';
  let busy: string | null = null;
  const lane = (): Promise<void> =>
    session.alone(
      async (client, flavour) => {
        const run = (statement: string): Promise<unknown> =>
          flyUntil(client, [statement], STATEMENT_MS, clock, what, () => cut(client));
        await run(waitLimits(flavour));
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          while (next.statements.length > 0 && clock.monotonic() < stopAt) {
            try {
              await run(next.statements[0] ?? '');
            } catch (error) {
              const conflict = isChangeoverError(
                toChangeoverError(error, what),
                'STORE_CONFLICT',
                'DEADLINE_EXCEEDED',
              );
              if (!conflict && errnoOf(error) !== EXISTS) throw error;
              if (conflict) {
                if (clock.monotonic() >= endsAt) {
                  busy = next.table;
                  break;
                }
                await clock.sleep(random.next() * PAUSE_MS);
                continue;
              }
            }
            next.statements.shift();
          }
        }
      },
      { timeoutMs: stopAt - clock.monotonic() + STATEMENT_MS, what },
    );
  await Promise.all(Array.from({ length: Math.min(LANES, queue.length) }, lane));
  return busy;
}

function waitLimits(flavour: MysqlFlavour): string {
  const settings = [...flavour.statementLimit(TABLE_WAIT_MS), 'lock_wait_timeout = 1'];
  return `SET SESSION ${settings.join(', ')}`;
}
