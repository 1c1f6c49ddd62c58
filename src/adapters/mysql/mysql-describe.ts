import type { ColumnType } from '../../mapping/index.ts';
import type { Scalar } from '../../record/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { ForeignKeyDescription, TableDescription } from '../../store/index.ts';
import { COLUMN_LIST, JSON_COLUMNS, toColumn } from './mysql-catalog-query.ts';
import type { MysqlOptions } from './mysql-options.ts';
import { type MysqlFlavour, openMysqlSession, type SqlResult } from './mysql-session.ts';

/** Databases of users: none of the server's, none of ours. */
const users = (alias: string): string =>
  `${alias}.TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') AND ${alias}.TABLE_SCHEMA NOT LIKE 'changeover\\\\_%'`;

const TABLES = `SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_SCHEMA <=> DATABASE(), t.TABLE_ROWS FROM information_schema.TABLES t
  WHERE t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND ${users('t')} ORDER BY t.TABLE_SCHEMA, t.TABLE_NAME`;
const COLUMNS = `SELECT ${COLUMN_LIST}, c.TABLE_SCHEMA, c.TABLE_NAME FROM information_schema.COLUMNS c WHERE ${users('c')} ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION`;
const PRIMARY_KEYS = `SELECT s.TABLE_SCHEMA, s.TABLE_NAME, s.COLUMN_NAME FROM information_schema.STATISTICS s
  WHERE s.INDEX_NAME = 'PRIMARY' AND ${users('s')} ORDER BY s.TABLE_SCHEMA, s.TABLE_NAME, s.SEQ_IN_INDEX`;
const FOREIGN_KEYS = `SELECT u.TABLE_SCHEMA, u.TABLE_NAME, u.CONSTRAINT_NAME, u.COLUMN_NAME, u.REFERENCED_TABLE_SCHEMA, u.REFERENCED_TABLE_NAME, u.REFERENCED_COLUMN_NAME
  FROM information_schema.KEY_COLUMN_USAGE u WHERE u.REFERENCED_TABLE_NAME IS NOT NULL AND ${users('u')}
  ORDER BY u.TABLE_SCHEMA, u.TABLE_NAME, u.CONSTRAINT_NAME, u.ORDINAL_POSITION`;

/** The tables of a server, in one round trip over a connection that is closed again. STORE_UNAVAILABLE when there is none. */
export async function describeMysqlTables(
  options: MysqlOptions,
  runtime: Runtime,
  wanted: { readonly types?: boolean } = {},
): Promise<readonly TableDescription[]> {
  const session = openMysqlSession({ ...options, poolMax: 1 }, runtime);
  try {
    const flavour = await session.flavour();
    const statements = [TABLES, COLUMNS, PRIMARY_KEYS, FOREIGN_KEYS];
    const json = flavour.nativeJson ? [] : [JSON_COLUMNS];
    const results = await session.run([...statements, ...json], { what: 'a look at the tables' });
    return describe(results, flavour, wanted.types === true);
  } finally {
    await session.close();
  }
}

const idOf = (schema: Scalar | undefined, table: Scalar | undefined): string =>
  JSON.stringify([schema, table]);

function describe(
  [tables, columns, primaryKeys, foreignKeys, json]: readonly SqlResult[],
  flavour: MysqlFlavour,
  withTypes: boolean,
): readonly TableDescription[] {
  const checked = new Set(
    (json?.rows ?? []).map(([schema, table, column]) => `${idOf(schema, table)} ${column}`),
  );
  const types = new Map<string, [string, ColumnType][]>();
  for (const line of columns?.rows ?? []) {
    const id = idOf(line[12], line[13]);
    const column = toColumn(line, flavour, checked.has(`${id} ${line[0]}`));
    if (column.generated) continue;
    const list = types.get(id) ?? [];
    types.set(id, list);
    list.push([column.name, column.type]);
  }
  const keys = new Map<string, string[]>();
  for (const [schema, table, column] of primaryKeys?.rows ?? []) {
    const id = idOf(schema, table);
    keys.set(id, [...(keys.get(id) ?? []), column ?? '']);
  }
  const references = foreignKeysOf(foreignKeys?.rows ?? []);
  return (tables?.rows ?? []).map(([schema, name, visible, rows]) => {
    const id = idOf(schema, name);
    const found = types.get(id) ?? [];
    return {
      schema: schema ?? '',
      name: name ?? '',
      visible: visible === '1',
      columns: found.map(([column]) => column),
      ...(withTypes ? { types: Object.fromEntries(found) } : {}),
      primaryKey: keys.get(id) ?? null,
      foreignKeys: references.get(id) ?? [],
      estimatedRows: rows == null ? -1 : Number(rows),
    };
  });
}

type Mutable = { -readonly [Field in keyof ForeignKeyDescription]: ForeignKeyDescription[Field] };

function foreignKeysOf(
  lines: readonly (readonly Scalar[])[],
): ReadonlyMap<string, readonly ForeignKeyDescription[]> {
  const tables = new Map<string, Map<string, Mutable>>();
  for (const [schema, table, name, column, otherSchema, otherTable, otherColumn] of lines) {
    const id = idOf(schema, table);
    const found = tables.get(id) ?? new Map<string, Mutable>();
    tables.set(id, found);
    const key = found.get(name ?? '') ?? {
      columns: [],
      schema: otherSchema ?? '',
      table: otherTable ?? '',
      references: [],
    };
    key.columns = [...key.columns, column ?? ''];
    key.references = [...key.references, otherColumn ?? ''];
    found.set(name ?? '', key);
  }
  return new Map([...tables].map(([id, keys]) => [id, [...keys.values()]]));
}
