import { type NamedRecord, type Reach, reachOf } from './mysql-action-reach.ts';
import { isMarked } from './mysql-capture.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import { type ForeignAction, quotedTable, type TableName } from './mysql-foreign-actions.ts';
import { keyTextSql } from './mysql-key-text.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

/** A trigger that names the records which InnoDB changes by itself. */
export interface TouchTrigger {
  readonly table: TableName;
  /** Qualified and quoted. */
  readonly name: string;
  readonly create: string;
  /** As the server keeps it. */
  readonly body: string;
}

/**
 * What InnoDB does for a foreign key (ON DELETE CASCADE and the like) reaches neither the binary log nor triggers of the changed table. But the statement that sets it
 * off reaches triggers of the *referred* table. These write the keys of all records that will change, through whole chains of keys, into a table of our own, whose
 * rows are in the log of the same transaction (`LogTable.touches`). Why the source is asked, and not the follower: docs/design/following-a-log.md.
 *
 * **Exact**: the trigger runs under the lock of the referred row, with which InnoDB keeps new referring rows away, and reads the referring rows by locking reads,
 * under every isolation level as they are now. What it locks InnoDB is about to lock anyway. A share lock, because a table that the statement itself uses may not be locked
 * for writing by its triggers.
 *
 * **Before** the row changes, for the keys that the records have then. **After** it where the referring rows take the new value over and can be found by it: in the log, too,
 * what refers to a new key then stands behind it.
 * The door's own changes are left out: they bring all rows.
 */
export function touchTriggers(
  layout: MysqlLayout,
  actions: readonly ForeignAction[],
  collections: readonly CatalogCollection[],
): readonly TouchTrigger[] {
  const parents = new Map(actions.map(({ parent }) => [quotedTable(parent), parent]));
  return [...parents.values()].flatMap((table) => {
    const deleted = reachOf(actions, collections, table, 'DELETE');
    const updated = reachOf(actions, collections, table, 'UPDATE');
    const step = (row: 'OLD' | 'NEW') => (reach: Reach) => whenMoved(layout, reach, row);
    const trigger = (
      kind: 'touch' | 'moved',
      event: 'DELETE' | 'UPDATE',
      steps: string,
    ): readonly TouchTrigger[] => {
      if (steps === '') return [];
      const bare = layout.triggerName(kind, table.name, event);
      const name = `${quoteIdentifier(table.database)}.${quoteIdentifier(bare)}`;
      const body = `BEGIN\n  DECLARE changeover_found int;${steps}\nEND`;
      const time = kind === 'touch' ? 'BEFORE' : 'AFTER';
      const create = `CREATE TRIGGER ${name} ${time} ${event} ON ${quotedTable(table)} FOR EACH ROW\n${body}`;
      return [{ table, name, create, body }];
    };
    return [
      ...trigger('touch', 'DELETE', unlessOurs(layout, [], stepsOf(layout, deleted, 'OLD'))),
      ...trigger('touch', 'UPDATE', updated.map(step('OLD')).join('')),
      ...trigger('moved', 'UPDATE', updated.map(step('NEW')).join('')),
    ];
  });
}

/** An update that leaves the referred columns as they are sets nothing off. By bytes: InnoDB hands on another spelling, too. */
function whenMoved(layout: MysqlLayout, reach: Reach, row: 'OLD' | 'NEW'): string {
  const steps = stepsOf(layout, [reach], row);
  const { references } = reach.path[0] as ForeignAction;
  const same = references.map((name) => {
    const column = quoteIdentifier(name);
    return `CAST(OLD.${column} AS BINARY) <=> CAST(NEW.${column} AS BINARY)`;
  });
  return unlessOurs(layout, [`NOT (${same.join(' AND ')})`], steps);
}

/** The conditions first: they are looked at for every row. */
function unlessOurs(layout: MysqlLayout, conditions: readonly string[], steps: string): string {
  if (steps === '') return '';
  const when = [...conditions, `NOT ${isMarked(layout, 'door')}`].join(' AND ');
  return `\n  IF ${when} THEN${steps}\n  END IF;`;
}

/**
 * `OLD`: before the change, `NEW`: after it. Those that refer come before those that they refer to, so that a transaction that is applied in parts deletes in the order that
 * foreign keys want.
 */
function stepsOf(layout: MysqlLayout, reaches: readonly Reach[], row: 'OLD' | 'NEW'): string {
  return reaches
    .map(({ path, records, further }) => {
      const named = records.filter(({ before, after }) => (row === 'OLD' ? before : after));
      const touches = named.map((one) => `\n    ${touch(layout, path, one, row)};`).join('');
      const more = stepsOf(layout, further, row);
      if (more === '') return touches;
      const { from, where } = rowsOn(path, row);
      // Nobody refers to rows that are not there.
      return `\n    SELECT COUNT(*) INTO changeover_found FROM ${from} WHERE ${where} LOCK IN SHARE MODE;
    IF changeover_found > 0 THEN${more}${touches}\n    END IF;`;
    })
    .join('');
}

function touch(
  layout: MysqlLayout,
  path: readonly ForeignAction[],
  { collection, key, isRoot }: NamedRecord,
  row: 'OLD' | 'NEW',
): string {
  const last = `t${path.length}`;
  const { from, where } = rowsOn(path, row);
  // A child row whose parent columns are NULL belongs to no record.
  const known = isRoot ? [] : key.map(({ quoted }) => ` AND ${last}.${quoted} IS NOT NULL`);
  return `INSERT INTO ${layout.touched} (id, collection, key_text) SELECT UUID_SHORT(), ${quoteLiteral(collection)}, ${keyTextSql(key, last)} FROM ${from} WHERE ${where}${known.join('')} LOCK IN SHARE MODE`;
}

/** The rows at the end of a path, as `t1`, `t2` and so on. */
function rowsOn(
  path: readonly ForeignAction[],
  row: 'OLD' | 'NEW',
): { readonly from: string; readonly where: string } {
  const steps = path.map(({ child, columns, references }, at) => {
    const parent = at === 0 ? row : `t${at}`;
    const equals = columns.map(
      (name, index) =>
        `t${at + 1}.${quoteIdentifier(name)} = ${parent}.${quoteIdentifier(references[index] ?? '')}`,
    );
    return { table: `${quotedTable(child)} t${at + 1}`, equals: equals.join(' AND ') };
  });
  const [first, ...others] = steps;
  const joins = others.map(({ table, equals }) => ` JOIN ${table} ON ${equals}`).join('');
  return { from: `${first?.table}${joins}`, where: first?.equals ?? '' };
}
