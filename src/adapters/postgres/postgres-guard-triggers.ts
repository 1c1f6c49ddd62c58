import type { PostgresCatalog } from './postgres-catalog.ts';
import { FENCED_SQLSTATE } from './postgres-errors.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, PostgresTransaction, Statement } from './postgres-session.ts';
import { quoteIdentifier, quoteLiteral } from './postgres-text.ts';

/** Name of the guard trigger on each table; apart for both sides, which may live in one database. */
export function guardTriggerName(layout: PostgresLayout): string {
  return layout.bareName('changeover_guard', `${layout.migration}_${layout.side}`);
}

/** The trigger function, quoted and qualified. */
export function guardFunctionName(layout: PostgresLayout): string {
  return `${layout.quotedSchema}.${quoteIdentifier('refuse')}`;
}

/**
 * The function that refuses every session but those marked `door:<epoch>` with at least this epoch. The epoch stands in its body: it reads no
 * tables, because a REPEATABLE READ session would see the guard as it was when the session began; code it sees as it is now.
 * A router's mark does not help: a marked router of an older epoch is exactly the stale writer to keep out.
 */
export function guardFunction(layout: PostgresLayout, epoch: number): string {
  const message = `writes go to the other store of migration ${layout.migration} now (guard of epoch ${epoch})`;
  const body = `
DECLARE
  mark text := pg_catalog.current_setting('changeover.mark', true);
BEGIN
  IF mark ~ '^door:[0-9]{1,9}$' AND pg_catalog.substr(mark, 6)::int >= ${Math.trunc(epoch)} THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION USING ERRCODE = '${FENCED_SQLSTATE}', MESSAGE = ${quoteLiteral(message)},
    HINT = 'The authority has moved: take up the current state, or restart the process.';
END`;
  return `CREATE OR REPLACE FUNCTION ${guardFunctionName(layout)}() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog AS ${quoteLiteral(body)}`;
}

/** A table that carries the trigger, and whether it does. */
interface GuardedTable {
  readonly quoted: string;
  /** null: there is no trigger yet; else `pg_trigger.tgenabled` (D: disabled, A: always). */
  readonly enabled: string | null;
}

/** Every table of the shapes with its partitions and inheritors: a statement trigger fires only on the table that is named. */
async function guardedTables(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
): Promise<readonly GuardedTable[]> {
  const oids = new Set<string>();
  for (const name of catalog.collections) {
    const { root, children } = await catalog.collection(name);
    for (const { oid } of [root, ...children]) oids.add(oid);
  }
  const { rows } = await transaction.query(
    `WITH RECURSIVE tables(oid) AS (
        SELECT unnest($1::text[])::oid
        UNION SELECT i.inhrelid FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)
      SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), g.tgenabled
      FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p', 'f')
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid AND g.tgname = $2
      ORDER BY 1`,
    [`{${[...oids].join(',')}}`, guardTriggerName(layout)],
  );
  return rows.map(([quoted, enabled]) => ({ quoted: quoted ?? '', enabled: enabled ?? null }));
}

function createTrigger(layout: PostgresLayout, { quoted }: GuardedTable): readonly Statement[] {
  const trigger = quoteIdentifier(guardTriggerName(layout));
  return [
    {
      text: `CREATE TRIGGER ${trigger} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ${quoted}
        FOR EACH STATEMENT EXECUTE FUNCTION ${guardFunctionName(layout)}()`,
    },
    { text: `ALTER TABLE ${quoted} DISABLE TRIGGER ${trigger}` },
  ];
}

/**
 * Creates function and triggers, disabled, where they are missing: no cost before the day. Called by `install` inside its transaction, under
 * the exclusive role lock or before anything else is there.
 */
export async function installGuardTriggers(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
): Promise<void> {
  const { rows } = await transaction.query(`SELECT to_regproc($1)`, [guardFunctionName(layout)]);
  if (rows[0]?.[0] == null) await transaction.run([{ text: guardFunction(layout, 0) }]);
  const missing = (await guardedTables(transaction, layout, catalog)).filter(
    ({ enabled }) => enabled === null,
  );
  if (missing.length > 0)
    await transaction.run(missing.flatMap((table) => createTrigger(layout, table)));
}

/**
 * Brings function and triggers to the wanted state. Tables are locked only when a trigger changes: the lock waits for every
 * foreign transaction that has written, and none can begin to write before the triggers are on.
 */
export async function setGuardTriggers(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
  wanted: { readonly triggers: 'on' | 'off' | 'as they are'; readonly epoch: number },
): Promise<void> {
  const state = wanted.triggers === 'on' ? 'A' : 'D';
  const tables =
    wanted.triggers === 'as they are' ? [] : await guardedTables(transaction, layout, catalog);
  const changed = tables.filter(({ enabled }) => enabled !== state);
  const trigger = quoteIdentifier(guardTriggerName(layout));
  const verb = wanted.triggers === 'on' ? 'ENABLE ALWAYS' : 'DISABLE';
  await transaction.run([
    ...(wanted.triggers === 'off' ? [] : [{ text: guardFunction(layout, wanted.epoch) }]),
    ...changed.map(({ quoted }) => ({
      text: `LOCK TABLE ONLY ${quoted} IN SHARE ROW EXCLUSIVE MODE`,
    })),
    ...changed
      .filter(({ enabled }) => enabled === null)
      .flatMap((table) => createTrigger(layout, table)),
    ...changed.map(({ quoted }) => ({
      text: `ALTER TABLE ONLY ${quoted} ${verb} TRIGGER ${trigger}`,
    })),
  ]);
}

/** Removes the triggers; the function goes with the schema. For `uninstall`. */
export async function dropGuardTriggers(
  session: PostgresSession | PostgresTransaction,
  layout: PostgresLayout,
): Promise<void> {
  const { rows } = await session.query(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_trigger g
      JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace
      WHERE g.tgname = $1 AND s.nspname = $2 ORDER BY 1`,
    [guardTriggerName(layout), layout.schema],
  );
  const trigger = quoteIdentifier(guardTriggerName(layout));
  await session.run(
    rows.map(([table]) => ({ text: `DROP TRIGGER IF EXISTS ${trigger} ON ${table}` })),
  );
}
