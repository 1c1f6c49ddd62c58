import { FIRST_OFFSET } from './binlog-events.ts';
import { encodedSet, isExecutedSet } from './mysql-gtid.ts';
import { quoteLiteral } from './mysql-text.ts';

export interface DumpRequest {
  /** How the server knows this reader. A later reader with the same number (MySQL: with the same `uuid`) ends an earlier one. */
  readonly serverId: number;
  readonly uuid: string;
  readonly file: string;
  readonly offset: number;
  /** Not null: the server looks by itself for what follows these transactions (see `GtidState`), and passes file and offset over. */
  readonly gtids: string | null;
  /** The server sends up to the present end and says so, instead of waiting for more. */
  readonly once: boolean;
  /** So often the server says that it lives when nothing else is to be said. */
  readonly heartbeatMs: number;
}

const COM_BINLOG_DUMP = 0x12;
const COM_BINLOG_DUMP_GTID = 0x1e;
const NON_BLOCK = 1;
const THROUGH_GTID = 4;

/** Assignments behind SET that say who reads what, as a replica does. MariaDB: capability 4, so that GTID events come. */
export function dumpVariables({ uuid, gtids, heartbeatMs }: DumpRequest): readonly string[] {
  const nanoseconds = String(heartbeatMs * 1_000_000);
  const variables = ['master', 'source'].flatMap((name) => [
    // As it is in the file, whatever the server's setting is now.
    `@${name}_binlog_checksum = 'CRC32'`,
    `@${name}_heartbeat_period = ${nanoseconds}`,
  ]);
  const reader = quoteLiteral(uuid);
  variables.push(
    '@mariadb_slave_capability = 4',
    `@slave_uuid = ${reader}`,
    `@replica_uuid = ${reader}`,
  );
  // In strict mode MariaDB takes it for an error that its log lacks the GTID itself.
  if (gtids !== null && !isExecutedSet(gtids))
    variables.push(
      `@slave_connect_state = ${quoteLiteral(gtids)}`,
      '@slave_gtid_strict_mode = 1',
      '@slave_gtid_ignore_duplicates = 0',
    );
  return variables;
}

/** The command that asks for the log. MariaDB has its GTIDs from the variables. */
export function dumpPacket({ file, offset, gtids, serverId, once }: DumpRequest): Buffer {
  const flags = once ? NON_BLOCK : 0;
  if (gtids === null)
    return packet(COM_BINLOG_DUMP, uint(offset, 4), uint(flags, 2), uint(serverId, 4), file);
  if (!isExecutedSet(gtids))
    return packet(COM_BINLOG_DUMP, uint(FIRST_OFFSET, 4), uint(flags, 2), uint(serverId, 4));
  const set = encodedSet(gtids);
  const noName = uint(0, 4);
  return packet(
    COM_BINLOG_DUMP_GTID,
    uint(flags | THROUGH_GTID, 2),
    uint(serverId, 4),
    noName,
    uint(FIRST_OFFSET, 4),
    uint(0, 4),
    uint(set.length, 4),
    set,
  );
}

function packet(command: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat([uint(command, 1), ...parts.map((part) => Buffer.from(part))]);
  return Buffer.concat([uint(body.length, 3), uint(0, 1), body]);
}

function uint(value: number, bytes: number): Buffer {
  const made = Buffer.alloc(bytes);
  made.writeUIntLE(value, 0, bytes);
  return made;
}
