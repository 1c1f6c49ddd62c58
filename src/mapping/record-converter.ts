import { ChangeoverError, isChangeoverError } from '../errors/index.ts';
import type { DataRecord, Row, Scalar } from '../record/index.ts';
import type { Convert } from './rule.ts';

/** Conversions by column; only those that do something. */
export type RowConverts = ReadonlyMap<string, Convert>;

/** Makes a record with converted values; columns without conversion, and fields that are not there, stay as they are. Never changes its argument. */
export type RecordConverter = (record: DataRecord) => DataRecord;

/**
 * One function for all conversions of a record: those of the root row, and of the rows of each child field. null: there is nothing to convert.
 * Throws MAPPING_REFUSED that names the column.
 */
export function compileConverter(
  root: RowConverts,
  children: ReadonlyMap<string, RowConverts> = new Map(),
): RecordConverter | null {
  const rootRow = rowConverter(root, '');
  const fields = [...children].flatMap(([field, converts]) => {
    const convert = rowConverter(converts, `${field}.`);
    return convert === null ? [] : [{ field, convert }];
  });
  if (fields.length === 0) return rootRow as RecordConverter | null;
  return (record) => {
    const converted = rootRow === null ? { ...record } : (rootRow(record) as typeof record);
    const copy = converted as Record<string, Scalar | readonly Row[]>;
    for (const { field, convert } of fields) {
      const rows = copy[field];
      if (Array.isArray(rows)) copy[field] = rows.map(convert as (row: Row) => Row);
    }
    return copy;
  };
}

/** `prefix` names the child in messages. */
function rowConverter(
  converts: RowConverts,
  prefix: string,
): ((row: DataRecord) => Record<string, Scalar | readonly Row[]>) | null {
  if (converts.size === 0) return null;
  const names = [...converts.keys()];
  const functions = [...converts.values()];
  const count = names.length;
  return (row) => {
    const copy = { ...row };
    let at = 0;
    try {
      for (; at < count; at += 1) {
        const name = names[at] as string;
        const value = copy[name];
        if (typeof value === 'string') copy[name] = (functions[at] as Convert)(value);
      }
    } catch (error) {
      throw withColumn(error, `${prefix}${names[at]}`);
    }
    return copy;
  };
}

function withColumn(error: unknown, column: string): unknown {
  if (!isChangeoverError(error, 'MAPPING_REFUSED')) return error;
  const told = String((error as ChangeoverError).data['told'] ?? '');
  return new ChangeoverError('MAPPING_REFUSED', `Column "${column}": ${told}`, {
    data: { column, told },
  });
}
