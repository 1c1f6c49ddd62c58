import { ChangeoverError } from '../../errors/index.ts';
import {
  type LogChange,
  type LogColumn,
  type LogTable,
  type LogValue,
  unchanged,
} from '../../log/index.ts';
import { typeName } from './postgres-type-name.ts';

/** What the decoder tells, in the order of the log. */
export interface PgoutputHandler {
  /** @param sequence LSN of the commit record, by which transactions are ordered */
  begin(sequence: bigint, committedAtMs: number, xid: string): void;
  /** A table of which the first row follows, or the first one in a new form. */
  describe(table: LogTable): void;
  /** @param bytes what it took in the log */
  change(change: LogChange, bytes: number): void;
  /** A transactional message (`pg_logical_emit_message`) of anybody. */
  message(prefix: string, content: string): void;
  commit(): void;
}

/** From 1970 to PostgreSQL's own zero, 2000-01-01. */
export const POSTGRES_EPOCH_MS = 946_684_800_000;

const LETTER = (text: string): number => text.charCodeAt(0);
const BEGIN = LETTER('B');
const COMMIT = LETTER('C');
const ORIGIN = LETTER('O');
const RELATION = LETTER('R');
const TYPE = LETTER('Y');
const INSERT = LETTER('I');
const UPDATE = LETTER('U');
const DELETE = LETTER('D');
const TRUNCATE = LETTER('T');
const MESSAGE = LETTER('M');
const KEY_TUPLE = LETTER('K');
const OLD_TUPLE = LETTER('O');
const NEW_TUPLE = LETTER('N');
const NULL_VALUE = LETTER('n');
const UNCHANGED_VALUE = LETTER('u');
const TEXT_VALUE = LETTER('t');

const CUT_BYTES_MAX = 100;
const CHUNK_BYTES_MAX = 256 * 1024;

/**
 * Decodes pgoutput, protocol version 1, text values (PostgreSQL manual, "Logical Replication Message Formats"). Values stay the server's text. A large value that an
 * update did not touch is taken from the old row where the log has that (REPLICA IDENTITY FULL, or a column of the identity), else it is `unchanged`.
 *
 * Keeps a table's object for as long as its description is the same, although the server repeats it.
 */
export class PgoutputDecoder {
  readonly #handler: PgoutputHandler;
  readonly #tables = new Map<number, LogTable>();
  readonly #used = new WeakSet<LogTable>();
  readonly #types = new Map<number, string>();
  #sequence = 0n;
  #data: Buffer = Buffer.alloc(0);
  #at = 0;
  /** What `#chunkText` is of. */
  #chunk: Buffer | null = null;
  #chunkText = '';

  constructor(handler: PgoutputHandler) {
    this.#handler = handler;
  }

  /** One message, at `start` … `end` of `data`, which must not change afterwards. Values may share one string for the whole of `data`. */
  decode(data: Buffer, start: number, end: number): void {
    this.#data = data;
    this.#at = start + 1;
    const kind = data[start];
    switch (kind) {
      case INSERT:
      case UPDATE:
      case DELETE:
        this.#handler.change(this.#row(kind), end - start);
        break;
      case BEGIN:
        this.#begin();
        break;
      case COMMIT:
        this.#handler.commit();
        break;
      case RELATION:
        this.#relation();
        break;
      case TYPE:
        this.#type();
        break;
      case TRUNCATE:
        this.#truncate();
        break;
      case MESSAGE:
        this.#message();
        break;
      case ORIGIN:
        break;
      default:
        throw new ChangeoverError(
          'BUG',
          `The server sent a pgoutput message of the unknown kind ${kind}.`,
        );
    }
  }

  #begin(): void {
    const data = this.#data;
    this.#sequence = data.readBigUInt64BE(this.#at);
    const committedAtMs = epochMs(data.readBigInt64BE(this.#at + 8));
    this.#handler.begin(this.#sequence, committedAtMs, String(data.readUInt32BE(this.#at + 16)));
  }

  #row(kind: number): LogChange {
    const table = this.#table();
    const sequence = this.#sequence;
    if (kind === INSERT) {
      this.#at += 1;
      return { table, kind: 'insert', before: null, after: this.#tuple(table), sequence };
    }
    const mark = this.#data[this.#at];
    let before: LogValue[] | null = null;
    if (mark === KEY_TUPLE || mark === OLD_TUPLE) {
      this.#at += 1;
      before = this.#tuple(table);
      if (mark === KEY_TUPLE) onlyIdentity(table, before);
    }
    if (kind === DELETE) return { table, kind: 'delete', before, after: null, sequence };
    if (this.#data[this.#at] !== NEW_TUPLE) throw malformed(table);
    this.#at += 1;
    const after = this.#tuple(table);
    if (before !== null) complete(after, before);
    return { table, kind: 'update', before, after, sequence };
  }

  #table(): LogTable {
    const oid = this.#uint32();
    const table = this.#tables.get(oid);
    if (table) {
      // Partitions are described beside their root, but their rows come as the root's.
      if (!this.#used.has(table)) this.#handler.describe(table);
      this.#used.add(table);
      return table;
    }
    throw new ChangeoverError(
      'BUG',
      `The log holds a row of table ${oid}, which it never described.`,
    );
  }

  #tuple(table: LogTable): LogValue[] {
    const data = this.#data;
    let at = this.#at;
    const count = ((data[at] as number) << 8) | (data[at + 1] as number);
    at += 2;
    if (count !== table.columns.length) throw malformed(table);
    const values: LogValue[] = new Array(count);
    for (let index = 0; index < count; index += 1) {
      const kind = data[at];
      at += 1;
      if (kind === TEXT_VALUE) {
        const length = data.readUInt32BE(at);
        at += 4;
        values[index] = this.#text(at, at + length, table);
        at += length;
      } else if (kind === NULL_VALUE) values[index] = null;
      else if (kind === UNCHANGED_VALUE) values[index] = unchanged;
      else throw malformed(table);
    }
    this.#at = at;
    return values;
  }

  /**
   * Short ASCII texts are cut out of the chunk, which is made a string once: a call into the runtime for each value costs more than the rest of the decoding.
   */
  #text(start: number, end: number, table: LogTable): string {
    const data = this.#data;
    if (end - start > CUT_BYTES_MAX || data.length > CHUNK_BYTES_MAX)
      return textAt(data, start, end, table);
    for (let at = start; at < end; at += 1) {
      if ((data[at] as number) > 127) return textAt(data, start, end, table);
    }
    if (this.#chunk !== data) {
      this.#chunk = data;
      this.#chunkText = data.toString('latin1');
    }
    return this.#chunkText.substring(start, end);
  }

