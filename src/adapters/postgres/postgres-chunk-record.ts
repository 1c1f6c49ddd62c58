import { ChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import type { ChunkTicket, KeyRange } from '../../store/index.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresTransaction } from './postgres-session.ts';
import { parseTextArray } from './postgres-text.ts';

/** How a chunk is written: straight into the tables, or through a stage that leaves out what is present or fenced. */
export type ChunkPath = 'straight' | 'stage';

/**
 * The keys of a chunk do not lie in its range by the order of *this* store (a number there, a text here). Then the range is no help to
 * deletes, and the chunk has to stand for every key.
 */
export class RangeDisagrees extends ChangeoverError {
  constructor(collection: string) {
    super('STORE_CONFLICT', `Keys of "${collection}" are ordered differently on the two sides.`);
  }
}

/** The range as it is recorded now; the ticket's own until it was widened. */
export async function recordedRange(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  ticket: ChunkTicket,
): Promise<KeyRange> {
  const { rows } = await transaction.query(
    `SELECT after_key, until_key FROM ${layout.chunk} WHERE collection = $1 AND chunk = $2`,
    [ticket.collection, String(ticket.chunk)],
  );
  const bound = (text: string | null | undefined): Key | null =>
    text == null ? null : parseTextArray(text).map((part) => part ?? '');
  return { after: bound(rows[0]?.[0]), until: bound(rows[0]?.[1]) };
}
