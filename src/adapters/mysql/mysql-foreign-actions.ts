import { ChangeoverError } from '../../errors/index.ts';
import type { CatalogForeignKey } from './mysql-catalog.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

export interface TableName {
  readonly database: string;
  readonly name: string;
}

type Rule = CatalogForeignKey['onDelete'];

/** A foreign key by which InnoDB changes rows of `child` when a row of `parent` goes, or changes. */
export interface ForeignAction {
  readonly name: string;
  readonly child: TableName;
  readonly columns: readonly string[];
  readonly parent: TableName;
  /** Columns of `parent`, in the order of `columns`. */
  readonly references: readonly string[];
  readonly onDelete: Rule;
  readonly onUpdate: Rule;
}

/** True when InnoDB changes the referring rows instead of refusing. */
export const acts = (rule: Rule): boolean =>
  rule === 'cascade' || rule === 'set null' || rule === 'set default';

/** `ON DELETE SET NULL, ON UPDATE CASCADE`; empty when it does not act. */
export const actionsText = ({
  onDelete,
  onUpdate,
}: Pick<CatalogForeignKey, 'onDelete' | 'onUpdate'>): string =>
  [
    ...(acts(onDelete) ? [`ON DELETE ${onDelete.toUpperCase()}`] : []),
    ...(acts(onUpdate) ? [`ON UPDATE ${onUpdate.toUpperCase()}`] : []),
  ].join(', ');

export const quotedTable = ({ database, name }: TableName): string =>
  `${quoteIdentifier(database)}.${quoteIdentifier(name)}`;

/**
 * All foreign keys through which a change of any table of the server may end in one of `tables`: those of the tables themselves, of the tables that they refer
 * to, and so on. Only those that act.
 */
export async function foreignActions(
  session: Pick<MysqlSession, 'query'>,
  tables: readonly TableName[],
): Promise<readonly ForeignAction[]> {
  const found: ForeignAction[] = [];
  const seen = new Set<string>();
  let next = tables;
  for (;;) {
    const fresh = new Map(
      next.flatMap((one) => (seen.has(quotedTable(one)) ? [] : [[quotedTable(one), one] as const])),
    );
    if (fresh.size === 0) return found;
    for (const name of fresh.keys()) seen.add(name);
    const more = await actionsOf(session, [...fresh.values()]);
    found.push(...more);
    next = more.map(({ parent }) => parent);
  }
}

/** Tables asked for in one statement. */
const LOOK_MAX = 200;

/** A foreign key whose rules may be hidden. */
type Found = Omit<ForeignAction, 'onDelete' | 'onUpdate' | 'columns' | 'references'> & {
  readonly columns: string[];
  readonly references: string[];
  readonly rules: readonly [onDelete: Rule, onUpdate: Rule] | null;
};

async function actionsOf(
  session: Pick<MysqlSession, 'query'>,
  tables: readonly TableName[],
): Promise<readonly ForeignAction[]> {
  const keys = new Map<string, Found>();
  for (let at = 0; at < tables.length; at += LOOK_MAX)
    await lookUp(session, tables.slice(at, at + LOOK_MAX), keys);
  const actions: ForeignAction[] = [];
  for (const { rules, ...key } of keys.values()) {
    const [onDelete, onUpdate] = rules ?? (await declaredRules(session, key));
    if (acts(onDelete) || acts(onUpdate)) actions.push({ ...key, onDelete, onUpdate });
  }
  return actions;
}

async function lookUp(
  session: Pick<MysqlSession, 'query'>,
  tables: readonly TableName[],
  keys: Map<string, Found>,
): Promise<void> {
  const among = tables.map(
    ({ database, name }) =>
      `(u.TABLE_SCHEMA = ${quoteLiteral(database)} AND u.TABLE_NAME = ${quoteLiteral(name)})`,
  );
  const { rows } = await session.query(
    `SELECT u.TABLE_SCHEMA, u.TABLE_NAME, u.CONSTRAINT_NAME, u.COLUMN_NAME, u.REFERENCED_TABLE_SCHEMA, u.REFERENCED_TABLE_NAME, u.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE
      FROM information_schema.KEY_COLUMN_USAGE u LEFT JOIN information_schema.REFERENTIAL_CONSTRAINTS r
        ON r.CONSTRAINT_SCHEMA = u.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = u.CONSTRAINT_NAME AND r.TABLE_NAME = u.TABLE_NAME
      WHERE u.REFERENCED_TABLE_NAME IS NOT NULL AND (${among.join(' OR ')}) ORDER BY 1, 2, 3, u.ORDINAL_POSITION`,
    { what: 'lookup of foreign keys' },
  );
  for (const row of rows) {
    const [database, table, name, column, schema, parent, reference, onDelete, onUpdate] = row.map(
      (value) => value ?? '',
    );
    const id = `${database}\0${table}\0${name}`;
    const key = keys.get(id) ?? {
      name: name ?? '',
      child: { database: database ?? '', name: table ?? '' },
      columns: [],
      parent: { database: schema ?? '', name: parent ?? '' },
      references: [],
      rules: onDelete === '' ? null : [ruleIn(onDelete), ruleIn(onUpdate)],
    };
    keys.set(id, key);
    key.columns.push(column ?? '');
    key.references.push(reference ?? '');
  }
}

const ruleIn = (text: string | undefined): Rule => (text ?? 'no action').toLowerCase() as Rule;

/** MariaDB shows the rules only to those with rights on the whole database; the declaration it shows to everybody. */
async function declaredRules(
  session: Pick<MysqlSession, 'query'>,
  { child, name }: Pick<ForeignAction, 'child' | 'name'>,
): Promise<readonly [Rule, Rule]> {
  const { rows } = await session.query(`SHOW CREATE TABLE ${quotedTable(child)}`, {
    what: 'lookup of foreign keys',
  });
  const begin = `CONSTRAINT ${quoteIdentifier(name)} FOREIGN KEY `;
  const line = (rows[0]?.[1] ?? '').split('\n').find((one) => one.trimStart().startsWith(begin));
  const said = /\)(?: ON DELETE ([A-Z ]+?))?(?: ON UPDATE ([A-Z ]+?))?,?$/.exec(line ?? '');
  if (said !== null) return [ruleIn(said[1]), ruleIn(said[2])];
  throw new ChangeoverError(
    'LOG_UNSUPPORTED',
    `What foreign key ${quoteIdentifier(name)} of ${quotedTable(child)} does by itself is not shown to this user: grant it SELECT on the whole database.`,
    { data: { table: quotedTable(child), name } },
  );
}
