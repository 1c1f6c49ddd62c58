import { crc32 } from 'node:zlib';
import { ChangeoverError } from '../../errors/index.ts';
import {
  CHECKSUM_BYTES,
  EVENT,
  type EventHeader,
  eventHeader,
  formatDescription,
  type GtidEvent,
  mariadbGtid,
  mysqlGtid,
  queryEvent,
  rotateEvent,
  xaPrepare,
} from './binlog-events.ts';
import { isRowEvent, tableIdOf } from './binlog-rows.ts';
import { tableMapHead } from './binlog-table-map.ts';
import { gtidList, previousGtids } from './mysql-gtid.ts';
import type { LogDirectory, TableEntry } from './mysql-log-directory.ts';
import { unreadable } from './mysql-log-errors.ts';
import { isReachable, type LogItem, type LogPlace, positionAt } from './mysql-log-items.ts';
import { LogStatements } from './mysql-log-statements.ts';
import { PlaceTracker } from './mysql-log-tracker.ts';
import { LogTransaction } from './mysql-log-transaction.ts';

export interface AssemblerOptions {
  readonly from: LogPlace;
  /** The server was asked by `from.gtids`. */
  readonly byGtid: boolean;
  /** From so many bytes on, a transaction is handed on before its end is known. */
  readonly releaseBytes: number;
  readonly sink: (item: LogItem) => void;
}

/** Rows of prepared transactions (XA) are kept in memory until they are decided. */
const PREPARED_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Events in, items of committed transactions out.
 *
 * State: before the first file → between transactions ⇄ in a transaction. A transaction begins with its GTID event (or BEGIN) and ends with XID, COMMIT,
 * ROLLBACK, XA PREPARE, or with its only statement. Prepared transactions wait until they are decided; meanwhile the position stays before the oldest,
 * so that reading on from there finds their rows again.
 *
 * Only transactions that committed are in the log, in commit order, each in one piece, and the server sends them whole: what has begun to arrive
 * has committed (XA and ROLLBACK aside, see `LogTransaction`).
 */
export class LogAssembler {
  readonly #directory: LogDirectory;
  readonly #statements: LogStatements;
  readonly #options: AssemblerOptions;
  readonly #tracker: PlaceTracker;
  #checksum = true;
  #mariadb = false;
  #transaction: LogTransaction | null = null;
  readonly #tables = new Map<number, TableEntry | null>();
  readonly #prepared = new Map<string, readonly LogItem[]>();
  #preparedBytes = 0;
  #transactions = 0;

  constructor(directory: LogDirectory, options: AssemblerOptions) {
    this.#directory = directory;
    this.#statements = new LogStatements(directory);
    this.#options = options;
    this.#tracker = new PlaceTracker(options.from, options.byGtid);
  }

  /** The first file's format has come: the log is there, and it can be read. */
  get opened(): boolean {
    return this.#tracker.opened;
  }

  /** Behind the last event. */
  get place(): LogPlace {
    return this.#tracker.place;
  }

  /** Read so far, without those that only keep what is kept of streams. */
  get transactions(): number {
    return this.#transactions;
  }

