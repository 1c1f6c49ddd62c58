import {
  type DigestEncoding,
  NULL_MARK,
  ROW_SEPARATOR,
  VALUE_SEPARATOR,
} from '../../store/index.ts';
import type { CatalogColumn } from './mysql-catalog.ts';
import { selectExpression } from './mysql-literals.ts';
import { quoteLiteral } from './mysql-text.ts';

/** A column as it goes into a digest. */
export interface DigestedColumn {
  readonly column: CatalogColumn;
  readonly encoding: DigestEncoding;
}

/** The text of a row, equal to `encodeRow`. */
export function rowText(columns: readonly DigestedColumn[], alias: string): string {
  const values = columns.flatMap((one) => valueTexts(one, `${alias}.${one.column.quoted}`, alias));
  return `COALESCE(CONCAT_WS('${VALUE_SEPARATOR}', ${values.join(', ')}), ${UNLIKE_ALL})`;
}

/**
 * Text that exceeds max_allowed_packet is NULL, without an error: not to be taken for a NULL of the column, or left out of its range. Then the row is like no other,
 * and its record is compared. As text: COALESCE would make a uuid of all.
 */
const UNLIKE_ALL = 'CONCAT(UUID())';

/** The arguments of one column. CONCAT_WS leaves NULLs out, so a mark stands for them. */
function valueTexts(
  { column, encoding }: DigestedColumn,
  name: string,
  alias: string,
): readonly string[] {
  const { type } = column;
  switch (encoding.form) {
    case 'plain':
      return [orMark(column, plainText(column, name))];
    case 'integer':
      return [orMark(column, isFilled(column) || type.kind !== 'integer' ? `(${name} + 0)` : name)];
    case 'decimal':
      return [
        orMark(
          column,
          type.scale === encoding.scale && !isFilled(column)
            ? name
            : `CAST(${name} AS DECIMAL(65, ${encoding.scale}))`,
        ),
      ];
    case 'moment':
    case 'clock':
      return [orMark(column, (type.fraction ?? 0) === 0 ? name : withoutZeros(name))];
    case 'hex':
      return type.kind === 'uuid'
        ? [orMark(column, `REPLACE(${name}, '-', '')`)]
        : [longer(column, `LOWER(HEX(${name}))`, name)];
    case 'text':
    case 'trimmed':
      return withLength(column, characters(column, name), name);
    case 'own':
      return type.kind === 'float'
        ? [orMark(column, selectExpression(column, alias))]
        : [longer(column, `HEX(${name})`, name)];
  }
}

function plainText(column: CatalogColumn, name: string): string {
  const { type } = column;
  if (type.kind === 'bits') return `LPAD(BIN(${name} + 0), ${type.bits ?? 1}, '0')`;
  if (type.kind === 'decimal' && isFilled(column))
    return `CAST(${name} AS DECIMAL(65, ${type.scale ?? 0}))`;
  return isFilled(column) ? `(${name} + 0)` : name;
}

/** ZEROFILL is for display only. */
const isFilled = ({ type }: CatalogColumn): boolean => /\bzerofill\b/i.test(type.declared);

/** There always is a point: the column has digits behind it. */
const withoutZeros = (name: string): string =>
  `TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM ${name}))`;

/** In UTF-8; columns of that kind are not touched. */
function characters({ charset }: CatalogColumn, name: string): string {
  const wide = charset === 'utf8mb4' || charset === 'utf8mb3' || charset === 'utf8';
  return wide || charset === 'ascii' ? name : `CONVERT(${name} USING utf8mb4)`;
}

function orMark({ notNull }: CatalogColumn, expression: string): string {
  return notNull ? expression : `COALESCE(${expression}, '${NULL_MARK}')`;
}

/** An expression that may be longer than its value, and then NULL where the value is none. */
function longer({ notNull }: CatalogColumn, expression: string, name: string): string {
  const otherwise = notNull ? UNLIKE_ALL : `IF(${name} IS NULL, '${NULL_MARK}', ${UNLIKE_ALL})`;
  return `COALESCE(${expression}, ${otherwise})`;
}

function withLength(column: CatalogColumn, text: string, name: string): readonly string[] {
  const length = `LENGTH(${text})`;
  return [text === name ? orMark(column, length) : longer(column, length, name), text];
}

/** Bytes of text that a range may have: both limits cut it off without an error. */
export const TEXT_BYTES_MAX = 64 * 1024 * 1024;

/** For the statements behind it; nothing else of ours asks for it. */
export const TEXT_LIMIT = `SET SESSION group_concat_max_len = ${TEXT_BYTES_MAX}`;

/** A text that ends so near to the limit may have been cut off in the middle of a character. */
const NEAR_BYTES = 16;

/**
 * Rows, digest and bytes of the rows that `from` gives. The order is that of the index by which they are read: an ORDER BY would sort what is in order already. Should a
 * server read them otherwise, the digest is that of no other store, and the rows are compared.
 */
export function rangeDigest(row: string, from: string): string {
  const whole = `LENGTH(d.g) < LEAST(@@SESSION.group_concat_max_len, @@SESSION.max_allowed_packet) - ${NEAR_BYTES}`;
  return `SELECT d.n, IF(d.n = 0, SHA2('', 256), IF(${whole}, SHA2(d.g, 256), NULL)), COALESCE(LENGTH(d.g), 0) FROM (SELECT COUNT(*) AS n, GROUP_CONCAT(${row} SEPARATOR ${quoteLiteral(ROW_SEPARATOR)}) AS g FROM ${from}) d`;
}

/** 128 bits of one row's SHA-256. */
export function rowDigest(row: string): string {
  return `LEFT(SHA2(${row}, 256), 32)`;
}
