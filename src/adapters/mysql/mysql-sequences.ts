import { isChangeoverError } from '../../errors/index.ts';
import type { CatalogTable } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import type { SqlResult } from './mysql-session.ts';

/** A column with AUTO_INCREMENT. */
interface DrawnColumn {
  /** `collection.column`; for child rows `collection.child.column`. */
  readonly name: string;
  readonly table: CatalogTable;
  readonly quoted: string;
}

async function drawnColumns({ catalog }: MysqlStoreParts): Promise<readonly DrawnColumn[]> {
  const found: DrawnColumn[] = [];
  const look = (prefix: string, table: CatalogTable): void => {
    for (const { name, quoted, autoIncrement } of table.allColumns)
      if (autoIncrement) found.push({ name: `${prefix}.${name}`, table, quoted });
  };
  for (const name of catalog.collections) {
    const { root, children } = await catalog.collection(name);
    look(name, root);
    for (const child of children) look(`${name}.${child.field}`, child);
  }
  return found;
}

/** The number that the table gives out next, as it is now: the catalog's views may answer with yesterday's. Absent from the text: 1. */
const NEXT = /\sAUTO_INCREMENT=(\d+)/;

interface Drawn {
  /** The highest number in the column; 0: none. */
  readonly highest: bigint;
  /** What comes next. */
  readonly next: bigint;
}

async function drawnOf(
  { session }: MysqlStoreParts,
  columns: readonly DrawnColumn[],
): Promise<readonly Drawn[]> {
  const results = await session.run(
    columns.flatMap(({ table, quoted }) => [
      // An AUTO_INCREMENT column begins an index: this is one look.
      `SELECT MAX(${quoted}) FROM ${table.quoted}`,
      `SHOW CREATE TABLE ${table.quoted}`,
    ]),
    { what: 'values of AUTO_INCREMENT columns' },
  );
  return columns.map((_, index) => ({
    highest: wholeOf(results[index * 2]),
    next: BigInt(NEXT.exec(optionsOf(results[index * 2 + 1]))?.[1] ?? 1),
  }));
}

/** Behind the last bracket stand the table's options; a comment of a column cannot imitate them. */
function optionsOf(result: SqlResult | undefined): string {
  const text = result?.rows[0]?.[1] ?? '';
  return text.slice(text.lastIndexOf('\n)'));
}

function wholeOf(result: SqlResult | undefined): bigint {
  const text = result?.rows[0]?.[0] ?? '0';
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}

/** See `Guard.sequenceValues`: what has been given out or the column holds, whatever is more. */
export async function sequenceValues(parts: MysqlStoreParts): Promise<ReadonlyMap<string, bigint>> {
  const columns = await drawnColumns(parts);
  if (columns.length === 0) return new Map();
  const drawn = await drawnOf(parts, columns);
  return new Map(
    columns.map(({ name }, index) => {
      const { highest = 0n, next = 1n } = drawn[index] ?? {};
      return [name, highest > next - 1n ? highest : next - 1n];
    }),
  );
}

/** Until a table is to be had, in all and at a time: the statement changes a number only, but whoever uses the table waits behind it, and after a rescue that is the application. */
const ALTER_MS = 10_000;
const ALTER_TRY_MS = 1_000;
const ALTER_PAUSE_MS = 250;

/**
 * Sets every AUTO_INCREMENT past the other side's value; never down. Numbers that have come as rows count by themselves: InnoDB raises its
 * counter with each insert. The names may not all be known here.
 */
export async function raiseSequences(
  parts: MysqlStoreParts,
  atLeast: ReadonlyMap<string, bigint>,
): Promise<void> {
  const columns = (await drawnColumns(parts)).filter(({ name }) => atLeast.has(name));
  if (columns.length === 0) return;
  const drawn = await drawnOf(parts, columns);
  for (const [index, { name, table }] of columns.entries()) {
    const wanted = (atLeast.get(name) ?? 0n) + 1n;
    if (wanted <= (drawn[index]?.next ?? 1n)) continue;
    await alter(parts, `ALTER TABLE ${table.quoted} AUTO_INCREMENT = ${wanted}`);
  }
}

async function alter({ session }: MysqlStoreParts, statement: string): Promise<void> {
  const { clock } = session.runtime;
  const endsAt = clock.monotonic() + ALTER_MS;
  for (;;) {
    try {
      const what = 'raising of AUTO_INCREMENT';
      await session.query(statement, { what, timeoutMs: ALTER_TRY_MS });
      return;
    } catch (error) {
      const busy = isChangeoverError(
        error,
        'STORE_CONFLICT',
        'DEADLINE_EXCEEDED',
        'OUTCOME_UNKNOWN',
      );
      if (!busy || clock.monotonic() >= endsAt) throw error;
      await clock.sleep(ALTER_PAUSE_MS);
    }
  }
}
