import { ChangeoverError } from '../../errors/index.ts';
import type { Scalar } from '../../record/index.ts';
import type {
  CatalogColumn,
  CatalogForeignKey,
  CatalogIndex,
  CatalogTable,
} from './mysql-catalog.ts';
import { columnTypeOf } from './mysql-column-type.ts';
import type { MysqlFlavour, MysqlSession } from './mysql-session.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

export type TableFacts = Omit<CatalogTable, 'columns' | 'key' | 'keyIndex'>;

/** What `toColumn` expects, in order. */
export const COLUMN_LIST =
  'c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.IS_NULLABLE, c.COLUMN_DEFAULT, c.EXTRA, c.CHARACTER_MAXIMUM_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, c.CHARACTER_SET_NAME, c.COLLATION_NAME';

/** MariaDB's JSON is a text with this check; MySQL's table of checks does not know tables, and need not. */
export const JSON_COLUMNS = `SELECT k.CONSTRAINT_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS k
  WHERE k.LEVEL = 'Column' AND k.CHECK_CLAUSE = CONCAT('json_valid(', '\`', k.CONSTRAINT_NAME, '\`', ')')`;

/** Everything that the catalog says about a table, in one round trip. STORE_REJECTED when it is not there. */
export async function readTable(
  session: MysqlSession,
  table: string,
  collection: string,
): Promise<TableFacts> {
  const flavour = await session.flavour();
  const dot = table.indexOf('.');
  const database = dot < 0 ? 'DATABASE()' : quoteLiteral(table.slice(0, dot));
  const name = quoteLiteral(table.slice(dot + 1));
  const is = (alias: string): string =>
    `${alias}.TABLE_SCHEMA = ${database} AND ${alias}.TABLE_NAME = ${name}`;
  const statements = [
    `SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE, t.TABLE_ROWS FROM information_schema.TABLES t WHERE ${is('t')}`,
    `SELECT ${COLUMN_LIST} FROM information_schema.COLUMNS c WHERE ${is('c')} ORDER BY c.ORDINAL_POSITION`,
    `SELECT s.INDEX_NAME, s.COLUMN_NAME, s.SUB_PART FROM information_schema.STATISTICS s WHERE ${is('s')} AND s.NON_UNIQUE = 0 ORDER BY s.INDEX_NAME <> 'PRIMARY', s.INDEX_NAME, s.SEQ_IN_INDEX`,
    `SELECT u.CONSTRAINT_NAME, u.COLUMN_NAME, u.REFERENCED_TABLE_SCHEMA, u.REFERENCED_TABLE_NAME, r.DELETE_RULE, r.UPDATE_RULE
      FROM information_schema.KEY_COLUMN_USAGE u JOIN information_schema.REFERENTIAL_CONSTRAINTS r
        ON r.CONSTRAINT_SCHEMA = u.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = u.CONSTRAINT_NAME AND r.TABLE_NAME = u.TABLE_NAME
      WHERE ${is('u')} ORDER BY u.CONSTRAINT_NAME, u.ORDINAL_POSITION`,
    ...(flavour.nativeJson
      ? []
      : [`${JSON_COLUMNS} AND k.CONSTRAINT_SCHEMA = ${database} AND k.TABLE_NAME = ${name}`]),
  ];
  const [relation, columns, indexes, foreignKeys, json] = await session.run(statements, {
    what: `lookup of table "${table}"`,
  });
  const found = relation?.rows[0];
  if (found === undefined) {
    throw new ChangeoverError(
      'STORE_REJECTED',
      `There is no table "${table}", which collection "${collection}" names${dot < 0 ? ' (in the database of the connection)' : ''}.`,
      { data: { table, collection } },
    );
  }
  const [schema = '', tableName = ''] = found.map((value) => value ?? '');
  const jsonNames = new Set((json?.rows ?? []).map((line) => line[2]));
  return {
    database: schema,
    name: tableName,
    quoted: `${quoteIdentifier(schema)}.${quoteIdentifier(tableName)}`,
    kind: found[2] ?? '',
    engine: found[3] ?? null,
    estimatedRows: found[4] == null ? -1 : Number(found[4]),
    allColumns: (columns?.rows ?? []).map((line) =>
      toColumn(line, flavour, jsonNames.has(line[0] ?? '')),
    ),
    uniqueIndexes: toIndexes(indexes?.rows ?? []),
    foreignKeys: toForeignKeys(foreignKeys?.rows ?? []),
  };
}

const number = (text: Scalar | undefined): number | null => (text == null ? null : Number(text));

/** A column of a line that `COLUMN_LIST` gave. */
export function toColumn(
  line: readonly Scalar[],
  flavour: MysqlFlavour,
  checkedJson: boolean,
): CatalogColumn {
  const [name = '', dataType = '', declared = '', nullable, given, extra = ''] = line.map(
    (value) => value ?? undefined,
  );
  const charset = line[10] ?? null;
  const collation = line[11] ?? null;
  const notNull = nullable !== 'YES';
  const autoIncrement = /\bauto_increment\b/i.test(extra);
  const type = columnTypeOf({
    dataType,
    declared,
    nullable: !notNull,
    characters: number(line[6]),
    precision: number(line[7]),
    scale: number(line[8]),
    fraction: number(line[9]),
    charset,
    collation,
    json: checkedJson || dataType === 'json',
  });
  return {
    name,
    quoted: quoteIdentifier(name),
    dataType,
    type,
    charset,
    collation,
    noPad: collation === null || flavour.noPad(collation),
    notNull,
    hasDefault: given !== undefined || autoIncrement || !notNull,
    autoIncrement,
    // Not DEFAULT_GENERATED: that is a default with an expression (MySQL).
    generated: /\b(VIRTUAL|STORED|PERSISTENT)\b/i.test(extra),
    onUpdateNow: /on update current_timestamp/i.test(extra),
  };
}

function toIndexes(lines: readonly (readonly Scalar[])[]): readonly CatalogIndex[] {
  const indexes = new Map<string, { columns: string[]; whole: boolean }>();
  for (const [name, column, prefix] of lines) {
    const index = indexes.get(name ?? '') ?? { columns: [], whole: true };
    indexes.set(name ?? '', index);
    // An expression has no column (MySQL 8).
    if (column == null || prefix !== null) index.whole = false;
    if (column != null) index.columns.push(column);
  }
  return [...indexes].map(([name, index]) => ({ name, ...index, primary: name === 'PRIMARY' }));
}

type Rule = CatalogForeignKey['onDelete'];
const rules: readonly Rule[] = ['no action', 'restrict', 'cascade', 'set null', 'set default'];
const ruleOf = (text: Scalar | undefined): Rule =>
  rules.find((rule) => rule === text?.toLowerCase()) ?? 'no action';

function toForeignKeys(lines: readonly (readonly Scalar[])[]): readonly CatalogForeignKey[] {
  const keys = new Map<string, CatalogForeignKey & { columns: string[] }>();
  for (const [name = '', column, schema, table, onDelete, onUpdate] of lines) {
    const key = keys.get(name ?? '') ?? {
      name: name ?? '',
      columns: [],
      references: `${quoteIdentifier(schema ?? '')}.${quoteIdentifier(table ?? '')}`,
      onDelete: ruleOf(onDelete),
      onUpdate: ruleOf(onUpdate),
    };
    keys.set(name ?? '', key);
    key.columns.push(column ?? '');
  }
  return [...keys.values()];
}
