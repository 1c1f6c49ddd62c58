import type { ColumnType } from '../../mapping/index.ts';

/** What the catalog says about a column's type; a domain's is that of its base. */
export interface DeclaredColumn {
  /** `timestamp(3) without time zone`, or the domain's name. */
  readonly declared: string;
  readonly nullable: boolean;
  /** `pg_type.typname`: `int4`, `_text`. */
  readonly type: string;
  /** `pg_attribute.atttypmod`; -1: none. */
  readonly modifier: number;
  /** `pg_type.typtype`: `b`, `e`, `c`, `r`, `m`. */
  readonly form: string;
  /** Labels of an enum, or of an array's enum; null: neither. */
  readonly labels: readonly string[] | null;
  /** The collation treats different texts as equal. */
  readonly folds: boolean;
  /** Of the database: `UTF8`, `LATIN1`. */
  readonly encoding: string;
}

/**
 * A line for each column: schema, table, column, `DeclaredColumn` as json. Domains are followed to their base, whose modifier stands in the last
 * domain. Set by set: a look for each column by itself takes twenty times as long.
 */
export const COLUMN_TYPES = `
WITH RECURSIVE walk(domain, type, modifier, required) AS (
  SELECT oid, typbasetype, typtypmod, typnotnull FROM pg_catalog.pg_type WHERE typtype = 'd'
  UNION ALL
  SELECT w.domain, d.typbasetype, d.typtypmod, w.required OR d.typnotnull
  FROM walk w JOIN pg_catalog.pg_type d ON d.oid = w.type WHERE d.typtype = 'd'),
base AS (SELECT w.* FROM walk w JOIN pg_catalog.pg_type t ON t.oid = w.type WHERE t.typtype <> 'd'),
label AS (
  SELECT enumtypid, json_agg(enumlabel ORDER BY enumsortorder) AS labels FROM pg_catalog.pg_enum GROUP BY enumtypid)
SELECT n.nspname, c.relname, a.attname, json_build_object(
  'declared', pg_catalog.format_type(a.atttypid, a.atttypmod),
  'nullable', NOT a.attnotnull AND NOT coalesce(b.required, false),
  'type', t.typname, 'modifier', coalesce(b.modifier, a.atttypmod), 'form', t.typtype,
  'labels', label.labels,
  'folds', t.typname = 'citext' OR NOT coalesce(l.collisdeterministic, true),
  'encoding', pg_catalog.getdatabaseencoding())
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN base b ON b.domain = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = coalesce(b.type, a.atttypid)
LEFT JOIN label ON label.enumtypid = CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE t.oid END
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^(pg_|changeover_)' AND n.nspname <> 'information_schema'`;

const INTEGER_BITS: Readonly<Record<string, number>> = { int2: 16, int4: 32, int8: 64 };
const FLOAT_BITS: Readonly<Record<string, number>> = { float4: 32, float8: 64 };
const TEXT = new Set(['text', 'varchar', 'name', 'citext']);

/** Types of which nothing but the kind and the digits of the second is to be said. */
const KINDS: Readonly<Record<string, ColumnType['kind']>> = {
  bool: 'boolean',
  bytea: 'bytes',
  date: 'date',
  uuid: 'uuid',
  json: 'json',
  jsonb: 'json',
  geometry: 'geometry',
};
const TIMES: Readonly<Record<string, ColumnType['kind']>> = {
  time: 'time',
  timestamp: 'date-time',
  timestamptz: 'instant',
};

/** The column's type in the words that engines share. Types without counterpart elsewhere (timetz, money, ranges, arrays of numbers …) are `other`. */
export function columnTypeOf(column: DeclaredColumn): ColumnType {
  const { declared, nullable, type, modifier, labels } = column;
  const base = { declared, nullable };
  const bits = INTEGER_BITS[type];
  if (bits !== undefined) return { ...base, kind: 'integer', bits };
  if (type === 'oid') return { ...base, kind: 'integer', bits: 32, unsigned: true };
  const floating = FLOAT_BITS[type];
  if (floating !== undefined) return { ...base, kind: 'float', bits: floating };
  if (type === 'numeric') return { ...base, kind: 'decimal', ...decimals(modifier) };
  if (TEXT.has(type) || type === 'bpchar') return textType(column);
  const time = TIMES[type];
  if (time !== undefined) return { ...base, kind: time, fraction: modifier < 0 ? 6 : modifier };
  // The digits are in the lower half, 65535 for as many as there are.
  if (type === 'interval') {
    const fraction = modifier < 0 ? 6 : Math.min(6, modifier & 0xffff);
    return { ...base, kind: 'interval', fraction };
  }
  if (type === 'bit') return { ...base, kind: 'bits', bits: Math.max(1, modifier) };
  if (type === 'varbit') {
    return { ...base, kind: 'bits', ...(modifier < 0 ? {} : { length: modifier }) };
  }
  if (column.form === 'e') return { ...base, kind: 'label', labels: labels ?? [] };
  if (type === '_text' || type === '_varchar') return { ...base, kind: 'label-set' };
  if (labels !== null) return { ...base, kind: 'label-set', labels };
  return { ...base, kind: KINDS[type] ?? 'other' };
}

function textType({
  declared,
  nullable,
  type,
  modifier,
  folds,
  encoding,
}: DeclaredColumn): ColumnType {
  // `name` is cut silently at 63 bytes.
  const length = type === 'name' ? 63 : modifier < 4 ? null : modifier - 4;
  return {
    declared,
    nullable,
    kind: 'text',
    ...(length === null ? {} : { length }),
    ...(type === 'bpchar' && length !== null ? { padded: true } : {}),
    charset: encoding === 'UTF8' ? 'utf8' : encoding.toLowerCase(),
    folds,
  };
}

/** Precision in the upper half, scale (11 bits with sign) in the lower; a scale below 0 rounds to tens, and is none. */
function decimals(modifier: number): { readonly precision?: number; readonly scale?: number } {
  if (modifier < 4) return {};
  const precision = ((modifier - 4) >> 16) & 0xffff;
  const scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
  return scale < 0 ? { precision: precision - scale, scale: 0 } : { precision, scale };
}
