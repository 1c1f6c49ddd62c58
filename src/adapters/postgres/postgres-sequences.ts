import type { CatalogTable } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { quoteIdentifier, textArray } from './postgres-text.ts';

/** A column that draws from a sequence: identity, serial, or a default with nextval(). */
interface DrawnColumn {
  /** `collection.column`; for child rows `collection.child.column`. */
  readonly name: string;
  /** Schema-qualified and quoted. */
  readonly sequence: string;
  readonly increment: string;
  /** Highest value in the column, where an index answers that at once; else the sequence alone is asked. */
  readonly maximum: string;
}

const DRAWN = `
SELECT DISTINCT a.attrelid, a.attname, pg_catalog.format('%I.%I', n.nspname, s.relname), q.seqincrement
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
    return rows.flatMap(([oid, column, sequence, increment]) => {
      if (oid !== table.oid || column == null || sequence == null || increment == null) return [];
      const maximum = quick.has(column)
        ? `(SELECT max(${quoteIdentifier(column)})::bigint FROM ${table.quoted})`
        : 'NULL';
      return [{ name: `${prefix}.${column}`, sequence, increment, maximum }];
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

/** So many numbers are drawn to raise a sequence, in about 10 ms. Others cannot draw as many within the microseconds that a `setval` takes. */
const DRAWN_MAX = 20_000;
const RAISE_MS = 30_000;

/**
 * Sets every sequence past the other side's value and past what its own column holds; never down. The names may not all be known here:
 * what they stand for has come as rows, which count by themselves.
 *
 * `setval` overwrites what others have drawn between the look at the sequence and itself: their numbers would be given out twice. No lock keeps them away that
 * somebody could take who does not own the sequence. So near the goal numbers are *drawn* until it is reached, which lowers nothing whoever else draws; `setval` is only for
 * leaps that nobody makes by drawing. Of several of us that raise at a time each waits for the other.
 */
export async function raiseSequences(
  parts: PostgresStoreParts,
  atLeast: ReadonlyMap<string, bigint>,
): Promise<void> {
  const columns = await drawnColumns(parts);
  if (columns.length === 0) return;
  const turns = BigInt.asIntN(64, parts.layout.roleLock ^ 8n);
  await parts.session.runCommitted(
    [
      { text: `SELECT pg_catalog.pg_advisory_xact_lock(${turns})` },
      ...columns.map((column) => ({
        text: raise(column),
        values: [String(atLeast.get(column.name) ?? 0n)],
      })),
    ],
    { timeoutMs: RAISE_MS, what: 'raising of sequences' },
  );
}

/** The goal is computed first, and the sequence is looked at last: OFFSET 0 keeps the planner from another order. */
function raise(column: DrawnColumn): string {
  const sequence = `'${column.sequence.replaceAll("'", "''")}'::regclass`;
  return `WITH v AS MATERIALIZED (SELECT greatest(${inUse(column)}, $1::bigint) AS wanted)
    SELECT CASE WHEN s.missing <= 0 THEN NULL
      WHEN s.missing > ${DRAWN_MAX} THEN pg_catalog.setval(${sequence}, v.wanted, true)
      ELSE (SELECT max(pg_catalog.nextval(${sequence})) FROM pg_catalog.generate_series(1, s.missing)) END
    FROM v, LATERAL (SELECT CASE WHEN v.wanted <= 0 THEN 0 ELSE ceil((v.wanted::numeric - last_value) / ${column.increment})::bigint + CASE WHEN is_called THEN 0 ELSE 1 END END AS missing
      FROM ${column.sequence} OFFSET 0) s`;
}
