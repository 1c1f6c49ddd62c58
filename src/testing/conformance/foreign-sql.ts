import type { Row, Scalar } from '../../record/index.ts';
import type { ForeignStatement } from './conformance-subject.ts';

/** How an SQL dialect writes names and parameters. */
export interface ForeignDialect {
  quote(name: string): string;
  /** From 1. */
  placeholder(index: number): string;
}

/** The statement as SQL with parameters, for subjects over SQL stores. */
export function foreignSql(
  statement: ForeignStatement,
  { quote, placeholder }: ForeignDialect,
): { readonly text: string; readonly values: readonly Scalar[] } {
  const values: Scalar[] = [];
  const parameter = (value: Scalar): string => {
    values.push(value);
    return placeholder(values.length);
  };
  const equal = (row: Row, between: string): string =>
    Object.entries(row)
      .map(([column, value]) => `${quote(column)} = ${parameter(value)}`)
      .join(between);
  const table = quote(statement.table);
  const text = (): string => {
    switch (statement.kind) {
      case 'insert': {
        const columns = Object.keys(statement.row).map(quote).join(', ');
        const row = Object.values(statement.row).map(parameter).join(', ');
        return `INSERT INTO ${table} (${columns}) VALUES (${row})`;
      }
      case 'update':
        return `UPDATE ${table} SET ${equal(statement.set, ', ')} WHERE ${equal(statement.where, ' AND ')}`;
      case 'delete':
        return `DELETE FROM ${table} WHERE ${equal(statement.where, ' AND ')}`;
      case 'truncate':
        return `TRUNCATE TABLE ${table}`;
    }
  };
  return { text: text(), values };
}
