import type { ChangeSource, LogChange, LogStart } from '../../src/log/index.ts';
import type { DataRecord, Scalar } from '../../src/record/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { aWrite } from './postgres-store.ts';

/** The table of every golden test: `id` and a column for each value. */
export const GOLDEN = 'golden';
const streamOf = ({ side }: MigrationStore): string => `changeover_shop_${side[0]}_1`;
const waitMs = 10_000;

/** One value of one column, in a row of its own. */
export interface GoldenCell {
  readonly id: string;
  readonly column: string;
  readonly given: string;
}

/** Ways by which the text of a value leaves a store. */
export interface GoldenAnswer {
  readonly written: Scalar | undefined;
  readonly read: Scalar | undefined;
  readonly scanned: Scalar | undefined;
  readonly reread: Scalar | undefined;
  readonly canonical: Scalar | undefined;
  /** From the log. */
  readonly inserted: Scalar | undefined;
  readonly updated: Scalar | undefined;
}

/** The same text by every way. */
export const everyWay = (text: string): GoldenAnswer => ({
  written: text,
  read: text,
  scanned: text,
  reread: text,
  canonical: text,
  inserted: text,
  updated: text,
});

/** Writes each cell as the authority and reads it back by every way that the store has. `touched`: a column that an update may change. */
export async function goldenAnswers(
  store: MigrationStore,
  cells: readonly GoldenCell[],
): Promise<ReadonlyMap<string, GoldenAnswer>> {
  await store.setup.install('authority', 1);
  const { log } = store;
  if (log === undefined) throw new Error('the store has no log');
  const start = await log.install(streamOf(store), waitMs);
  const written = new Map<string, DataRecord | null>();
  for (const { id, column, given } of cells) {
    const record = { [column]: given };
    const write = aWrite(GOLDEN, [id], record, { journal: 'log' });
    written.set(id, (await store.records.write(write)).record);
    const touch = aWrite(GOLDEN, [id], { touched: '1' }, { journal: 'log', action: 'update' });
    await store.records.write(touch);
  }
  const changes = await changesBehind(log, streamOf(store), start);
  const keys = cells.map(({ id }) => [id]);
  const { records } = store;
  const read = await records.read(GOLDEN, keys);
  const scanned = await records.scan(GOLDEN, { after: null, until: null }, cells.length + 10);
  const byId = new Map(scanned.map(({ record }) => [record['id'], record]));
  const spelled = await records.canonicalise(
    GOLDEN,
    cells.map(({ id, column, given }) => ({ id, [column]: given })),
  );
  const answers = new Map<string, GoldenAnswer>();
  for (const [index, { id, column }] of cells.entries()) {
    const [again] = await records.reread(GOLDEN, [[id]], 1);
    const pick = (record: DataRecord | null | undefined): Scalar | undefined =>
      record?.[column] as Scalar | undefined;
    answers.set(id, {
      written: pick(written.get(id)),
      read: pick(read[index]?.record),
      scanned: pick(byId.get(id)),
      reread: pick(again?.record),
      canonical: pick(spelled[index]),
      inserted: logged(changes, 'insert', id, column),
      updated: logged(changes, 'update', id, column),
    });
  }
  return answers;
}

async function changesBehind(
  log: ChangeSource,
  stream: string,
  start: LogStart,
): Promise<readonly LogChange[]> {
  const reader = await log.open({
    stream,
    from: { ...start, skip: 0 },
    changesMax: 1_000,
    bytesMax: 16 * 1024 * 1024,
    whole: false,
  });
  try {
    const token = `golden ${stream}`;
    await log.challenge(token);
    const changes: LogChange[] = [];
    for (let round = 0; round < 200; round += 1) {
      const batch = await reader.next(200);
      changes.push(...batch.changes);
      if (batch.challenges.includes(token)) return changes;
    }
    throw new Error('the challenge has not come back');
  } finally {
    await reader.close();
    await log.remove(stream);
  }
}

/** The column's text in the log's change of that record; a value that the log leaves out is told as such. */
function logged(
  changes: readonly LogChange[],
  kind: LogChange['kind'],
  id: string,
  column: string,
): Scalar | undefined {
  for (const { table, kind: found, before, after } of changes) {
    if (found !== kind || table.name !== GOLDEN) continue;
    const at = (name: string): number => table.columns.findIndex((one) => one.name === name);
    if (after?.[at('id')] !== id) continue;
    // PostgreSQL leaves large values out that an update has not touched; with the whole old row they are there.
    const value = after[at(column)];
    const known = typeof value === 'symbol' ? before?.[at(column)] : value;
    return typeof known === 'symbol' ? `(${String(known)})` : known;
  }
  return undefined;
}
