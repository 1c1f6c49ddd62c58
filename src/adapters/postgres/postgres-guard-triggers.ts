import type { CatalogCollection, PostgresCatalog } from './postgres-catalog.ts';
import { FENCED_SQLSTATE } from './postgres-errors.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresTransaction, Statement } from './postgres-session.ts';
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
 * The function that refuses every session but those marked as door of *this* store (`door:<epoch>`, owner) with at least this epoch. The epoch stands in its body: it reads no
 * tables, because a REPEATABLE READ session would see the guard as it was when the session began; code it sees as it is now.
 * A router's mark does not help: a marked router of an older epoch is exactly the stale writer to keep out. With `admitsOwn` (a new
 * authority whose attempt can still be undone) own writes of this epoch or later are let in as well.
 */
export function guardFunction(layout: PostgresLayout, epoch: number, admitsOwn = false): string {
  const message = `writes go to the other store of migration ${layout.migration} now (guard of epoch ${epoch})`;
  const body = `
DECLARE
  mark text := pg_catalog.current_setting('changeover.mark', true);
BEGIN
  IF mark ~ '^${admitsOwn ? '(door|app)' : 'door'}:[0-9]{1,9}$' AND pg_catalog.current_setting('changeover.owner', true) = ${quoteLiteral(layout.schema)} THEN
    IF pg_catalog.split_part(mark, ':', 2)::int >= ${Math.trunc(epoch)} THEN
      RETURN NULL;
    END IF;
  END IF;
  RAISE EXCEPTION USING ERRCODE = '${FENCED_SQLSTATE}', MESSAGE = ${quoteLiteral(message)},
    HINT = 'The authority has moved: take up the current state, or restart the process.';
END`;
  return `CREATE OR REPLACE FUNCTION ${guardFunctionName(layout)}() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog AS ${quoteLiteral(body)}`;
}

/** Oids of the tables of the shapes in the order of the configuration, roots before children, as an array of PostgreSQL. */
export function tableOids(collections: readonly CatalogCollection[]): string {
  const oids = collections
    .flatMap(({ root, children }) => [root, ...children])
    .map(({ oid }) => oid);
  return `{${[...new Set(oids)].join(',')}}`;
}

/**
 * `quoted, enabled` of these tables with their partitions and inheritors (a statement trigger fires only on the table that is
 * named); enabled is null without trigger, else `pg_trigger.tgenabled` (D: disabled, A: always).
 *
 * In the order given, a table before its partitions: as foreign keys make writers take their locks. In any other order a writer that has written the parent
 * and comes to the child would wait for whoever has locked the child and waits for the parent.
 */
function tablesQuery(oids: string, trigger: string): string {
  return `WITH RECURSIVE tables(oid, place, depth) AS (
      SELECT t.oid, t.place, 0 FROM pg_catalog.unnest(${oids}::oid[]) WITH ORDINALITY AS t(oid, place)
      UNION SELECT i.inhrelid, t.place, t.depth + 1
        FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS quoted, g.tgenabled AS enabled
    FROM (SELECT oid, pg_catalog.min(place) AS place, pg_catalog.max(depth) AS depth FROM tables GROUP BY oid) t
    JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p', 'f')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid AND g.tgname = ${trigger}
    ORDER BY t.place, t.depth, 1`;
}

interface GuardedTable {
  readonly quoted: string;
  readonly enabled: string | null;
}

async function guardedTables(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
): Promise<readonly GuardedTable[]> {
  const collections = await Promise.all(
    catalog.collections.map((name) => catalog.collection(name)),
  );
  const { rows } = await transaction.query(tablesQuery('$1', '$2'), [
    tableOids(collections),
    guardTriggerName(layout),
  ]);
  return rows.map(([quoted, enabled]) => ({ quoted: quoted ?? '', enabled: enabled ?? null }));
}

function createTrigger(layout: PostgresLayout, quoted: string): readonly Statement[] {
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
 * Statements that create function and triggers, disabled, where they are missing; idempotent, and what is there is left alone: no
 * cost before the day. For `install`.
 */
export function guardStatements(
  layout: PostgresLayout,
  collections: readonly CatalogCollection[],
): readonly string[] {
  const name = guardFunctionName(layout);
  const trigger = guardTriggerName(layout);
  const [create = '', disable = ''] = createTrigger(layout, '%s').map(({ text }) => text);
  const body = `
DECLARE
  found_table record;
BEGIN
  IF pg_catalog.to_regproc(${quoteLiteral(name)}) IS NULL THEN
    EXECUTE ${quoteLiteral(guardFunction(layout, 0))};
  END IF;
  FOR found_table IN ${tablesQuery(quoteLiteral(tableOids(collections)), quoteLiteral(trigger))} LOOP
    CONTINUE WHEN found_table.enabled IS NOT NULL;
    EXECUTE pg_catalog.replace(${quoteLiteral(create)}, '%s', found_table.quoted);
    EXECUTE pg_catalog.replace(${quoteLiteral(disable)}, '%s', found_table.quoted);
  END LOOP;
END`;
  return [`DO ${quoteLiteral(body)}`];
}

/**
 * Brings function and triggers to the wanted state. Tables are locked only when a trigger changes: the lock waits for every
 * foreign transaction that has written, and none can begin to write before the triggers are on.
 */
export async function setGuardTriggers(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
  wanted: {
    readonly triggers: 'on' | 'off' | 'as they are';
    readonly epoch: number;
    readonly admitsOwn: boolean;
  },
): Promise<void> {
  const state = wanted.triggers === 'on' ? 'A' : 'D';
  const tables =
    wanted.triggers === 'as they are' ? [] : await guardedTables(transaction, layout, catalog);
  const changed = tables.filter(({ enabled }) => enabled !== state);
  const trigger = quoteIdentifier(guardTriggerName(layout));
  const verb = wanted.triggers === 'on' ? 'ENABLE ALWAYS' : 'DISABLE';
  await transaction.run([
    ...(wanted.triggers === 'off'
      ? []
      : [{ text: guardFunction(layout, wanted.epoch, wanted.admitsOwn) }]),
    ...changed.map(({ quoted }) => ({
      text: `LOCK TABLE ONLY ${quoted} IN SHARE ROW EXCLUSIVE MODE`,
    })),
    ...changed
      .filter(({ enabled }) => enabled === null)
      .flatMap(({ quoted }) => createTrigger(layout, quoted)),
    ...changed.map(({ quoted }) => ({
      text: `ALTER TABLE ONLY ${quoted} ${verb} TRIGGER ${trigger}`,
    })),
  ]);
}

/** True when every trigger is there and in this state. */
export async function guardTriggersAre(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
  triggers: 'on' | 'off',
): Promise<boolean> {
  const tables = await guardedTables(transaction, layout, catalog);
  return tables.every(({ enabled }) => enabled === (triggers === 'on' ? 'A' : 'D'));
}

/** Runs `guardStatements` for every collection of the catalog, inside the transaction of an installation. */
export async function installGuardTriggers(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  catalog: PostgresCatalog,
): Promise<void> {
  const collections = await Promise.all(
    catalog.collections.map((name) => catalog.collection(name)),
  );
  for (const text of guardStatements(layout, collections)) await transaction.query(text);
}
