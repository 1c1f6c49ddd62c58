import { inflateSync } from 'node:zlib';
import { ChangeoverError } from '../../errors/index.ts';
import { Cursor, shortEvent } from './binlog-cursor.ts';

/** Event types that are looked at; MariaDB's own lie above 160. */
export const EVENT = {
  query: 2,
  stop: 3,
  rotate: 4,
  executeLoad: 18,
  format: 15,
  xid: 16,
  tableMap: 19,
  writeV0: 20,
  updateV0: 21,
  deleteV0: 22,
  writeV1: 23,
  updateV1: 24,
  deleteV1: 25,
  incident: 26,
  heartbeat: 27,
  writeV2: 30,
  updateV2: 31,
  deleteV2: 32,
  gtid: 33,
  anonymousGtid: 34,
  previousGtids: 35,
  xaPrepare: 38,
  partialUpdate: 39,
  transactionPayload: 40,
  heartbeatV2: 41,
  taggedGtid: 42,
  mariadbGtid: 162,
  mariadbGtidList: 163,
  mariadbQueryCompressed: 165,
  mariadbWriteCompressedV1: 166,
  mariadbUpdateCompressedV1: 167,
  mariadbDeleteCompressedV1: 168,
  mariadbWriteCompressedV2: 169,
  mariadbUpdateCompressedV2: 170,
  mariadbDeleteCompressedV2: 171,
} as const;

export const EVENT_HEADER_BYTES = 19;
export const CHECKSUM_BYTES = 4;

/** Where the first event of every file lies. */
export const FIRST_OFFSET = 4;

/** The server made the event for us; it is not in the file. */
const ARTIFICIAL = 0x20;

export interface EventHeader {
  /** Seconds since 1970 by the server's clock. */
  readonly timestamp: number;
  readonly type: number;
  readonly serverId: number;
  readonly size: number;
  /** End of the event in its file, modulo 2^32; 0: not in the file. */
  readonly endOffset: number;
  readonly artificial: boolean;
}

export function eventHeader(event: Buffer): EventHeader {
  if (event.length < EVENT_HEADER_BYTES) throw shortEvent();
  return {
    timestamp: event.readUInt32LE(0),
    type: event.readUInt8(4),
    serverId: event.readUInt32LE(5),
    size: event.readUInt32LE(9),
    endOffset: event.readUInt32LE(13),
    artificial: (event.readUInt16LE(17) & ARTIFICIAL) !== 0,
  };
}

export interface FormatDescription {
  readonly serverVersion: string;
  /** By event type − 1. */
  readonly postHeaderBytes: Buffer;
  /** Events of this file end in a CRC-32. */
  readonly checksum: boolean;
}

const CHECKSUM_NONE = 0;
const CHECKSUM_CRC32 = 1;

/** FORMAT_DESCRIPTION_EVENT, whole (it has a checksum even where the others of its file have none). */
export function formatDescription(event: Buffer): FormatDescription {
  const version = event.readUInt16LE(EVENT_HEADER_BYTES);
  const serverVersion = event.toString('latin1', 21, 71).replace(/\0.*$/s, '');
  if (version !== 4)
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The binary log has format ${version} (server ${serverVersion}); only format 4 can be read.`,
    );
  const algorithm = event[event.length - CHECKSUM_BYTES - 1] ?? CHECKSUM_NONE;
  if (algorithm !== CHECKSUM_NONE && algorithm !== CHECKSUM_CRC32)
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The binary log has checksums of kind ${algorithm}, which are not known. Set binlog_checksum=CRC32.`,
    );
  return {
    serverVersion,
    postHeaderBytes: event.subarray(76, event.length - CHECKSUM_BYTES - 1),
    checksum: algorithm === CHECKSUM_CRC32,
  };
}

export interface QueryEvent {
  readonly threadId: number;
  readonly database: string;
  readonly text: string;
}

/** QUERY_EVENT, EXECUTE_LOAD_QUERY_EVENT and MariaDB's compressed one. `end`: without the checksum. */
export function queryEvent(event: Buffer, type: number, end: number): QueryEvent {
  const cursor = new Cursor(event, EVENT_HEADER_BYTES, end);
  const threadId = cursor.uint32();
  cursor.offset += 4;
  const databaseBytes = cursor.uint8();
  cursor.offset += 2;
  const statusBytes = cursor.uint16();
  if (type === EVENT.executeLoad) cursor.offset += 13;
  cursor.offset += statusBytes;
  const database = cursor.text(databaseBytes);
  cursor.offset += 1;
  const rest = cursor.take(cursor.left());
  const text = type === EVENT.mariadbQueryCompressed ? uncompressed(rest) : rest;
  return { threadId, database, text: text.toString('utf8') };
}

