import type { ColumnType } from '../../mapping/index.ts';
import type { Scalar } from '../../record/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { TableDescription } from '../../store/index.ts';
import { COLUMN_TYPES, columnTypeOf } from './postgres-column-type.ts';
import type { PostgresOptions } from './postgres-connections.ts';
import { openPostgresSession } from './postgres-session.ts';

/** Tables of users: no catalog, no temporary ones, none of ours, no partitions of a table that is listed. */
const TABLES = `
SELECT json_build_object(
  'schema', n.nspname, 'name', c.relname, 'visible', pg_catalog.pg_table_is_visible(c.oid),
  'estimatedRows', c.reltuples,
  'columns', (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
  'primaryKey', (SELECT json_agg(a.attname ORDER BY u.position)
    FROM pg_catalog.pg_constraint k, unnest(k.conkey) WITH ORDINALITY u(number, position)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number
    WHERE k.conrelid = c.oid AND k.contype = 'p'),
  'foreignKeys', (SELECT coalesce(json_agg(json_build_object(
      'columns', (SELECT json_agg(a.attname ORDER BY u.position) FROM unnest(k.conkey) WITH ORDINALITY u(number, position)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
      'schema', fn.nspname, 'table', f.relname,
      'references', (SELECT json_agg(a.attname ORDER BY u.position) FROM unnest(k.confkey) WITH ORDINALITY u(number, position)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)) ORDER BY k.conname), '[]')
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
    WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^(pg_|changeover_)' AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname`;

/** The tables of a database, in one round trip over a connection that is closed again. STORE_UNAVAILABLE when there is none. */
export async function describePostgresTables(
  options: PostgresOptions,
  runtime: Runtime,
  wanted: { readonly types?: boolean } = {},
): Promise<readonly TableDescription[]> {
  const session = openPostgresSession({ ...options, poolMax: 1 }, runtime);
  const texts = wanted.types ? [TABLES, COLUMN_TYPES] : [TABLES];
  try {
    const [tables, columns] = await session.run(
      texts.map((text) => ({ text })),
      { what: 'a look at the tables' },
    );
    const types = columns && typesOf(columns.rows);
    return (tables?.rows ?? []).map(([json]: readonly (Scalar | undefined)[]) => {
      const table: TableDescription = JSON.parse(json ?? 'null');
      if (types === undefined) return table;
      return { ...table, types: types.get(`${table.schema}\0${table.name}`) ?? {} };
    });
  } finally {
    await session.close();
  }
}

/** Schema and table → column → type. */
function typesOf(
  lines: readonly (readonly Scalar[])[],
): ReadonlyMap<string, Readonly<Record<string, ColumnType>>> {
  const found = new Map<string, Record<string, ColumnType>>();
  for (const [schema, table, column, json] of lines) {
    const id = `${schema}\0${table}`;
    const types = found.get(id) ?? {};
    types[column ?? ''] = columnTypeOf(JSON.parse(json ?? 'null'));
    found.set(id, types);
  }
  return found;
}
