import { ChangeoverError } from '../../errors/index.ts';
import type { LogRetention } from '../../log/index.ts';
import { fileNumber, type LogPlace } from './mysql-log-items.ts';
import type { LogServer } from './mysql-log-server.ts';

/** The server throws a file away so long after it was last written to; this much of that time may pass. */
const RISK_SHARE = 0.8;

/**
 * What the server keeps behind `place`. Nothing of ours holds its log back: it goes by age (`binlog_expire_logs_seconds`), by size (MariaDB
 * 11.4, `max_binlog_total_size`), or when somebody purges it.
 */
export async function logRetention(server: LogServer, place: LogPlace): Promise<LogRetention> {
  const files = await server.files();
  const number = fileNumber(place.file);
  const kept = files.filter(({ file }) => fileNumber(file) >= number);
  const first = kept[0];
  const retainedBytes = Math.max(
    0,
    kept.reduce((sum, { bytes }) => sum + bytes, 0) -
      (first?.file === place.file ? place.offset : 0),
  );
  const settings = await server.settings([
    'binlog_expire_logs_seconds',
    'expire_logs_days',
    'max_binlog_total_size',
  ]);
  const allBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const sizeMax = Number(settings.get('max_binlog_total_size') ?? '0');
  const leftBytes = sizeMax > 0 ? Math.max(0, sizeMax - allBytes) : null;
  if (first === undefined || !(await holds(server, first, place)))
    return { retainedBytes, leftBytes: 0, state: 'lost' };
  const bySize = leftBytes !== null && allBytes > sizeMax * RISK_SHARE && kept.length > 1;
  const expireSeconds =
    Number(settings.get('binlog_expire_logs_seconds') ?? '0') ||
    Number(settings.get('expire_logs_days') ?? '0') * 86_400;
  const next = kept[1]?.file;
  const byAge =
    expireSeconds > 0 &&
    next !== undefined &&
    (await ageSeconds(server, next)) > expireSeconds * RISK_SHARE;
  return { retainedBytes, leftBytes, state: bySize || byAge ? 'at-risk' : 'kept' };
}

/** After RESET MASTER, or on a server that was restored, there is a file of that name, but it is another one. */
async function holds(
  server: LogServer,
  { file, bytes }: { readonly file: string; readonly bytes: number },
  place: LogPlace,
): Promise<boolean> {
  if (file !== place.file || bytes < place.offset) return false;
  return place.stamp === null || (await server.stamp(file)) === place.stamp;
}

/** Since the file was begun, which is when the one before it was last written to. */
async function ageSeconds(server: LogServer, file: string): Promise<number> {
  const stamp = await server.stamp(file);
  const { rows } = await server.session.query('SELECT UNIX_TIMESTAMP()');
  const [, second = '0'] = stamp.split('-');
  return Math.floor(Number(rows[0]?.[0] ?? '0')) - Number(second);
}

/** Behind a place that is given as text; LOG_LOST when it is none. */
export function knownPlace(place: LogPlace | null, stream: string): LogPlace {
  if (place !== null) return place;
  throw new ChangeoverError(
    'LOG_LOST',
    `What is kept of stream ${stream} names no place of a binary log.`,
    { data: { stream } },
  );
}
