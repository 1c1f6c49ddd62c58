import type { CatalogCollection, CatalogTable, MysqlCatalog } from './mysql-catalog.ts';
import { FENCED_SQLSTATE } from './mysql-errors.ts';
import type { MysqlLayout, TriggerEvent, TriggerKind } from './mysql-schema.ts';
import { ADMITTED_VARIABLE, MARK_VARIABLE, OWNER_VARIABLE } from './mysql-sending.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

export const TRIGGER_EVENTS: readonly TriggerEvent[] = ['INSERT', 'UPDATE', 'DELETE'];

/** A trigger of ours, as it is on the server. */
export interface InstalledTrigger {
  readonly database: string;
  readonly name: string;
  /** The table, qualified and quoted. */
  readonly table: string;
}

/** Every table of the shapes, once. */
export async function shapeTables(catalog: MysqlCatalog): Promise<readonly CatalogTable[]> {
  const collections: readonly CatalogCollection[] = await Promise.all(
    catalog.collections.map((name) => catalog.collection(name)),
  );
  const tables = collections.flatMap(({ root, children }) => [root, ...children]);
  return [...new Map(tables.map((table) => [table.quoted, table])).values()];
}

/** Name of a guard trigger, qualified and quoted. */
export function guardTrigger(
  layout: MysqlLayout,
  table: CatalogTable,
  event: TriggerEvent,
): string {
  const name = layout.triggerName('guard', table.name, event);
  return `${quoteIdentifier(table.database)}.${quoteIdentifier(name)}`;
}

/**
 * The trigger that refuses every session but those marked as door of *this* store with at least the guard's epoch, and, while the store is an authority that can
 * still be undone, own writes of its epoch. A router's mark alone does not help: a marked router of an older epoch is exactly the stale writer to keep out.
 *
 * Only marked sessions make it look at the guard, by a locking read, which sees the row as it is now under every isolation level; they share that row
 * already, and so it stands until their transaction ends: one look is enough for all its rows (`ADMITTED_VARIABLE`, which each transaction of ours
 * begins without). Everybody else is refused without a look: nobody's open transaction keeps the guard from changing.
 */
export function createGuardTrigger(
  layout: MysqlLayout,
  table: CatalogTable,
  event: TriggerEvent,
): string {
  const message = `writes go to the other store of migration ${layout.migration} now: take up the current state, or restart the process`;
  const own = quoteLiteral(layout.database);
  const mark = asText(MARK_VARIABLE);
  const epoch = `CAST(SUBSTRING_INDEX(${MARK_VARIABLE}, ':', -1) AS UNSIGNED)`;
  return `CREATE TRIGGER ${guardTrigger(layout, table, event)} BEFORE ${event} ON ${table.quoted} FOR EACH ROW
BEGIN
  DECLARE changeover_found int DEFAULT 0;
  IF NOT ${ADMITTED_VARIABLE} <=> ${own} THEN
    IF ${asText(OWNER_VARIABLE)} = ${own} AND ${mark} REGEXP '^(door|app):[0-9]{1,9}$' THEN
      SELECT COUNT(*) INTO changeover_found FROM ${layout.guard} g
        WHERE g.one = 1 AND g.epoch <= ${epoch} AND (${mark} LIKE 'door:%' OR g.role IN ('authority', 'idle')) LOCK IN SHARE MODE;
    END IF;
    IF changeover_found = 0 THEN
      SIGNAL SQLSTATE '${FENCED_SQLSTATE}' SET MESSAGE_TEXT = ${quoteLiteral(message.slice(0, 128))};
    END IF;
    SET ${ADMITTED_VARIABLE} = ${own};
  END IF;
END`;
}

/** User variables have the collation of their session; compared as they are, two collations could clash. */
export const asText = (variable: string): string =>
  `CONVERT(${variable} USING utf8mb4) COLLATE utf8mb4_bin`;

/** Triggers of ours on anybody's tables, of one kind or of all. */
export async function installedTriggers(
  session: Pick<MysqlSession, 'query'>,
  layout: MysqlLayout,
  kind?: TriggerKind,
): Promise<readonly InstalledTrigger[]> {
  // What is common to all their names, however long the table's is; the body names our database.
  const prefix = `${layout.database}_${kind === undefined ? '' : `${kind}_`}`.slice(0, 53);
  const { rows } = await session.query(
    `SELECT t.TRIGGER_SCHEMA, t.TRIGGER_NAME, t.EVENT_OBJECT_SCHEMA, t.EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS t
      WHERE LEFT(t.TRIGGER_NAME, ${prefix.length}) = ${quoteLiteral(prefix)}
        AND LOCATE(${quoteLiteral(`${layout.quotedDatabase}.`)}, t.ACTION_STATEMENT) > 0 ORDER BY 1, 2`,
    { what: 'list of our triggers' },
  );
  return rows.map(([database, name, schema, table]) => ({
    database: database ?? '',
    name: name ?? '',
    table: `${quoteIdentifier(schema ?? '')}.${quoteIdentifier(table ?? '')}`,
  }));
}

/** Qualified and quoted. */
export const qualifiedTrigger = ({ database, name }: InstalledTrigger): string =>
  `${quoteIdentifier(database)}.${quoteIdentifier(name)}`;

export const dropTrigger = (trigger: InstalledTrigger): string =>
  `DROP TRIGGER IF EXISTS ${qualifiedTrigger(trigger)}`;