/**
 * MariaDB's compressed events: one byte `1 aaa 0 lll` (algorithm, length of the length), the length big-endian, then a zlib stream
 * (`log_event.cc`, binlog_buf_uncompress).
 */
export function uncompressed(bytes: Buffer): Buffer {
  const first = bytes[0] ?? 0;
  const algorithm = (first & 0x70) >> 4;
  const lengthBytes = first & 0x07;
  if ((first & 0x80) === 0 || algorithm !== 0 || lengthBytes < 1 || lengthBytes > 4)
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The binary log holds an event that is compressed in an unknown way (${first}). Set log_bin_compress=OFF.`,
    );
  const length = bytes.readUIntBE(1, lengthBytes);
  const plain = inflateSync(bytes.subarray(1 + lengthBytes), { maxOutputLength: length + 1 });
  if (plain.length !== length) throw shortEvent();
  return plain;
}

/** ROTATE_EVENT: the file that comes next, and where reading begins in it. */
export function rotateEvent(
  event: Buffer,
  end: number,
): { readonly file: string; readonly offset: number } {
  const cursor = new Cursor(event, EVENT_HEADER_BYTES, end);
  const offset = cursor.uint64();
  return { file: cursor.text(cursor.left()), offset };
}

export interface GtidEvent {
  /** `domain-server-number` or `uuid:number`; empty: anonymous. */
  readonly gtid: string;
  /** One event follows (DDL), without an end of its own. */
  readonly standalone: boolean;
  /** When it committed, where the event says so more precisely than its header; ms since 1970. */
  readonly committedAtMs: number | null;
}

const STANDALONE = 1;

/** MARIADB_GTID_EVENT. */
export function mariadbGtid(event: Buffer, serverId: number): GtidEvent {
  const cursor = new Cursor(event, EVENT_HEADER_BYTES);
  const low = cursor.uint32();
  const number = (BigInt(cursor.uint32()) << 32n) | BigInt(low);
  const domain = cursor.uint32();
  const flags = cursor.uint8();
  return {
    gtid: `${domain}-${serverId}-${number}`,
    standalone: (flags & STANDALONE) !== 0,
    committedAtMs: null,
  };
}

/** Bits of the immediate commit timestamp; the 56th says that the original one follows. */
const COMMIT_TIME_BYTES = 7;
const LOGICAL_CLOCK = 2;

/** GTID_LOG_EVENT and ANONYMOUS_GTID_LOG_EVENT of MySQL: flags, uuid, number, logical clock (2 × 8 bytes), commit time in µs. */
export function mysqlGtid(event: Buffer, type: number, end: number): GtidEvent {
  const cursor = new Cursor(event, EVENT_HEADER_BYTES + 1, end);
  const uuid = cursor.take(16).toString('hex');
  const low = cursor.uint32();
  const number = (BigInt(cursor.uint32()) << 32n) | BigInt(low);
  let committedAtMs: number | null = null;
  if (cursor.left() >= 17 + COMMIT_TIME_BYTES && cursor.uint8() === LOGICAL_CLOCK) {
    cursor.offset += 16;
    const bytes = cursor.take(COMMIT_TIME_BYTES);
    const micros = (bytes.readUIntLE(0, 6) + ((bytes[6] ?? 0) & 0x7f) * 2 ** 48) / 1000;
    committedAtMs = micros > 0 ? micros : null;
  }
  const dashed = uuid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  const gtid = type === EVENT.gtid ? `${dashed}:${number}` : '';
  return { gtid, standalone: false, committedAtMs };
}

/** XA_PREPARE_LOG_EVENT: the branch, as it is called in `XA COMMIT X'…',X'…',format`. */
export function xaPrepare(
  event: Buffer,
  end: number,
): { readonly onePhase: boolean; readonly branch: string } {
  const cursor = new Cursor(event, EVENT_HEADER_BYTES, end);
  const onePhase = cursor.uint8() !== 0;
  const format = cursor.uint32();
  const globalBytes = cursor.uint32();
  const branchBytes = cursor.uint32();
  const global = cursor.take(globalBytes).toString('hex');
  const branch = cursor.take(branchBytes).toString('hex');
  return { onePhase, branch: xaBranch(global, branch, String(format)) };
}

/** One spelling for a branch, from its hexadecimal parts. */
export function xaBranch(global: string, branch: string, format: string): string {
  return `${global.toLowerCase()},${branch.toLowerCase()},${format}`;
}