  /** Takes an event in. A promise when something has to be looked up first: the next event has to wait for it. */
  feed(event: Buffer): void | Promise<void> {
    const header = eventHeader(event);
    if (header.type === EVENT.format) return this.#format(event, header);
    if (header.type === EVENT.rotate && !this.opened) return this.#rotate(event, header);
    if (this.#checksum) verifyChecksum(event, this.#tracker.file, header);
    const end = event.length - (this.#checksum ? CHECKSUM_BYTES : 0);
    if (header.type === EVENT.heartbeat || header.type === EVENT.heartbeatV2 || isNote(header)) {
      this.#tracker.told(header);
      return;
    }
    const stands = header.endOffset !== 0 && !header.artificial;
    // What stands before our place is the head of a file that was read.
    if (stands && !this.#tracker.move(header)) return;
    return this.#take(event, header, end);
  }

  #take(event: Buffer, header: EventHeader, end: number): void | Promise<void> {
    const { type } = header;
    if (isRowEvent(type)) return this.#rows(event, type, end);
    switch (type) {
      case EVENT.tableMap:
        return this.#map(event, end);
      case EVENT.mariadbGtid:
        return this.#begin(mariadbGtid(event, header.serverId), event, end);
      case EVENT.gtid:
      case EVENT.anonymousGtid:
        return this.#begin(mysqlGtid(event, type, end), event, end);
      case EVENT.taggedGtid:
        // Followed by file and offset.
        return this.#begin({ gtid: '', standalone: false, committedAtMs: null }, event, end);
      case EVENT.mariadbGtidList:
        return this.#tracker.before(gtidList(event, end));
      case EVENT.previousGtids:
        return this.#tracker.before(previousGtids(event, end) || null);
      case EVENT.xid:
        return this.#commit(header);
      case EVENT.query:
      case EVENT.executeLoad:
      case EVENT.mariadbQueryCompressed:
        return this.#query(event, header, end);
      case EVENT.xaPrepare:
        return this.#prepare(event, header, end);
      case EVENT.rotate:
        return this.#rotate(event, header);
      default:
        unreadable(type, this.#tracker.text);
        return;
    }
  }

  #format(event: Buffer, header: EventHeader): void {
    const { checksum, serverVersion } = formatDescription(event);
    if (checksum) verifyChecksum(event, this.#tracker.file, header);
    this.#checksum = checksum;
    this.#mariadb = /mariadb/i.test(serverVersion);
    this.#tables.clear();
    // A server that crashed while it wrote: what has no end did not happen.
    this.#transaction?.rollback();
    this.#transaction = null;
    if (this.#tracker.format(header)) this.#place(null);
  }

  /** The server says so itself when the file begins, before it comes (artificial), and where the file ends. */
  #rotate(event: Buffer, header: EventHeader): void {
    const checked = hasChecksum(event);
    const { file, offset } = rotateEvent(event, event.length - (checked ? CHECKSUM_BYTES : 0));
    if (!header.artificial && header.endOffset !== 0) return;
    this.#tracker.rotate(file, offset);
  }

  #begin({ gtid, standalone, committedAtMs }: GtidEvent, event: Buffer, end: number): void {
    this.#tracker.begin(gtid, event, end);
    this.#transaction = this.#open(this.#mariadb && !standalone, committedAtMs);
  }

  #open(begun: boolean, committedAtMs: number | null): LogTransaction {
    const { sequence, text } = this.#tracker;
    return new LogTransaction(sequence, text, begun, committedAtMs);
  }

  #map(event: Buffer, end: number): void | Promise<void> {
    const transaction = this.#current();
    const head = tableMapHead(event, end, 6);
    const entry = this.#directory.entry(event, end, head, this.#mariadb, transaction.sequence);
    if (!(entry instanceof Promise)) {
      this.#tables.set(head.id, entry);
      return;
    }
    return entry.then((found) => {
      this.#tables.set(head.id, found);
    });
  }

  #rows(event: Buffer, type: number, end: number): void {
    const transaction = this.#current();
    transaction.begun = true;
    const entry = this.#tables.get(tableIdOf(event)) ?? null;
    transaction.firstRow(entry?.kind === 'mark');
    if (entry?.kind === 'kept') return;
    transaction.foreign = true;
    if (entry === null || entry.kind === 'mark' || transaction.marked) return;
    // The event is a view into what was received.
    const copy = Buffer.from(event);
    if (entry.kind === 'challenge') {
      for (const token of entry.tokens(copy, type, end))
        transaction.add({ kind: 'challenge', token });
      return;
    }
    const { table } = entry;
    transaction.add({
      kind: 'rows',
      table,
      event: copy,
      type,
      end,
      sequence: transaction.sequence,
    });
    if (transaction.xa || transaction.bytes < this.#options.releaseBytes) return;
    for (const item of transaction.take()) this.#options.sink(item);
  }

