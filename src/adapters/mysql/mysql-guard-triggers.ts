import type { CatalogCollection, CatalogTable, MysqlCatalog } from './mysql-catalog.ts';
import { FENCED_SQLSTATE } from './mysql-errors.ts';
import type { MysqlLayout, TriggerEvent, TriggerKind } from './mysql-schema.ts';
import { ADMITTED_VARIABLE, MARK_VARIABLE, OWNER_VARIABLE } from './mysql-sending.ts';
import type { MysqlSession, SqlResult } from './mysql-session.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

export const TRIGGER_EVENTS: readonly TriggerEvent[] = ['INSERT', 'UPDATE', 'DELETE'];

/** A trigger of ours, as it is on the server. */
export interface InstalledTrigger {
  readonly database: string;
  readonly name: string;
  /** The table, qualified and quoted. */
  readonly table: string;
}

/** A trigger as it should be. */
export interface GuardTrigger extends InstalledTrigger {
  readonly event: TriggerEvent;
}

/** Every table of the shapes, once. */
export async function shapeTables(catalog: MysqlCatalog): Promise<readonly CatalogTable[]> {
  const collections: readonly CatalogCollection[] = await Promise.all(
    catalog.collections.map((name) => catalog.collection(name)),
  );
  const tables = collections.flatMap(({ root, children }) => [root, ...children]);
  return [...new Map(tables.map((table) => [table.quoted, table])).values()];
}

/** The triggers that one attempt (`maker`) needs: one for each table of the shapes and event. */
export async function guardTriggers(
  layout: MysqlLayout,
  catalog: MysqlCatalog,
  maker: string,
): Promise<readonly GuardTrigger[]> {
  const tables = await shapeTables(catalog);
  return tables.flatMap(({ database, name, quoted }) =>
    TRIGGER_EVENTS.map((event) => ({
      database,
      name: layout.triggerName('guard', name, event, maker),
      table: quoted,
      event,
    })),
  );
}

/** Databases of the tables. */
export const databasesOf = (triggers: readonly InstalledTrigger[]): readonly string[] => [
  ...new Set(triggers.map(({ database }) => database)),
];

/** Those that are not on the server, on their table. */
export function missingTriggers(
  wanted: readonly GuardTrigger[],
  installed: readonly InstalledTrigger[],
): readonly GuardTrigger[] {
  const keyOf = (trigger: InstalledTrigger): string =>
    `${qualifiedTrigger(trigger)} ${trigger.table}`;
  const there = new Set(installed.map(keyOf));
  return wanted.filter((trigger) => !there.has(keyOf(trigger)));
}

/**
 * The trigger asks who writes. A session marked as door of *this* store with at least the guard's epoch is let in, and, while the store is an authority, own
 * writes of its epoch; a router's mark alone does not help: a marked router of an older epoch is exactly the stale writer to keep out. They look at the guard,
 * whose row they share already, so it stands until their transaction ends: one look is enough for all its rows (`ADMITTED_VARIABLE`, which each
 * transaction of ours begins without).
 *
 * Everybody else shares the row of `admission` until the end of the transaction and is refused when it is shut. Locking reads see the row as it is now, under every
 * isolation level, and keep it from changing: shutting it waits for all that were let in.
 */
export function createGuardTrigger(layout: MysqlLayout, trigger: GuardTrigger): string {
  const message = `writes go to the other store of migration ${layout.migration} now: take up the current state, or restart the process`;
  const own = quoteLiteral(layout.database);
  const mark = asText(MARK_VARIABLE);
  const epoch = `CAST(SUBSTRING_INDEX(${MARK_VARIABLE}, ':', -1) AS UNSIGNED)`;
  return `CREATE TRIGGER ${qualifiedTrigger(trigger)} BEFORE ${trigger.event} ON ${trigger.table} FOR EACH ROW
BEGIN
  DECLARE changeover_found int DEFAULT 0;
  IF NOT ${ADMITTED_VARIABLE} <=> ${own} THEN
    IF ${asText(OWNER_VARIABLE)} = ${own} AND ${mark} REGEXP '^(door|app):[0-9]{1,9}$' THEN
      SELECT COUNT(*) INTO changeover_found FROM ${layout.guard} g
        WHERE g.one = 1 AND g.epoch <= ${epoch} AND (${mark} LIKE 'door:%' OR g.role IN ('authority', 'idle')) LOCK IN SHARE MODE;
      SET ${ADMITTED_VARIABLE} = IF(changeover_found = 0, NULL, ${own});
    ELSE
      SELECT COUNT(*) INTO changeover_found FROM ${layout.admission} a WHERE a.one = 1 AND a.open = 1 LOCK IN SHARE MODE;
    END IF;
    IF changeover_found = 0 THEN
      SIGNAL SQLSTATE '${FENCED_SQLSTATE}' SET MESSAGE_TEXT = ${quoteLiteral(message.slice(0, 128))};
    END IF;
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
  databases?: readonly string[],
): Promise<readonly InstalledTrigger[]> {
  const what = 'list of our triggers';
  return toInstalled(await session.query(triggersQuery(layout, kind, databases), { what }));
}

/** `databases`: only those on tables of these, which spares the server the look at the others; none are none. */
export function triggersQuery(
  layout: MysqlLayout,
  kind?: TriggerKind,
  databases?: readonly string[],
): string {
  // What is common to all their names, however long the table's is; the body names our database.
  const prefix = `${layout.database}_${kind === undefined ? '' : `${kind}_`}`.slice(0, 53);
  const among =
    databases === undefined
      ? ''
      : `AND t.EVENT_OBJECT_SCHEMA IN (${databases.map(quoteLiteral).join(', ') || 'NULL'})`;
  return `SELECT t.TRIGGER_SCHEMA, t.TRIGGER_NAME, t.EVENT_OBJECT_SCHEMA, t.EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS t
    WHERE LEFT(t.TRIGGER_NAME, ${prefix.length}) = ${quoteLiteral(prefix)} ${among}
      AND LOCATE(${quoteLiteral(`${layout.quotedDatabase}.`)}, t.ACTION_STATEMENT) > 0 ORDER BY 1, 2`;
}

/** What `triggersQuery` found. */
export function toInstalled(answer: SqlResult | undefined): readonly InstalledTrigger[] {
  return (answer?.rows ?? []).map(([database, name, schema, table]) => ({
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
