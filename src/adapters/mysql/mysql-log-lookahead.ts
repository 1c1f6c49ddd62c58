import {
  CHECKSUM_BYTES,
  EVENT,
  eventHeader,
  formatDescription,
  queryEvent,
} from './binlog-events.ts';
import { loggedStatement } from './binlog-query.ts';
import type { LogPlace } from './mysql-log-items.ts';
import type { LogServer } from './mysql-log-server.ts';
import type { PublishedTable, PublishedTables } from './mysql-log-tables.ts';

/**
 * True when the log holds, from `from` to its present end, more than one statement that may change this table's form: the one that was just read stands at
 * `from` itself. Reads everything in between once more, so only where it has to be known (`FormHistory`).
 */
export async function isAlteredAgain(
  server: LogServer,
  published: PublishedTables,
  table: PublishedTable,
  from: Pick<LogPlace, 'file' | 'offset'>,
): Promise<boolean> {
  const dump = await server.glance(from);
  let checksum = true;
  let found = 0;
  try {
    for (;;) {
      const event = dump.poll() ?? (await dump.next());
      if (event === null) return false;
      const { type } = eventHeader(event);
      if (type === EVENT.format) checksum = formatDescription(event).checksum;
      if (type !== EVENT.query && type !== EVENT.mariadbQueryCompressed) continue;
      const query = queryEvent(event, type, event.length - (checksum ? CHECKSUM_BYTES : 0));
      const statement = loggedStatement(query.text, query.database);
      if (statement.kind !== 'form') continue;
      if (statement.tables.some((one) => published.find(one.schema, one.name) === table))
        found += 1;
      if (found > 1) return true;
    }
  } finally {
    dump.close();
  }
}
