import type { CatalogTable } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { quoteIdentifier, textArray } from './postgres-text.ts';

/** A column that draws from a sequence: identity, serial, or a default with nextval(). */
interface DrawnColumn {
  /** `collection.column`; for child rows `collection.child.column`. */
  readonly name: string;
  /** Schema-qualified and quoted. */
  readonly sequence: string;
  /** Highest value in the column, where an index answers that at once; else the sequence alone is asked. */
  readonly maximum: string;
}

const DRAWN = `
SELECT DISTINCT a.attrelid, a.attname, pg_catalog.format('%I.%I', n.nspname, s.relname)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_depend d ON
  d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
    AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
  OR d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.objid = (SELECT f.oid FROM pg_catalog.pg_attrdef f WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum)
JOIN pg_catalog.pg_class s ON s.relkind = 'S'
  AND s.oid = CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid ELSE d.refobjid END
JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped`;

/** One question for all tables: it is asked while writes are held. */
async function drawnColumns({
  session,
  catalog,
}: PostgresStoreParts): Promise<readonly DrawnColumn[]> {
  const tables: { readonly prefix: string; readonly table: CatalogTable }[] = [];
  for (const name of catalog.collections) {
    const { root, children } = await catalog.collection(name);
    tables.push({ prefix: name, table: root });
    for (const child of children) tables.push({ prefix: `${name}.${child.field}`, table: child });
  }
  const oids = textArray(tables.map(({ table }) => table.oid));
  const { rows } = await session.query(DRAWN, [oids], { what: 'look for sequences' });
  return tables.flatMap(({ prefix, table }) => {
    const quick = new Set(table.uniqueIndexes.map(({ columns }) => columns[0]));
    return rows.flatMap(([oid, column, sequence]) => {
      if (oid !== table.oid || column == null || sequence == null) return [];
      const maximum = quick.has(column)
        ? `(SELECT max(${quoteIdentifier(column)})::bigint FROM ${table.quoted})`
        : 'NULL';
      return [{ name: `${prefix}.${column}`, sequence, maximum }];
    });
  });
}

/** What a sequence has given out or its column holds, whatever is more; 0 for neither. */
function inUse({ sequence, maximum }: DrawnColumn): string {
  return `greatest(coalesce(${maximum}, 0), (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ${sequence}), 0)`;
}

/** See `Guard.sequenceValues`. */
export async function sequenceValues(
  parts: PostgresStoreParts,
): Promise<ReadonlyMap<string, bigint>> {
  const columns = await drawnColumns(parts);
  if (columns.length === 0) return new Map();
  const { rows } = await parts.session.query(`SELECT ${columns.map(inUse).join(', ')}`, [], {
    what: 'values of sequences',
  });
  return new Map(columns.map(({ name }, index) => [name, BigInt(rows[0]?.[index] ?? 0)]));
}

/**
 * Sets every sequence past the other side's value and past what its own column holds; never down. The names may not all be known here:
 * what they stand for has come as rows, which count by themselves.
 */
export async function raiseSequences(
  parts: PostgresStoreParts,
  atLeast: ReadonlyMap<string, bigint>,
): Promise<void> {
  const columns = await drawnColumns(parts);
  if (columns.length === 0) return;
  await parts.session.run(
    columns.map((column) => ({
      text: `SELECT pg_catalog.setval('${column.sequence.replaceAll("'", "''")}', v.wanted, true)
        FROM (SELECT greatest(${inUse(column)}, $1::bigint) AS wanted) v, ${column.sequence} s
        WHERE v.wanted > 0 AND (v.wanted > s.last_value OR v.wanted = s.last_value AND NOT s.is_called)`,
      values: [String(atLeast.get(column.name) ?? 0n)],
    })),
    { what: 'raising of sequences' },
  );
}
