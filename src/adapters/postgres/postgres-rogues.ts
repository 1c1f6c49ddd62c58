import type { RogueLook, RogueWatch, RogueWrite } from '../../store/index.ts';
import type { CatalogCollection, PostgresCatalog } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { guardTriggerName, tableOids } from './postgres-guard-triggers.ts';
import type { PostgresPresence } from './postgres-presence.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresTransaction } from './postgres-session.ts';
import { quoteIdentifier, quoteLiteral, textArray } from './postgres-text.ts';

/*
 * Statement triggers on the follower's tables, AFTER, so that what another trigger refuses is not noted. The condition stands in WHEN: for the door, which
 * carries our mark, a trigger costs that condition and no call (some 20 µs a statement on a busy machine; docs/design/rogue-writers.md). They fire ALWAYS, for COPY and for what foreign
 * keys do on their own as well (those statements have the session's mark, too).
 *
 * The function looks at the guard's role: once this store is the authority, foreign writes are nobody's concern. It is the owner's, so that sessions
 * need no rights on our schema, and notes once a minute for each transaction, table and kind: a setting remembers it, which ends with the transaction. Not for each session:
 * a write that commits behind a comparison has to bring a note of its own, else the comparison would seem to have seen it. Only ever an INSERT without a unique key: no session waits for another, and none fails because we tidy up.
 */

/** Name of the trigger on each table; apart for both sides, which may live in one database. */
export function rogueTriggerName(layout: PostgresLayout): string {
  return layout.bareName('changeover_rogue', `${layout.migration}_${layout.side}`);
}

const functionName = (layout: PostgresLayout): string =>
  `${layout.quotedSchema}.${quoteIdentifier('note_rogue')}`;

/** What sorts the trigger behind others of its kind does not matter: it changes nothing. */
function rogueFunction(layout: PostgresLayout): string {
  const body = `
DECLARE
  noted text := 'changeover.rogue_' || TG_RELID || '_' || lower(TG_OP);
  minute text := pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) / 60)::bigint::text;
BEGIN
  IF pg_catalog.current_setting(noted, true) IS NOT DISTINCT FROM minute THEN
    RETURN NULL;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM ${layout.guard} g WHERE g.role = 'follower') THEN
    RETURN NULL;
  END IF;
  INSERT INTO ${layout.rogue} (table_name, operation, user_name, application, pid)
    VALUES (TG_RELID::regclass::text, TG_OP, session_user, pg_catalog.current_setting('application_name'), pg_catalog.pg_backend_pid());
  PERFORM pg_catalog.set_config(noted, minute, true);
  RETURN NULL;
END`;
  return `CREATE OR REPLACE FUNCTION ${functionName(layout)}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS ${quoteLiteral(body)}`;
}

/** Not ours: neither the door's nor an own write of this very store, which the guard's role keeps out by itself. */
const notOurs = (layout: PostgresLayout): string =>
  `pg_catalog.current_setting('changeover.owner', true) IS DISTINCT FROM ${quoteLiteral(layout.schema)}`;

/** The table of the notes. */
export function rogueTable(layout: PostgresLayout): string {
  return `CREATE TABLE IF NOT EXISTS ${layout.rogue} (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      table_name text NOT NULL,
      operation text NOT NULL,
      user_name text NOT NULL,
      application text NOT NULL,
      pid int NOT NULL,
      at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`;
}

const TABLES = (oids: string, trigger: string): string => `WITH RECURSIVE tables(oid) AS (
      SELECT pg_catalog.unnest(${oids}::oid[])
      UNION SELECT i.inhrelid FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS quoted, g.tgenabled AS enabled
    FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p', 'f')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid AND g.tgname = ${trigger}
    ORDER BY 1`;

