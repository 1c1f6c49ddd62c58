import type {
  CatalogChild,
  CatalogCollection,
  CatalogColumn,
  CatalogTable,
} from './mysql-catalog.ts';
import { asText, TRIGGER_EVENTS } from './mysql-guard-triggers.ts';
import { joinedKeySql, keyPartsSql, keyTextSql } from './mysql-key-text.ts';
import { type MysqlLayout, ownRecordPrefix, type TriggerEvent } from './mysql-schema.ts';
import { MARK_VARIABLE, OWNER_VARIABLE, RECORD_VARIABLE } from './mysql-sending.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

/** An outbox trigger: three on each table. */
export interface CaptureTrigger {
  /** Bare. */
  readonly name: string;
  readonly create: string;
  readonly drop: string;
}

/**
 * The triggers that write the outbox of a collection: one entry in the queue for each row that anybody changes, in the same transaction. CREATE TRIGGER waits for all
 * transactions that have used the table, so everything that commits afterwards is captured.
 *
 * They run with their creator's rights (applications need none on our database) and under the sql_mode of their creation. What MySQL does not give to triggers: rows
 * that foreign keys change by themselves inside InnoDB, and TRUNCATE (`inspect` lists both).
 */
export function captureTriggers(
  layout: MysqlLayout,
  collection: CatalogCollection,
): readonly CaptureTrigger[] {
  const tables: readonly { table: CatalogTable; body: (event: TriggerEvent) => string }[] = [
    { table: collection.root, body: (event) => rootBody(layout, collection, event) },
    ...collection.children.map((child) => ({
      table: child,
      body: (event: TriggerEvent) => childBody(layout, collection, child, event),
    })),
  ];
  return tables.flatMap(({ table, body }) =>
    TRIGGER_EVENTS.map((event) => {
      const name = layout.triggerName('capture', `${collection.collection}_${table.name}`, event);
      const qualified = `${quoteIdentifier(table.database)}.${quoteIdentifier(name)}`;
      return {
        name,
        create: `CREATE TRIGGER ${qualified} AFTER ${event} ON ${table.quoted} FOR EACH ROW\n${body(event)}`,
        drop: `DROP TRIGGER IF EXISTS ${qualified}`,
      };
    }),
  );
}

/** Of this very store: what another migration writes here is news. */
export const isMarked = (layout: MysqlLayout, kind: 'door' | 'app'): string =>
  `COALESCE(${asText(OWNER_VARIABLE)} = ${quoteLiteral(layout.database)} AND ${asText(MARK_VARIABLE)} LIKE '${kind}:%', FALSE)`;

/**
 * Changes from the door (`door:`) are not captured, nor is the one record that an own write (`app:`) has journalled by itself: what other triggers change in the
 * same transaction is news.
 */
function trigger(layout: MysqlLayout, steps: string, declarations = ''): string {
  return `BEGIN${declarations}
  DECLARE changeover_key mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  DECLARE changeover_own mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  IF NOT ${isMarked(layout, 'door')} THEN
    SET changeover_own = IF(${isMarked(layout, 'app')}, ${asText(RECORD_VARIABLE)}, NULL);${steps}
  END IF;
END`;
}

/** Condition that the record with this encoded key is not the journalled one. */
const isNews = (collection: string, key: string): string =>
  `NOT (changeover_own <=> CONCAT(${quoteLiteral(ownRecordPrefix(collection))}, ${key}))`;

/** Writes the entry for `changeover_key` unless it is the journalled record's. */
function emit(layout: MysqlLayout, collection: string): string {
  return `
    IF ${isNews(collection, 'changeover_key')} THEN
      INSERT INTO ${layout.queue} (collection, key_text) VALUES (${quoteLiteral(collection)}, changeover_key);
    END IF;`;
}

/** AFTER ROW: the row is locked by its writer, so the number is drawn in the order of commits. */
function rootBody(
  layout: MysqlLayout,
  { collection, root }: CatalogCollection,
  event: TriggerEvent,
): string {
  const text = (row: string): string => keyTextSql(root.key, row);
  const one = emit(layout, collection);
  if (event === 'INSERT')
    return trigger(layout, `\n    SET changeover_key = ${text('NEW')};${one}`);
  if (event === 'DELETE')
    return trigger(layout, `\n    SET changeover_key = ${text('OLD')};${one}`);
  return trigger(
    layout,
    `
    SET changeover_key = ${text('NEW')};${one}
    IF NOT (changeover_key <=> ${text('OLD')}) THEN
      SET changeover_key = ${text('OLD')};${one}
    END IF;`,
  );
}

/**
 * A child's change is a change of its root. The root row is shared first, as a foreign key would do it: so the change waits for a writer of the root, and its
 * number is drawn after that one's commit. Not locked exclusively: behind the share lock of a foreign key that would be a deadlock of two applications.
 *
 * That look gives the key as the root spells it, by which the queue is asked: under a folding collation the child may say 'ABC' for 'abc'. Without a root there is
 * no record, and the child's spelling does; as it does where columns of two types let one child match several roots.
 */
function childBody(
  layout: MysqlLayout,
  { collection, root }: CatalogCollection,
  child: CatalogChild,
  event: TriggerEvent,
): string {
  const present = (row: string): string =>
    child.parent.map(({ quoted }) => `${row}.${quoted} IS NOT NULL`).join(' AND ');
  const parts = root.key.map((_, index) => `changeover_part_${index + 1}`);
  const read = keyPartsSql(root.key, 't').map((part) => `MAX(${part})`);
  const declared = `
  DECLARE ${parts.join(', ')} mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  DECLARE changeover_seen int;`;
  const one = (row: string): string => {
    const equals = child.parent.map((column, index) =>
      sameValue(root.key[index] as CatalogColumn, column, row),
    );
    const given = keyTextSql(child.parent, row);
    // Aggregates: no row is no warning for the application.
    return `
    IF ${present(row)} AND (changeover_own IS NULL OR ${isNews(collection, given)}) THEN
      SELECT COUNT(*), ${read.join(', ')} INTO changeover_seen, ${parts.join(', ')} FROM ${root.quoted} t WHERE ${equals.join(' AND ')} LOCK IN SHARE MODE;
      IF changeover_seen = 1 THEN
        SET changeover_key = ${joinedKeySql(root.key, parts)};
      ELSE
        SET changeover_key = ${given};
      END IF;${emit(layout, collection)}
    END IF;`;
  };
  const whole = (steps: string): string => trigger(layout, steps, declared);
  if (event === 'INSERT') return whole(one('NEW'));
  if (event === 'DELETE') return whole(one('OLD'));
  const same = `${keyTextSql(child.parent, 'OLD')} <=> ${keyTextSql(child.parent, 'NEW')}`;
  return whole(`${one('NEW')}\n    IF NOT (${same}) THEN${one('OLD')}\n    END IF;`);
}

/** Two columns of different collations cannot be compared as they are. */
function sameValue(key: CatalogColumn, parent: CatalogColumn, row: string): string {
  const value = `${row}.${parent.quoted}`;
  const converted =
    key.collation === null || key.charset === null || parent.collation === null
      ? value
      : `CONVERT(${value} USING ${key.charset}) COLLATE ${key.collation}`;
  return `t.${key.quoted} = ${converted}`;
}
