import type { CatalogColumn } from './mysql-catalog.ts';

/*
 * The encoded key (`encodeKey`) of a row, in SQL, for triggers: they run in sessions of anybody, with any time zone and character set. Under the sql_mode of
 * their creation, which is ours.
 */

/** A JSON array of strings, as JavaScript writes it. NULL when a part is. */
export function keyTextSql(columns: readonly CatalogColumn[], row: string): string {
  const parts = columns.map((column) => `'"', ${partSql(column, `${row}.${column.quoted}`)}, '"'`);
  return `CONCAT('[', ${parts.join(`, ',', `)}, ']')`;
}

/** The canonical text of a value; inside the quotes of JSON. */
function partSql(column: CatalogColumn, value: string): string {
  const { type } = column;
  switch (type.kind) {
    case 'integer':
      // ZEROFILL would print zeros in front.
      return `CAST((${value} + 0) AS CHAR CHARACTER SET utf8mb4)`;
    case 'bits':
      return `LPAD(BIN(${value} + 0), ${type.bits ?? 1}, '0')`;
    case 'bytes':
      return `CONCAT('\\\\\\\\x', LOWER(HEX(${value})))`;
    case 'instant':
      return instantSql(value, type.fraction ?? 0);
    case 'decimal':
    case 'float':
    case 'year':
    case 'date':
    case 'time':
    case 'date-time':
      return `CAST(${value} AS CHAR CHARACTER SET utf8mb4)`;
    default:
      return escapedSql(`CONVERT(${value} USING utf8mb4) COLLATE utf8mb4_bin`);
  }
}

/** A TIMESTAMP in UTC, whatever the session's zone, also in the hour that an autumn has twice. */
function instantSql(value: string, fraction: number): string {
  const type = `datetime${fraction > 0 ? `(${fraction})` : ''}`;
  const text = (expression: string): string =>
    `CAST(CAST(${expression} AS ${type}) AS CHAR CHARACTER SET utf8mb4)`;
  const since = `TIMESTAMPADD(MICROSECOND, CAST(UNIX_TIMESTAMP(${value}) * 1000000 AS SIGNED), '1970-01-01 00:00:00.000000')`;
  return `IF(UNIX_TIMESTAMP(${value}) = 0, ${text(value)}, ${text(since)})`;
}

const SHORT: Readonly<Record<number, string>> = { 8: 'b', 9: 't', 10: 'n', 12: 'f', 13: 'r' };

/** What JSON escapes. The servers' own JSON_QUOTE writes some control characters in another way than JavaScript. */
function escapedSql(text: string): string {
  const usual = `REPLACE(REPLACE(${text}, '\\\\', '\\\\\\\\'), '"', '\\\\"')`;
  let rare = usual;
  for (let code = 0; code < 32; code += 1) {
    const short = SHORT[code];
    const escaped = short ?? `u${code.toString(16).padStart(4, '0')}`;
    rare = `REPLACE(${rare}, CHAR(${code} USING utf8mb4), '\\\\${escaped}')`;
  }
  return `IF(${text} REGEXP '[[:cntrl:]]', ${rare}, ${usual})`;
}