  #query(event: Buffer, header: EventHeader, end: number): void | Promise<void> {
    const query = queryEvent(event, header.type, end);
    const transaction = this.#current();
    const effect = this.#statements.take(query, transaction, header.type === EVENT.executeLoad);
    if (!(effect instanceof Promise)) return this.#effect(effect, transaction, header);
    return effect.then((late) => this.#effect(late, transaction, header));
  }

  #effect(
    effect: Awaited<ReturnType<LogStatements['take']>>,
    transaction: LogTransaction,
    header: EventHeader,
  ): void {
    if (effect.kind === 'decided') {
      this.#decide(effect.branch, effect.committed, header);
      return;
    }
    if (effect.kind === 'rollback') transaction.rollback();
    if (effect.kind !== 'go on' || !transaction.begun) this.#commit(header);
  }

  #commit(header: EventHeader): void {
    const transaction = this.#current();
    this.#transaction = null;
    if (transaction.foreign) this.#transactions += 1;
    for (const item of transaction.take()) this.#options.sink(item);
    this.#tracker.complete();
    this.#place(transaction.committedAtMs ?? header.timestamp * 1000);
  }

  /** Behind a transaction, or at the head of a file. */
  #place(committedAtMs: number | null): void {
    const stays = this.#prepared.size > 0 || !isReachable(this.#tracker.offset);
    this.#options.sink({
      kind: 'end',
      position: stays ? null : positionAt(this.place),
      committedAtMs,
    });
  }

  #prepare(event: Buffer, header: EventHeader, end: number): void {
    const { onePhase, branch } = xaPrepare(event, end);
    if (onePhase) {
      this.#commit(header);
      return;
    }
    const transaction = this.#current();
    this.#transaction = null;
    this.#preparedBytes += transaction.bytes;
    const items = transaction.take();
    if (items.length > 0) this.#prepared.set(branch, items);
    if (this.#preparedBytes > PREPARED_BYTES_MAX)
      throw new ChangeoverError(
        'LOG_UNSUPPORTED',
        `Prepared transactions (XA) that wait for their decision hold more than ${PREPARED_BYTES_MAX} bytes of rows of the migration's tables. Decide them (XA RECOVER lists them).`,
      );
    this.#tracker.complete();
    this.#place(null);
  }

  /**
   * A branch that is not known has no rows of ours: else the position would lie before it (and the stream did not begin while one was open). Its version is
   * that of the decision: only then could anybody see it.
   */
  #decide(branch: string, committed: boolean, header: EventHeader): void {
    const items = this.#prepared.get(branch) ?? [];
    this.#prepared.delete(branch);
    if (this.#prepared.size === 0) this.#preparedBytes = 0;
    const { sequence } = this.#current();
    for (const item of committed ? items : [])
      this.#options.sink(
        item.kind === 'rows' || item.kind === 'truncate' ? { ...item, sequence } : item,
      );
    this.#commit(header);
  }

  /** Servers without GTID events begin with BEGIN, or with the statement itself. */
  #current(): LogTransaction {
    this.#transaction ??= this.#open(false, null);
    return this.#transaction;
  }
}

/** MariaDB tells by a list of its own making how far it has left out what was read. */
const isNote = ({ type, artificial }: EventHeader): boolean =>
  artificial && type === EVENT.mariadbGtidList;

function hasChecksum(event: Buffer): boolean {
  const body = event.length - CHECKSUM_BYTES;
  return crc32(event.subarray(0, body)) === event.readUInt32LE(body);
}

function verifyChecksum(event: Buffer, file: string, { endOffset, type }: EventHeader): void {
  if (hasChecksum(event)) return;
  throw new ChangeoverError(
    'STORE_UNAVAILABLE',
    `The checksum of the event of type ${type} that ends at ${file}:${endOffset} does not fit: it was damaged on its way, or in the log itself. It is asked for again.`,
    { data: { file, endOffset, type } },
  );
}
