import { Readable } from 'node:stream';
import { ChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import type { ChunkTicket, CopiedText, KeyRange, TextSource } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn } from './postgres-catalog.ts';
import { Merge } from './postgres-chunk-merge.ts';
import { type ChunkPath, RangeDisagrees, recordedRange } from './postgres-chunk-record.ts';
import { removeDeleted, straightBeside } from './postgres-chunk-straight.ts';
import { copyBytesIn } from './postgres-copy-stream.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { columnList } from './postgres-door-sql.ts';
import { isInteger, isWithin, keyComparisons, lastKey } from './postgres-key-bytes.ts';
import type { PostgresTransaction } from './postgres-session.ts';

/**
 * Writes a chunk from rows that come as text (`store/text-source.ts`): straight into the table while the range is empty, through a stage
 * otherwise. Keys are compared with the recorded range as their bytes pass; nothing else is looked at.
 */
export async function copyText(
  parts: PostgresStoreParts,
  transaction: PostgresTransaction,
  ticket: ChunkTicket,
  { from, rowsMax }: { readonly from: TextSource; readonly rowsMax: number | null },
  wanted: ChunkPath,
  timeoutMs: number,
): Promise<CopiedText> {
  const collection = await parts.catalog.collection(ticket.collection);
  const { root } = collection;
  const range = await recordedRange(transaction, parts.layout, ticket);
  const beside = await straightBeside(parts, transaction, collection, range, wanted, false);
  const source = await from.read(ticket.collection, ticket.range, rowsMax, timeoutMs);
  const columns = columnsOf(collection, source.columns);
  let end: Buffer | null = null;
  const keep = (buffer: Buffer): void => {
    end = buffer;
  };
  const rows = Readable.from(within(collection, range, source.text, keep), {
    objectMode: true,
    highWaterMark: 2,
  });
  const limits = {
    runtime: parts.session.runtime,
    timeoutMs,
    what: `copy of chunk ${ticket.chunk} of "${ticket.collection}"`,
  };
  const last = (count: number): Key | null =>
    end === null || rowsMax === null || count < rowsMax ? null : lastKey(end, root.key.length);
  if (beside !== null) {
    const statement = `COPY ${root.quoted} (${columnList(columns)}) FROM STDIN`;
    const count = await copyBytesIn(transaction, statement, rows, limits);
    const brought = { beside, alike: root.key.every(spellsAlike) };
    const deleted = await removeDeleted(parts, transaction, collection, range, brought);
    return { inserted: count - deleted, rows: count, last: last(count) };
  }
  // The stage spells keys as this store does, fences go by the source's spelling.
  if (!root.key.every(spellsAlike)) throw notForText(ticket.collection, 'its key is filled up');
  const merge = new Merge(parts, transaction, collection);
  await merge.begin();
  const stage = await merge.stageRoots(columns, 'computed');
  const count = await copyBytesIn(transaction, stage, rows, limits);
  await merge.insertRoots();
  return { inserted: merge.inserted, rows: count, last: last(count) };
}

const spellsAlike = (column: CatalogColumn): boolean =>
  isInteger(column) || column.castType === 'text' || column.castType === 'character varying';

/** The columns of the target by the names of the source's. STORE_REJECTED: the records' own way tells what is wrong, or copes with it. */
function columnsOf(
  { collection, root, children }: CatalogCollection,
  names: readonly string[],
): readonly CatalogColumn[] {
  if (children.length > 0) throw notForText(collection, 'it has children');
  const wrong = root.key.find(({ name }, index) => names[index] !== name);
  if (wrong) throw notForText(collection, `key column "${wrong.name}" has another place`);
  return names.map((name) => {
    const column = root.allColumns.find((one) => one.name === name);
    if (column && !column.generated) return column;
    throw notForText(collection, `${root.quoted} has no column "${name}" that can be written`);
  });
}

function notForText(collection: string, why: string): ChangeoverError {
  return new ChangeoverError(
    'STORE_REJECTED',
    `"${collection}" cannot be copied as text: ${why}.`,
    { data: { collection } },
  );
}

/** The same bytes; a key outside of the range ends them: deletes look for the chunk by this store's order. */
async function* within(
  { collection, root }: CatalogCollection,
  range: KeyRange,
  text: AsyncIterable<Buffer>,
  seen: (buffer: Buffer) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const bounded = range.after !== null || range.until !== null;
  const comparisons = keyComparisons(root.key);
  if (bounded && comparisons === null) throw new RangeDisagrees(collection);
  for await (const buffer of text) {
    if (bounded && comparisons !== null && !isWithin(buffer, comparisons, range)) {
      throw new RangeDisagrees(collection);
    }
    seen(buffer);
    yield buffer;
  }
}
