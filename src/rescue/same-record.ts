import type { DataRecord, Row } from '../record/index.ts';

/** One text for each record of a store, whatever the order of fields and child rows. */
function textOf(record: DataRecord): string {
  const rowText = (row: Row): string => JSON.stringify(Object.entries(row).sort());
  const fields = Object.entries(record).map(([name, value]) =>
    Array.isArray(value)
      ? [name, (value as readonly Row[]).map(rowText).sort()]
      : [name, value as string | null],
  );
  return JSON.stringify(fields.sort());
}

/** Whether two answers of one store are the same record, to the letter. */
export function sameRecord(a: DataRecord | null, b: DataRecord | null): boolean {
  if (a === null || b === null) return a === b;
  return textOf(a) === textOf(b);
}
