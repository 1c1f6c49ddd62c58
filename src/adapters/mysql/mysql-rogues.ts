import { isChangeoverError } from '../../errors/index.ts';
import type { RogueLook, RogueWatch, RogueWrite } from '../../store/index.ts';
import type { CatalogTable } from './mysql-catalog.ts';
import { ddl, type RunDdl } from './mysql-ddl.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import {
  dropTrigger,
  installedTriggers,
  shapeTables,
  TRIGGER_EVENTS,
} from './mysql-guard-triggers.ts';
import type { MysqlLayout, TriggerEvent } from './mysql-schema.ts';
import { OWNER_VARIABLE } from './mysql-sending.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

/*
 * Row triggers on the follower's tables (there are no others here). For the door, whose sessions carry our mark, a row costs one comparison of a variable; in
 * a bulk load that is as much as the row itself, so they come only when the copy is done (`begin`; docs/design/rogue-writers.md). They do not look at
 * the guard: under REPEATABLE READ that would share its row until the writer's transaction ends, and the flip would wait for it. So they are taken away once this
 * store is the authority (`end`).
 *
 * One note for each session, minute, table and kind, under a primary key that begins with the connection: no session waits for another's note.
 * TRUNCATE and what foreign keys do on their own fire no triggers here, and are not noted.
 */

function rogueTrigger(layout: MysqlLayout, table: CatalogTable, event: TriggerEvent): string {
  return quoteIdentifier(layout.triggerName('rogue', table.name, event));
}

function createTrigger(layout: MysqlLayout, table: CatalogTable, event: TriggerEvent): string {
  const name = `${quoteIdentifier(table.database)}.${rogueTrigger(layout, table, event)}`;
  return `CREATE TRIGGER ${name} AFTER ${event} ON ${table.quoted} FOR EACH ROW
BEGIN
  IF NOT ${OWNER_VARIABLE} <=> ${quoteLiteral(layout.database)} THEN
    INSERT INTO ${layout.rogue} (connection, minute, table_name, operation, user_name, amount, at)
      VALUES (CONNECTION_ID(), FLOOR(UNIX_TIMESTAMP() / 60), ${quoteLiteral(`${table.database}.${table.name}`.slice(0, 190))}, '${event}', LEFT(USER(), 190), 1, UTC_TIMESTAMP(6))
      ON DUPLICATE KEY UPDATE amount = amount + 1;
  END IF;
END`;
}

/** Triggers where they are missing. A server that does not let us create any goes without: `look` says so. */
async function installRogueTriggers(parts: MysqlStoreParts): Promise<void> {
  const { session, layout, catalog } = parts;
  const tables = await shapeTables(catalog);
  const create = async (run: RunDdl): Promise<void> => {
    const there = new Set(
      (await installedTriggers(session, layout, 'rogue')).map(({ name }) => name),
    );
    for (const table of tables)
      for (const event of TRIGGER_EVENTS)
        if (!there.has(layout.triggerName('rogue', table.name, event)))
          await run([createTrigger(layout, table, event)]);
  };
  await ddl(parts, 'notes of foreign writes', create).catch((error: unknown) => {
    if (!isChangeoverError(error, 'STORE_REJECTED')) throw error;
  });
}

/** See `RogueWatch`. */
export function createMysqlRogues(parts: MysqlStoreParts): RogueWatch {
  const { session, layout, catalog, presence } = parts;
  return {
    async look(limit) {
      try {
        const tables = await shapeTables(catalog);
        const among = [...new Set(tables.map(({ database }) => database))];
        const noting = await installedTriggers(session, layout, 'rogue', among);
        const shutting = await installedTriggers(session, layout, 'guard', among);
        const [counted, notes] = await session.run(
          [
            // Rows and not notes: a note of this minute grows, and a comparison before that has not seen what it stands for.
            `SELECT COALESCE(SUM(amount), 0) FROM ${layout.rogue}`,
            `SELECT connection, minute, table_name, operation, user_name, amount,
                TIMESTAMPDIFF(MICROSECOND, '1970-01-01', at) / 1000, TIMESTAMPDIFF(MICROSECOND, at, UTC_TIMESTAMP(6)) / 1000
              FROM ${layout.rogue} ORDER BY at DESC LIMIT ${Math.trunc(limit)}`,
          ],
          { what: 'look for foreign writes' },
        );
        const blind = tables.filter(
          ({ quoted }) =>
            ![noting, shutting].some(
              (list) => list.filter(({ table }) => table === quoted).length >= 3,
            ),
        );
        return {
          blind:
            blind.length > 0
              ? `Foreign writes to ${blind.map(({ quoted }) => quoted).join(', ')} are not noted: triggers are missing. The user may lack TRIGGER, or the server asks for SUPER (log_bin_trust_function_creators = 1).`
              : null,
          total: Number(counted?.rows[0]?.[0] ?? 0),
          writes: (notes?.rows ?? []).map((row) => toWrite(row)),
        };
      } catch (error) {
        if (!presence.isMissing(error)) throw error;
        const blind = 'Nothing of ours that notes foreign writes is installed here.';
        return { blind, total: 0, writes: [] } satisfies RogueLook;
      }
    },

    async forget(writes) {
      let gone = 0;
      for (const { id } of writes) {
        const [connection = '', minute = '', table = '', operation = '', amount = ''] = JSON.parse(
          id,
        ) as readonly string[];
        // With the number that was seen: a note that has grown meanwhile stays.
        const { count } = await session.query(
          `DELETE FROM ${layout.rogue} WHERE connection = ${Number(connection)} AND minute = ${Number(minute)}
            AND table_name = ${quoteLiteral(table)} AND operation = ${quoteLiteral(operation)} AND amount = ${Number(amount)}`,
          { what: 'forgetting of foreign writes' },
        );
        gone += count;
      }
      return gone;
    },

    begin: () => installRogueTriggers(parts),

    async end() {
      if (!(await presence.check())) return;
      const there = await installedTriggers(session, layout, 'rogue');
      if (there.length === 0) return;
      await ddl(parts, 'end of the notes of foreign writes', async (run) => {
        for (const trigger of there) await run([dropTrigger(trigger)]);
        await run([`DELETE FROM ${layout.rogue}`]);
      });
    },
  };
}

function toWrite(row: readonly (string | null)[]): RogueWrite {
  const [connection, minute, table, operation, user, amount, atMs, agoMs] = row;
  return {
    id: JSON.stringify([connection, minute, table, operation, amount]),
    table: table ?? '',
    operation: operation as RogueWrite['operation'],
    user: user ?? '',
    application: '',
    process: connection ?? '',
    atMs: Math.round(Number(atMs)),
    agoMs: Math.max(0, Math.round(Number(agoMs))),
  };
}