/** Function and triggers where they are missing. Inside the transaction of an installation; foreign tables have no TRUNCATE triggers before PostgreSQL 16 and are left out. */
export async function installRogueTriggers(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
): Promise<void> {
  const collections = await resolved(catalog);
  await transaction.query(rogueFunction(layout));
  await transaction.query(`REVOKE ALL ON FUNCTION ${functionName(layout)}() FROM PUBLIC`);
  const name = rogueTriggerName(layout);
  const { rows } = await transaction.query(TABLES('$1', '$2'), [tableOids(collections), name]);
  const trigger = quoteIdentifier(name);
  for (const [quoted, enabled] of rows) {
    if (enabled !== null) continue;
    await transaction.query(
      `CREATE TRIGGER ${trigger} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ${quoted}
        FOR EACH STATEMENT WHEN (${notOurs(layout)}) EXECUTE FUNCTION ${functionName(layout)}()`,
    );
    await transaction.query(`ALTER TABLE ${quoted} ENABLE ALWAYS TRIGGER ${trigger}`);
  }
}

const resolved = (catalog: PostgresCatalog): Promise<readonly CatalogCollection[]> =>
  Promise.all(catalog.collections.map((name) => catalog.collection(name)));

/** Kept so long beyond this number: an application that writes for weeks must not fill a disk. */
const NOTES_MAX = 100_000;

/** See `RogueWatch`. */
export function createPostgresRogues(
  { session, layout, catalog }: PostgresStoreParts,
  presence: PostgresPresence,
): RogueWatch {
  const nothing = (blind: string): RogueLook => ({ blind, total: 0, writes: [] });
  return {
    async look(limit) {
      try {
        const collections = await resolved(catalog);
        const values = [tableOids(collections), rogueTriggerName(layout)];
        const [triggers, guards, counted, notes] = await session.run(
          [
            { text: TABLES('$1', '$2'), values },
            {
              text: TABLES('$1', '$2'),
              values: [tableOids(collections), guardTriggerName(layout)],
            },
            { text: `SELECT count(*) FROM ${layout.rogue}` },
            {
              text: `SELECT id, table_name, operation, user_name, application, pid, extract(epoch FROM at) * 1000,
                  extract(epoch FROM clock_timestamp() - at) * 1000
                FROM ${layout.rogue} ORDER BY id DESC LIMIT $1`,
              values: [String(limit)],
            },
          ],
          { what: 'look for foreign writes' },
        );
        // Where the guard refuses, there is nothing to note.
        const shut = new Set(
          (guards?.rows ?? []).flatMap(([table, enabled]) => (enabled === 'A' ? [table] : [])),
        );
        const missing = (triggers?.rows ?? []).flatMap(([table, enabled]) =>
          enabled === 'A' || shut.has(table ?? '') ? [] : [table ?? ''],
        );
        const total = Number(counted?.rows[0]?.[0] ?? 0);
        if (total > NOTES_MAX) await tidy(session, layout);
        return {
          blind:
            missing.length > 0
              ? `Foreign writes to ${missing.join(', ')} are not noted: the trigger ${rogueTriggerName(layout)} is missing or disabled.`
              : null,
          total,
          writes: (notes?.rows ?? []).map(toWrite),
        };
      } catch (error) {
        if (!presence.isMissing(error)) throw error;
        return nothing('Nothing of ours that notes foreign writes is installed here.');
      }
    },
    async forget(writes) {
      if (writes.length === 0) return 0;
      const { count } = await session.query(
        `DELETE FROM ${layout.rogue} WHERE id = ANY($1::bigint[])`,
        [textArray(writes.map(({ id }) => id))],
        { what: 'forgetting of foreign writes' },
      );
      return count;
    },
  };
}

/** The oldest go; the newest are enough to find whoever it is. */
async function tidy(session: PostgresStoreParts['session'], layout: PostgresLayout): Promise<void> {
  await session.query(
    `DELETE FROM ${layout.rogue} WHERE id < (SELECT max(id) FROM ${layout.rogue}) - ${NOTES_MAX}`,
    [],
    { what: 'tidying of the notes of foreign writes' },
  );
}

function toWrite(row: readonly (string | null)[]): RogueWrite {
  const [id, table, operation, user, application, pid, atMs, agoMs] = row;
  return {
    id: id ?? '',
    table: table ?? '',
    operation: operation as RogueWrite['operation'],
    user: user ?? '',
    application: application ?? '',
    process: pid ?? '',
    atMs: Math.round(Number(atMs)),
    agoMs: Math.max(0, Math.round(Number(agoMs))),
  };
}
