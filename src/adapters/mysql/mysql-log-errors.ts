import { ChangeoverError } from '../../errors/index.ts';
import { EVENT } from './binlog-events.ts';

const UNSUPPORTED: ReadonlyMap<number, readonly [what: string, fix: string]> = new Map([
  [
    EVENT.transactionPayload,
    ['a compressed transaction', 'SET GLOBAL binlog_transaction_compression=OFF'],
  ],
  [EVENT.partialUpdate, ['a partial JSON update', "SET GLOBAL binlog_row_value_options=''"]],
  [EVENT.writeV0, ['rows in the format of MySQL 5.1.15 and before', 'upgrade the server']],
  [EVENT.updateV0, ['rows in the format of MySQL 5.1.15 and before', 'upgrade the server']],
  [EVENT.deleteV0, ['rows in the format of MySQL 5.1.15 and before', 'upgrade the server']],
]);

/**
 * Throws for an event that matters and cannot be read; all others that come here may be passed over. MariaDB's START_ENCRYPTION is one of those: the
 * file is encrypted, what the server sends is not.
 */
export function unreadable(type: number, place: string): void {
  if (type === EVENT.incident)
    throw new ChangeoverError(
      'LOG_LOST',
      `The server says at ${place} of its binary log that changes are missing in it (incident).`,
      { data: { place } },
    );
  const known = UNSUPPORTED.get(type);
  if (known === undefined) return;
  const [what, fix] = known;
  throw new ChangeoverError(
    'LOG_UNSUPPORTED',
    `The binary log holds ${what} at ${place}, which cannot be read. For what is still to be written: ${fix}. What was written so far stays unreadable: start anew afterwards.`,
    { data: { place, type } },
  );
}
