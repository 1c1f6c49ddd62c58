import { ChangeoverError } from '../../errors/index.ts';
import type { Scalar } from '../../record/index.ts';
import type {
  CatalogColumn,
  CatalogForeignKey,
  CatalogIndex,
  CatalogTable,
} from './postgres-catalog.ts';
import type { PostgresSession } from './postgres-session.ts';
import { parseTextArray, quoteIdentifier } from './postgres-text.ts';

export type TableFacts = Omit<CatalogTable, 'columns' | 'key' | 'keyIndex'>;

/** `table` or `schema.table`, exactly as spelled, quoted. */
export function quoteTable(table: string): string {
  const dot = table.indexOf('.');
  if (dot < 0) return quoteIdentifier(table);
  return `${quoteIdentifier(table.slice(0, dot))}.${quoteIdentifier(table.slice(dot + 1))}`;
}

const TABLE = `
SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltuples::bigint,
  EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgdeferrable AND t.tginitdeferred),
  (SELECT count(*) FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class h ON h.oid = i.inhrelid
    WHERE i.inhparent = c.oid AND NOT h.relispartition)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass($1)`;

// A domain's values are cast to its base type first; the assignment then checks the domain. format_type(oid, -1) gives "bpchar" and
// "bit" where format_type(oid, NULL) would give character(1) and bit(1). Other people's types are qualified: our functions have a search_path of their own.
const COLUMNS = `
WITH RECURSIVE base(column_number, type) AS (
  SELECT attnum, atttypid FROM pg_catalog.pg_attribute
  WHERE attrelid = pg_catalog.to_regclass($1) AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT column_number, typbasetype FROM base JOIN pg_catalog.pg_type t ON t.oid = type WHERE t.typtype = 'd'
)
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
  CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN pg_catalog.format_type(t.oid, -1)
    ELSE pg_catalog.format('%I.%I', (SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = t.typnamespace), t.typname) END,
  a.attnotnull OR EXISTS (
    SELECT 1 FROM base b JOIN pg_catalog.pg_type d ON d.oid = b.type WHERE b.column_number = a.attnum AND d.typnotnull),
  a.atthasdef, a.attidentity, a.attgenerated <> '', a.attcollation <> 0,
  coalesce(NOT l.collisdeterministic, false) OR t.typname = 'citext',
  EXISTS (
    SELECT 1 FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod
    WHERE m.amname = 'hash' AND o.opcdefault AND o.opcintype IN (t.oid,
      CASE WHEN t.typtype = 'e' THEN 'anyenum'::regtype WHEN t.typname = 'varchar' THEN 'text'::regtype END)),
  t.typcategory IN ('D', 'T', 'A', 'R', 'U', 'C') AND t.typname <> 'uuid' OR t.typname IN ('float4', 'float8', 'money')
FROM pg_catalog.pg_attribute a
JOIN base ON base.column_number = a.attnum
JOIN pg_catalog.pg_type t ON t.oid = base.type AND t.typtype <> 'd'
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0
ORDER BY a.attnum`;

const INDEXES = `
SELECT c.relname, i.indisprimary,
  i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate AND i.indisvalid,
  (SELECT array_agg(a.attname::text ORDER BY k.position)
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, position)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE k.position <= i.indnkeyatts)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = pg_catalog.to_regclass($1) AND i.indisunique
ORDER BY i.indisprimary DESC, c.relname`;

const FOREIGN_KEYS = `
SELECT k.conname, '"' || replace(n.nspname, '"', '""') || '"."' || replace(c.relname, '"', '""') || '"', k.condeferrable, k.confdeltype,
  (SELECT array_agg(a.attname::text ORDER BY u.position)
    FROM unnest(k.conkey) WITH ORDINALITY u(number, position)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conrelid = pg_catalog.to_regclass($1) AND k.contype = 'f' AND k.conparentid = 0
ORDER BY k.conname`;

/** Everything that the catalog says about a table, in one round trip. STORE_REJECTED when it is not there. */
export async function readTable(
  session: PostgresSession,
  table: string,
  collection: string,
): Promise<TableFacts> {
  const values = [quoteTable(table)];
  const [relation, columns, indexes, foreignKeys] = await session.run(
    [TABLE, COLUMNS, INDEXES, FOREIGN_KEYS].map((text) => ({ text, values })),
    { what: `lookup of table "${table}"` },
  );
  const found = relation?.rows[0];
  if (found === undefined) {
    throw new ChangeoverError(
      'STORE_REJECTED',
      `There is no table "${table}", which collection "${collection}" names (names are matched exactly, in lower case unless it was created quoted).`,
      { data: { table, collection } },
    );
  }
  const [oid, schema, name, kind, tuples, deferred, inheritors] = found.map((value) => value ?? '');
  return {
    oid: oid as string,
    schema: schema as string,
    name: name as string,
    quoted: `${quoteIdentifier(schema as string)}.${quoteIdentifier(name as string)}`,
    kind: kind as string,
    estimatedRows: Number(tuples),
    hasDeferred: deferred === 't',
    inheritors: Number(inheritors),
    allColumns: (columns?.rows ?? []).map(toColumn),
    uniqueIndexes: (indexes?.rows ?? []).map(toIndex),
    foreignKeys: (foreignKeys?.rows ?? []).map(toForeignKey),
  };
}

const identities: Readonly<Record<string, CatalogColumn['identity']>> = {
  a: 'always',
  d: 'by default',
};

function toColumn(row: readonly Scalar[]): CatalogColumn {
  const [name, type, castType, notNull, hasDefault, identity, generated, ...rest] = row.map(
    (value) => value ?? '',
  );
  const [collatable, nondeterministic, hashable, settingsDependent] = rest;
  return {
    name: name as string,
    quoted: quoteIdentifier(name as string),
    type: type as string,
    castType: castType as string,
    notNull: notNull === 't',
    hasDefault: hasDefault === 't' || identity !== '',
    identity: identities[identity as string] ?? 'no',
    generated: generated === 't',
    collatable: collatable === 't',
    nondeterministic: nondeterministic === 't',
    hashable: hashable === 't',
    settingsDependent: settingsDependent === 't',
  };
}

function toIndex(row: readonly Scalar[]): CatalogIndex {
  const [name, primary, arbiter, columns] = row;
  return {
    name: name ?? '',
    primary: primary === 't',
    arbiter: arbiter === 't',
    columns: parseTextArray(columns ?? '{}').map((column) => column ?? ''),
  };
}

const actions: Readonly<Record<string, CatalogForeignKey['onDelete']>> = {
  a: 'no action',
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
};

function toForeignKey(row: readonly Scalar[]): CatalogForeignKey {
  const [name, references, deferrable, onDelete, columns] = row;
  return {
    name: name ?? '',
    references: references ?? '',
    deferrable: deferrable === 't',
    onDelete: actions[onDelete ?? 'a'] ?? 'no action',
    columns: parseTextArray(columns ?? '{}').map((column) => column ?? ''),
  };
}
