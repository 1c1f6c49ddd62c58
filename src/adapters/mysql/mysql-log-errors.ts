import { ChangeoverError } from '../../errors/index.ts';
import { EVENT } from './binlog-events.ts';
import type { LogPlace } from './mysql-log-items.ts';

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

/** What to do. */
export const START_ANEW =
  'Bring back the server that was read, or give the migration up (changeover abort) and start anew.';

/** The server's history up to `from` is not the one that was read. */
export function anotherHistory(from: LogPlace, found: string): ChangeoverError {
  return new ChangeoverError(
    'LOG_LOST',
    `The binary log was read up to ${placeText(from)}, but ${found}. The server was replaced, reset, or set back to an earlier state, and has a history of its own since. ${START_ANEW}`,
    { data: { file: from.file, offset: from.offset, gtids: from.gtids } },
  );
}

export function anotherFile(from: LogPlace, found: string): ChangeoverError {
  const begun = (stamp: string): string => `server ${stamp.replace('-', ' at second ')}`;
  return new ChangeoverError(
    'LOG_LOST',
    `The binary log has a file ${from.file}, but not the one that was read up to ${placeText(from)}: that one was begun by ${begun(from.stamp ?? '')}, this one by ${begun(found)}. The log was reset, or this is another server or a restored one. ${START_ANEW}`,
    { data: { file: from.file, offset: from.offset, stamp: from.stamp, found } },
  );
}

export function noEventAt(from: LogPlace, next: number): ChangeoverError {
  return new ChangeoverError(
    'LOG_LOST',
    `No event of the binary log begins at ${placeText(from)} (the next one at ${next}): it is not the log that was read before. ${START_ANEW}`,
    { data: { file: from.file, offset: from.offset, found: next } },
  );
}

/** For messages. */
export function placeText({
  file,
  offset,
  gtids,
}: Pick<LogPlace, 'file' | 'offset' | 'gtids'>): string {
  return `${file}:${offset}${gtids === null ? '' : ` (behind GTID ${gtids})`}`;
}
