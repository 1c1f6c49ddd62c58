import {
  CHECKSUM_BYTES,
  EVENT,
  type EventHeader,
  eventHeader,
  FIRST_OFFSET,
  formatDescription,
  mariadbGtid,
  mysqlGtid,
} from './binlog-events.ts';
import type { Dump } from './mysql-dump.ts';
import { type GtidState, gtidState, previousGtids } from './mysql-gtid.ts';
import { anotherFile, anotherHistory, noEventAt } from './mysql-log-errors.ts';
import type { LogPlace } from './mysql-log-items.ts';
import type { LogServer } from './mysql-log-server.ts';
import { eventSum } from './mysql-log-tracker.ts';

const OFFSETS = 4_294_967_296;

/** An event that stands in the file. */
interface Standing {
  readonly event: Buffer;
  readonly header: EventHeader;
  /** Without the checksum. */
  readonly end: number;
}

/**
 * Throws LOG_LOST unless the log is the one that was read up to `place`: the file is that of its stamp, and where it is known, the last transaction before the
 * place is the same one. Offsets and GTIDs alone do not tell that: a server that was set back writes on in its old files, counts on, and comes by the same
 * places and numbers again where its transactions are alike.
 */
export async function checkPlace(server: LogServer, place: LogPlace): Promise<void> {
  const { file, offset, last, stamp } = place;
  const dump = await server.glance({ file, offset: last?.offset ?? offset });
  try {
    const found = await nextStanding(dump, (begun) => {
      if (stamp !== null && begun !== stamp) throw anotherFile(place, begun);
    });
    const start = found === null ? null : startOf(found.header);
    if (last === null) {
      if (start !== null && start !== offset) throw noEventAt(place, start);
      return;
    }
    if (found !== null && start === last.offset && eventSum(found.event, found.end) === last.sum)
      return;
    const what = found === null ? 'the log ends before' : whatOf(found);
    throw anotherHistory(
      place,
      `at ${file}:${last.offset}, where its last transaction begins, ${what}`,
    );
  } finally {
    dump.close();
  }
}

/** The header counts modulo 2^32; places that are asked for lie before it. */
const startOf = ({ endOffset, size }: EventHeader): number =>
  (endOffset - size + OFFSETS) % OFFSETS;

function whatOf({ event, header, end }: Standing): string {
  const second = new Date(header.timestamp * 1000).toISOString();
  const gtid =
    header.type === EVENT.mariadbGtid
      ? mariadbGtid(event, header.serverId).gtid
      : header.type === EVENT.gtid
        ? mysqlGtid(event, header.type, end).gtid
        : '';
  const name = gtid === '' ? `an event of type ${header.type}` : `GTID ${gtid}`;
  return `stands another one: ${name} of ${second}`;
}

/** null: the log ends. @param begun is told the stamp of the file */
async function nextStanding(
  dump: Dump,
  begun: (stamp: string) => void = () => {},
): Promise<Standing | null> {
  let checksum = true;
  for (;;) {
    const event = await dump.next();
    if (event === null) return null;
    const header = eventHeader(event);
    if (header.type === EVENT.format) {
      ({ checksum } = formatDescription(event));
      begun(`${header.serverId}-${header.timestamp}`);
    }
    if (header.endOffset === 0 || header.artificial) continue;
    return { event, header, end: event.length - (checksum ? CHECKSUM_BYTES : 0) };
  }
}

/** How long the server may read in one file of its log. */
const SCAN_MS = 120_000;

/** The transactions before a place (see `GtidState`); null: the server has no GTIDs, or some that are not followed (with tags). */
export async function gtidsAt(
  server: LogServer,
  file: string,
  offset: number,
): Promise<string | null> {
  if (!(await server.hasGtids())) return null;
  const { gtidsQuery } = await server.session.flavour();
  if (gtidsQuery === null) return scanned(server, file, offset);
  const { rows } = await server.session.query(gtidsQuery(file, offset), {
    timeoutMs: SCAN_MS,
    what: 'lookup of the GTIDs before a place of the binary log',
  });
  return rows[0]?.[0] || null;
}

/** MySQL has nothing that tells it without further privileges: the file is read up to there. */
async function scanned(server: LogServer, file: string, offset: number): Promise<string | null> {
  const dump = await server.glance({ file, offset: FIRST_OFFSET });
  let state: GtidState | null = null;
  let reached = 0;
  try {
    for (;;) {
      const found = await nextStanding(dump);
      const isOver =
        found !== null && found.header.type === EVENT.format && startOf(found.header) < reached;
      if (found === null || isOver || startOf(found.header) >= offset)
        return state?.toString() ?? null;
      const { event, header, end } = found;
      reached = startOf(header);
      if (header.type === EVENT.previousGtids) {
        const before = previousGtids(event, end);
        if (before === null) return null;
        state = before === '' ? null : gtidState(before);
      } else if (header.type === EVENT.gtid) {
        const { gtid } = mysqlGtid(event, header.type, end);
        if (state === null) state = gtidState(gtid);
        else state.add(gtid);
      } else if (header.type === EVENT.anonymousGtid || header.type === EVENT.taggedGtid)
        return null;
    }
  } finally {
    dump.close();
  }
}
