/** Rows of one statement: so many columns each stay below SQLite's 32 766 and PostgreSQL's 65 535 parameters. */
const rowsPerStatement = 500;

/** Rows by their key, in key order: two processes then lock rows in the same order and cannot deadlock. */
export function byKey<T>(
  rows: readonly T[],
  keyOf: (row: T) => string,
  join: (a: T, b: T) => T,
): readonly T[] {
  const merged = new Map<string, T>();
  for (const row of rows) {
    const key = keyOf(row);
    const present = merged.get(key);
    merged.set(key, present === undefined ? row : join(present, row));
  }
  return [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

/** Rows in parts that fit into one statement. */
export function* batches<T>(rows: readonly T[]): Generator<T[]> {
  for (let at = 0; at < rows.length; at += rowsPerStatement) {
    yield rows.slice(at, at + rowsPerStatement);
  }
}
