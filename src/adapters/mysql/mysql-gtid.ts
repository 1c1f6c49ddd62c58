import { ChangeoverError } from '../../errors/index.ts';
import { Cursor, shortEvent } from './binlog-cursor.ts';
import { EVENT_HEADER_BYTES } from './binlog-events.ts';

/**
 * The transactions that lie before a place of the log. As text, which is how the servers write it and take it:
 *
 * - MariaDB: the last transaction of each domain, `domain-server-number[,…]`, by domain. Each domain has an order of its own.
 * - MySQL: the set of all transactions, `uuid:1-77:80[,…]`, by uuid.
 */
export interface GtidState {
  /** `domain-server-number` or `uuid:number`, as `GtidEvent` has it. */
  add(gtid: string): void;
  /** Empty: nothing lies before. */
  toString(): string;
}

/** LOG_LOST when it is neither of the two forms. */
export function gtidState(text: string): GtidState {
  return text.includes(':') ? new ExecutedSet(text) : new DomainState(text);
}

/** True for the text of a MySQL server's state. */
export const isExecutedSet = (text: string): boolean => text.includes(':');

const notState = (text: string): ChangeoverError =>
  new ChangeoverError(
    'LOG_LOST',
    `What is kept as the transactions before a place of the log is no GTID state: ${text}.`,
    { data: { text } },
  );

class DomainState implements GtidState {
  readonly #last = new Map<number, string>();

  constructor(text: string) {
    for (const gtid of text.split(',')) if (gtid !== '') this.add(gtid);
  }

  add(gtid: string): void {
    const domain = /^(\d+)-\d+-\d+$/.exec(gtid)?.[1];
    if (domain === undefined) throw notState(gtid);
    const isNew = !this.#last.has(Number(domain));
    this.#last.set(Number(domain), gtid);
    if (!isNew || this.#last.size === 1) return;
    const sorted = [...this.#last].sort(([one], [two]) => one - two);
    this.#last.clear();
    for (const [key, value] of sorted) this.#last.set(key, value);
  }

  toString(): string {
    return [...this.#last.values()].join(',');
  }
}

/** First and last, both in it. */
type Interval = readonly [first: bigint, last: bigint];

/** Only the text of the source that changed is made again: a server may have known many. */
class ExecutedSet implements GtidState {
  readonly #sources = new Map<string, readonly Interval[]>();
  readonly #texts = new Map<string, string>();

  constructor(text: string) {
    for (const [uuid, intervals] of parsedSet(text)) this.#set(uuid, intervals);
  }

  add(gtid: string): void {
    const at = gtid.lastIndexOf(':');
    const uuid = gtid.slice(0, at);
    const number = BigInt(gtid.slice(at + 1));
    this.#set(uuid, joined([...(this.#sources.get(uuid) ?? []), [number, number]]));
  }

  toString(): string {
    return [...this.#texts.keys()]
      .sort()
      .map((uuid) => this.#texts.get(uuid) ?? '')
      .join(',');
  }

  #set(uuid: string, intervals: readonly Interval[]): void {
    this.#sources.set(uuid, intervals);
    const parts = intervals.map(([first, last]) =>
      first === last ? `${first}` : `${first}-${last}`,
    );
    this.#texts.set(uuid, [uuid, ...parts].join(':'));
  }
}

/** In order, and without neighbours that touch. */
function joined(intervals: readonly Interval[]): readonly Interval[] {
  const sorted = [...intervals].sort(([one], [two]) => (one < two ? -1 : one > two ? 1 : 0));
  const found: Interval[] = [];
  for (const [first, last] of sorted) {
    const before = found.at(-1);
    if (before === undefined || first > before[1] + 1n) found.push([first, last]);
    else if (last > before[1]) found[found.length - 1] = [before[0], last];
  }
  return found;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function parsedSet(text: string): ReadonlyMap<string, readonly Interval[]> {
  const found = new Map<string, readonly Interval[]>();
  for (const part of text.split(',')) {
    // SHOW breaks lines behind commas.
    const [source = '', ...ranges] = part.trim().toLowerCase().split(':');
    if (!UUID.test(source)) throw notState(text);
    const intervals = ranges.map((range): Interval => {
      const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
      if (first === undefined) throw notState(text);
      return [BigInt(first), BigInt(last ?? first)];
    });
    found.set(source, joined([...(found.get(source) ?? []), ...intervals]));
  }
  return found;
}

/**
 * How COM_BINLOG_DUMP_GTID and PREVIOUS_GTIDS write a set without tags: number of sources (8 bytes), each: uuid (16), number of intervals (8), each: first and
 * one beyond the last (8 + 8).
 */
export function encodedSet(text: string): Buffer {
  const sources = [...parsedSet(text)];
  const parts = [uint64(BigInt(sources.length))];
  for (const [uuid, intervals] of sources) {
    parts.push(Buffer.from(uuid.replaceAll('-', ''), 'hex'), uint64(BigInt(intervals.length)));
    for (const [first, last] of intervals) parts.push(uint64(first), uint64(last + 1n));
  }
  return Buffer.concat(parts);
}

/** null: it holds GTIDs with tags (MySQL 8.3 and later), which are written in another way. */
export function decodedSet(bytes: Buffer): string | null {
  let at = 0;
  const next = (): bigint => {
    if (at + 8 > bytes.length) throw shortEvent();
    at += 8;
    return bytes.readBigUInt64LE(at - 8);
  };
  const sources = next();
  if (sources >> 56n !== 0n) return null;
  const texts: string[] = [];
  for (let source = 0n; source < sources; source++) {
    const uuid = dashed(bytes.subarray(at, at + 16));
    at += 16;
    const parts: string[] = [];
    const intervals = next();
    for (let index = 0n; index < intervals; index++) parts.push(`${next()}-${next() - 1n}`);
    texts.push([uuid, ...parts].join(':'));
  }
  return texts.length === 0 ? '' : gtidState(texts.join(',')).toString();
}

/** PREVIOUS_GTIDS_LOG_EVENT: what lies before its file; null: see `decodedSet`. `end`: without the checksum. */
export function previousGtids(event: Buffer, end: number): string | null {
  return decodedSet(event.subarray(EVENT_HEADER_BYTES, end));
}

const COUNT_BITS = 0x0f_ff_ff_ff;

/** MARIADB_GTID_LIST_EVENT: what lies before its file. It has one GTID for each server of a domain; the domain's last one comes last. */
export function gtidList(event: Buffer, end: number): string {
  const cursor = new Cursor(event, EVENT_HEADER_BYTES, end);
  const count = cursor.uint32() & COUNT_BITS;
  const state = new DomainState('');
  for (let index = 0; index < count; index++) {
    const domain = cursor.uint32();
    const server = cursor.uint32();
    state.add(`${domain}-${server}-${cursor.take(8).readBigUInt64LE()}`);
  }
  return state.toString();
}

function dashed(uuid: Buffer): string {
  if (uuid.length < 16) throw shortEvent();
  return uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
