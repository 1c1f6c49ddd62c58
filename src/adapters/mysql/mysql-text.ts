import type { Scalar } from '../../record/index.ts';

/** An identifier, quoted whatever it holds. */
export function quoteIdentifier(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

const SPECIAL = /['\\\0\n\r\u001a]/;
const ESCAPES: Readonly<Record<string, string>> = {
  "'": "''",
  '\\': '\\\\',
  '\0': '\\0',
  '\n': '\\n',
  '\r': '\\r',
  '\u001a': '\\Z',
};

/** A text literal. Right because our sessions never have NO_BACKSLASH_ESCAPES (see `mysql-connections`). */
export function quoteLiteral(text: string): string {
  if (!SPECIAL.test(text)) return `'${text}'`;
  return `'${text.replace(/['\\\0\n\r\u001a]/g, (one) => ESCAPES[one] ?? one)}'`;
}

/** A text literal, or NULL. */
export function literal(value: Scalar | undefined): string {
  return value === null || value === undefined ? 'NULL' : quoteLiteral(value);
}

/** `database.table` or `table`, exactly as spelled, quoted. */
export function quoteTable(table: string): string {
  const dot = table.indexOf('.');
  if (dot < 0) return quoteIdentifier(table);
  return `${quoteIdentifier(table.slice(0, dot))}.${quoteIdentifier(table.slice(dot + 1))}`;
}
