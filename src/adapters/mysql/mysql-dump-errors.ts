import { ChangeoverError } from '../../errors/index.ts';
import type { DumpRequest } from './mysql-dump-request.ts';
import { placeText, START_ANEW } from './mysql-log-errors.ts';

const ACCESS_DENIED: ReadonlySet<number> = new Set([1044, 1045, 1142, 1227]);
const NO_LOG = /binary log is not open|log-bin|server.?id was not set|misconfigured master/i;
const TAKEN_OVER = /same server_uuid|same server_id|same server-id/i;
const PASSING = /shutdown|killed|interrupted|memory|too many connections/i;

/**
 * What the server says instead of an event. 1236 is all that goes wrong while it reads its own log: only the text tells a log that is gone from a server
 * that goes down.
 */
export function dumpError(
  packet: Buffer,
  from: Pick<DumpRequest, 'file' | 'offset' | 'gtids'>,
): ChangeoverError {
  const errno = packet.readUInt16LE(1);
  const marked = packet[3] === 0x23;
  const text = packet.toString('utf8', marked ? 9 : 3).trim();
  const said = `the server says "${text}" (errno ${errno})`;
  const data = { errno, file: from.file, offset: from.offset, gtids: from.gtids };
  if (ACCESS_DENIED.has(errno))
    return new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The account may not read the binary log: ${said}. Run GRANT REPLICATION SLAVE ON *.* TO the account.`,
      { data },
    );
  if (NO_LOG.test(text))
    return new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The server has no binary log to read: ${said}. Set log_bin and a server_id that is not 0, and restart it.`,
      { data },
    );
  if (TAKEN_OVER.test(text))
    return new ChangeoverError(
      'STORE_UNAVAILABLE',
      `Another reader of this stream has taken over: ${said}.`,
      { data },
    );
  if (errno !== 1236 || PASSING.test(text))
    return new ChangeoverError('STORE_UNAVAILABLE', `The binary log is no longer sent: ${said}.`, {
      data,
    });
  return new ChangeoverError(
    'LOG_LOST',
    `The binary log cannot be read on from ${placeText(from)}: ${said}. It was purged, reset, set back to an earlier state, or is damaged. ${START_ANEW}`,
    { data },
  );
}
