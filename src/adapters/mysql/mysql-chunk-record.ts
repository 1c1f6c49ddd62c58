import { ChangeoverError } from '../../errors/index.ts';
import { decodeKey, type Key } from '../../record/index.ts';
import type { ChunkTicket, KeyRange } from '../../store/index.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlTransaction } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

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
  transaction: MysqlTransaction,
  layout: MysqlLayout,
  ticket: ChunkTicket,
): Promise<KeyRange> {
  const { rows } = await transaction.query(
    `SELECT after_key, until_key FROM ${layout.chunk} WHERE collection = ${quoteLiteral(ticket.collection)} AND chunk = ${ticket.chunk}`,
  );
  return { after: keyIn(rows[0]?.[0]), until: keyIn(rows[0]?.[1]) };
}

const keyIn = (text: string | null | undefined): Key | null =>
  text == null ? null : decodeKey(text);