  #relation(): void {
    const oid = this.#uint32();
    const schema = this.#string() || 'pg_catalog';
    const name = this.#string();
    // The kind of identity follows from the columns' marks.
    this.#at += 1;
    const count = this.#uint16();
    const columns: LogColumn[] = [];
    for (let index = 0; index < count; index += 1) {
      const key = (this.#uint8() & 1) === 1;
      const column = this.#string();
      const type = this.#uint32();
      const modifier = this.#data.readInt32BE(this.#at);
      this.#at += 4;
      const declared = this.#types.get(type) ?? typeName(type, modifier);
      columns.push({ name: column, type: declared, key });
    }
    const known = this.#tables.get(oid);
    const table: LogTable = { schema, name, columns };
    if (known === undefined || !sameForm(known, table)) this.#tables.set(oid, table);
  }

  #type(): void {
    const oid = this.#uint32();
    const schema = this.#string();
    const name = this.#string();
    this.#types.set(oid, schema === '' ? name : `${schema}.${name}`);
  }

  #truncate(): void {
    const count = this.#uint32();
    // Options CASCADE and RESTART IDENTITY: the tables of a cascade are listed by themselves.
    this.#at += 1;
    for (let index = 0; index < count; index += 1) {
      const table = this.#table();
      const sequence = this.#sequence;
      this.#handler.change({ table, kind: 'truncate', before: null, after: null, sequence }, 16);
    }
  }

  #message(): void {
    const transactional = (this.#uint8() & 1) === 1;
    // Its LSN.
    this.#at += 8;
    const prefix = this.#string();
    const length = this.#uint32();
    if (!transactional) return;
    this.#handler.message(prefix, this.#data.toString('utf8', this.#at, this.#at + length));
  }

  #uint8(): number {
    const value = this.#data[this.#at] as number;
    this.#at += 1;
    return value;
  }

  #uint16(): number {
    const value = this.#data.readUInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  #uint32(): number {
    const value = this.#data.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  #string(): string {
    const end = this.#data.indexOf(0, this.#at);
    const text = this.#data.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }
}

/** Microseconds since 2000 → milliseconds since 1970. */
function epochMs(microseconds: bigint): number {
  return Number(microseconds) / 1000 + POSTGRES_EPOCH_MS;
}

/** A key tuple has NULL for every column that is not of the identity: those are not in the log. */
function onlyIdentity(table: LogTable, before: LogValue[]): void {
  const { columns } = table;
  for (let index = 0; index < before.length; index += 1) {
    if (columns[index]?.key !== true) before[index] = unchanged;
    else if (before[index] === null) throw mixedIdentity(table);
  }
}

/** What the update left as it was stands in the old row, where the log has it. */
function complete(after: LogValue[], before: readonly LogValue[]): void {
  for (let index = 0; index < after.length; index += 1) {
    if (after[index] === unchanged) after[index] = before[index] as LogValue;
  }
}

function textAt(data: Buffer, start: number, end: number, table: LogTable): string {
  try {
    return data.toString('utf8', start, end);
  } catch (cause) {
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `A value of ${end - start} bytes in table ${table.schema}.${table.name} is longer than a text can be here (512 MB): make the column smaller, or leave the table out of the migration.`,
      { cause, data: { table: `${table.schema}.${table.name}`, bytes: end - start } },
    );
  }
}

function sameForm(a: LogTable, b: LogTable): boolean {
  return (
    a.schema === b.schema &&
    a.name === b.name &&
    a.columns.length === b.columns.length &&
    a.columns.every((column, index) => {
      const other = b.columns[index];
      return column.name === other?.name && column.type === other.type && column.key === other.key;
    })
  );
}

function malformed(table: LogTable): ChangeoverError {
  return new ChangeoverError(
    'BUG',
    `A row of ${table.schema}.${table.name} in the log does not have the form that the log described.`,
  );
}

/** Partitions whose identity is another one than their root's: the log marks the root's columns and fills in the partition's. */
function mixedIdentity({ schema, name }: LogTable): ChangeoverError {
  return new ChangeoverError(
    'LOG_UNSUPPORTED',
    `An old row of ${schema}.${name} comes without a value in its identity: a partition has another REPLICA IDENTITY than the table. Give all of them the same (ALTER TABLE … REPLICA IDENTITY …), then abort and start anew.`,
    { data: { table: `${schema}.${name}` } },
  );
}
