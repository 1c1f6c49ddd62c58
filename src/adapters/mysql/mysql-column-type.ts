import type { ColumnType } from '../../mapping/index.ts';

/** What the catalog says about a column's type. */
export interface DeclaredColumn {
  /** `bigint`, `enum`. */
  readonly dataType: string;
  /** `bigint(20) unsigned`, `enum('a','b')`. */
  readonly declared: string;
  readonly nullable: boolean;
  readonly characters: number | null;
  readonly precision: number | null;
  readonly scale: number | null;
  readonly fraction: number | null;
  readonly charset: string | null;
  readonly collation: string | null;
  /** A text that only takes JSON (MariaDB), or a column of type JSON. */
  readonly json: boolean;
}

const INTEGER_BITS: Readonly<Record<string, number>> = {
  tinyint: 8,
  smallint: 16,
  mediumint: 24,
  int: 32,
  bigint: 64,
};

const TEXT = new Set(['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext']);
const BYTES = new Set(['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob']);
const GEOMETRY = new Set([
  ...['geometry', 'point', 'linestring', 'polygon', 'multipoint', 'multilinestring'],
  ...['multipolygon', 'geometrycollection', 'geomcollection'],
]);

/**
 * The column's type in the words that engines share. BOOLEAN is `tinyint(1)` here, an integer: it holds what tinyint holds. CHAR is `padded`: blanks
 * at the end of a value do not come back.
 */
export function columnTypeOf(column: DeclaredColumn): ColumnType {
  const { dataType, declared, nullable, charset, collation } = column;
  const base = { declared, nullable };
  const repertoire = charset === null ? {} : { charset: charset === 'utf8mb4' ? 'utf8' : charset };
  const folds = collation === null ? {} : { folds: foldsCase(collation) };
  const fraction = { fraction: column.fraction ?? 0 };
  const length = column.characters === null ? {} : { length: column.characters };
  const bits = INTEGER_BITS[dataType];
  if (bits !== undefined) {
    return { ...base, kind: 'integer', bits, unsigned: /\bunsigned\b/.test(declared) };
  }
  if (column.json) return { ...base, kind: 'json' };
  if (TEXT.has(dataType)) {
    const padded = dataType === 'char' ? { padded: true } : {};
    return { ...base, kind: 'text', ...length, ...padded, ...repertoire, ...folds };
  }
  if (BYTES.has(dataType)) {
    return {
      ...base,
      kind: 'bytes',
      ...length,
      ...(dataType === 'binary' ? { padded: true } : {}),
    };
  }
  if (GEOMETRY.has(dataType)) return { ...base, kind: 'geometry' };
  switch (dataType) {
    case 'decimal':
      return {
        ...base,
        kind: 'decimal',
        precision: column.precision ?? 10,
        scale: column.scale ?? 0,
        unsigned: /\bunsigned\b/.test(declared),
      };
    case 'float':
      return { ...base, kind: 'float', bits: 32, unsigned: /\bunsigned\b/.test(declared) };
    case 'double':
      return { ...base, kind: 'float', bits: 64, unsigned: /\bunsigned\b/.test(declared) };
    case 'bit':
      return { ...base, kind: 'bits', bits: column.precision ?? bitsIn(declared) };
    case 'date':
      return { ...base, kind: 'date' };
    case 'time':
      return { ...base, kind: 'time', ...fraction };
    case 'datetime':
      return { ...base, kind: 'date-time', ...fraction };
    case 'timestamp':
      return { ...base, kind: 'instant', ...fraction };
    case 'year':
      return { ...base, kind: 'year' };
    case 'uuid':
      return { ...base, kind: 'uuid' };
    case 'enum':
      return { ...base, kind: 'label', labels: labelsIn(declared), ...repertoire };
    case 'set':
      return { ...base, kind: 'label-set', labels: labelsIn(declared), ...repertoire };
    default:
      return { ...base, kind: 'other' };
  }
}

const bitsIn = (declared: string): number => Number(/\((\d+)\)/.exec(declared)?.[1] ?? 1);

/** Only binary collations tell every two texts apart (but for blanks at the end, where they pad). */
export function foldsCase(collation: string): boolean {
  return collation !== 'binary' && !collation.endsWith('_bin');
}

const BEYOND_CATALOG = new Set(['utf8', 'utf8mb4', 'utf16', 'utf16le', 'utf32', 'gb18030']);

/**
 * The catalog is written in UTF-8 of three bytes: a character beyond U+FFFF stands there as a question mark, and nothing tells it from one. True for a label of
 * which the catalog may say less than it is.
 *
 * @param charset of the column, of the catalog or of `ColumnType`
 */
export function hidesLabel(label: string, charset: string | null): boolean {
  return label.includes('?') && BEYOND_CATALOG.has(charset ?? '');
}

const UNESCAPED: Readonly<Record<string, string>> = { '0': '\0', n: '\n', r: '\r' };

/** The labels of `enum('a','b''c')`: the catalog doubles quotes and escapes backslashes, line ends and NUL. */
export function labelsIn(declared: string): readonly string[] {
  const labels: string[] = [];
  for (const [, label] of declared.matchAll(/'((?:[^'\\]|''|\\.)*)'/gs)) {
    labels.push(
      (label ?? '').replace(/''|\\(.)/gs, (_, one?: string) =>
        one === undefined ? "'" : (UNESCAPED[one] ?? one),
      ),
    );
  }
  return labels;
}
