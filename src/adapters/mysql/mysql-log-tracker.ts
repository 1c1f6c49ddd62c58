import { crc32 } from 'node:zlib';
import { EVENT, type EventHeader } from './binlog-events.ts';
import { type GtidState, gtidState } from './mysql-gtid.ts';
import { anotherFile, anotherHistory, noEventAt } from './mysql-log-errors.ts';
import { fileNumber, type LogPlace, type LogWitness, sequenceAt } from './mysql-log-items.ts';

const OFFSETS = 4_294_967_296;

const BEGINNINGS: ReadonlySet<number> = new Set([
  EVENT.gtid,
  EVENT.anonymousGtid,
  EVENT.taggedGtid,
  EVENT.mariadbGtid,
]);

/**
 * Follows where in the log the reader stands, and refuses a log that is not the one that was read before (LOG_LOST).
 *
 * A server that was asked by GTID looks for the place itself: it begins with the head of a file, leaves out the transactions that we have, and goes on without
 * a gap. So what comes first behind the head has to begin exactly at our offset; or the server has found out that nothing follows in our file, and begins
 * with a later one.
 */
export class PlaceTracker {
  readonly #from: LogPlace;
  readonly #byGtid: boolean;
  #file: string;
  /** Of the event that is being read, and behind it. Beyond 2^32 in a file that a huge transaction made long. */
  #start = 0;
  #end: number;
  #stamp: string | null = null;
  #opened = false;
  /** The first event of our own has come. */
  #checked = false;
  #gtids: GtidState | null;
  #last: LogWitness | null;
  /** The transaction that is being read. */
  #begun: { readonly gtid: string; readonly witness: LogWitness } | null = null;

  /** @param byGtid the server was asked for what follows `from.gtids`, not for file and offset */
  constructor(from: LogPlace, byGtid: boolean) {
    this.#from = from;
    this.#byGtid = byGtid;
    this.#file = from.file;
    this.#end = from.offset;
    this.#gtids = from.gtids === null ? null : gtidState(from.gtids);
    this.#last = from.last;
  }

  /** The first file's format has come: it is there, it is the file that was asked for, and it can be read. */
  get opened(): boolean {
    return this.#opened;
  }

  get file(): string {
    return this.#file;
  }

  /** Behind the last event. */
  get place(): LogPlace {
    return {
      file: this.#file,
      offset: this.#end,
      stamp: this.#stamp,
      gtids: this.#gtids?.toString() || null,
      last: this.#last,
    };
  }

  /** Behind the last event. */
  get offset(): number {
    return this.#end;
  }

  /** Of the event that is being read. */
  get sequence(): bigint {
    return sequenceAt(this.#file, this.#start);
  }

  /** Of the event that is being read, for messages. */
  get text(): string {
    return `${this.#file}:${this.#start}`;
  }

  /** A file begins, or reading in the midst of it. True: the event stands in the file, behind all that was read. */
  format(header: EventHeader): boolean {
    this.#stamp = `${header.serverId}-${header.timestamp}`;
    const { file, stamp } = this.#from;
    // RESET MASTER, another server, an older copy: files of the same name that were begun at another time, or by another server.
    if (!this.#opened && this.#file === file && stamp !== null && stamp !== this.#stamp)
      throw anotherFile(this.#from, this.#stamp);
    this.#opened = true;
    this.#begun = null;
    return header.endOffset !== 0 && this.move(header);
  }

  /** The server says which file comes, and from where on. */
  rotate(file: string, offset: number): void {
    if (this.#file === file && !this.#opened) return;
    if (!this.#opened && !(this.#byGtid && fileNumber(file) > fileNumber(this.#file)))
      throw anotherHistory(this.#from, `the server begins to send file ${file}`);
    this.#file = file;
    this.#end = offset;
    this.#last = null;
  }

  /** Follows the offsets. False: the event lies before our place, at the head of the file. */
  move({ endOffset, size, type }: EventHeader): boolean {
    const { offset, file } = this.#from;
    const isFirst = !this.#checked && this.#file === file;
    if (isFirst && this.#byGtid && endOffset <= offset) {
      if (!BEGINNINGS.has(type)) return false;
      throw anotherHistory(
        this.#from,
        `the server sends a transaction before it, at ${file}:${endOffset - size}, as one that was not read yet`,
      );
    }
    let end = Math.floor(this.#end / OFFSETS) * OFFSETS + endOffset;
    if (end < this.#end) end += OFFSETS;
    this.#start = end - size;
    this.#end = end;
    this.#checked = true;
    if (isFirst && this.#start !== offset) throw noEventAt(this.#from, this.#start);
    return true;
  }

  /** The server tells where it stands (heartbeat, or behind a transaction that it left out): it may not have left out what follows our place. */
  told({ endOffset }: EventHeader): void {
    const { offset, file } = this.#from;
    if (!this.#byGtid || this.#checked || this.#file !== file || endOffset <= offset) return;
    throw anotherHistory(
      this.#from,
      `the server counts what follows there, up to ${file}:${endOffset}, among the transactions that were read`,
    );
  }

  /** The head of a file tells what lies before it. null: it cannot be told. */
  before(gtids: string | null): void {
    this.#gtids = gtids === null ? null : gtidState(gtids);
  }

  /** A transaction begins with this event. @param gtid empty: it has none, or one that cannot be followed */
  begin(gtid: string, event: Buffer, end: number): void {
    this.#begun = { gtid, witness: { offset: this.#start, sum: eventSum(event, end) } };
  }

  /** The transaction is complete. */
  complete(): void {
    const { gtid, witness } = this.#begun ?? { gtid: '', witness: null };
    this.#begun = null;
    this.#last = witness;
    if (gtid === '') this.#gtids = null;
    else this.#gtids?.add(gtid);
  }
}

/** See `LogWitness`. `end`: without the checksum. */
export function eventSum(event: Buffer, end: number): string {
  return crc32(event.subarray(0, end)).toString(16).padStart(8, '0');
}
