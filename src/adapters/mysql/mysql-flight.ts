import mysql from 'mysql2';
import { ChangeoverError } from '../../errors/index.ts';
import type { Scalar } from '../../record/index.ts';
import type { Clock } from '../../runtime/index.ts';
import { readValue, type WireColumn } from './mysql-wire-values.ts';

/** Exact rows: each value as canonical text (see `mysql-wire-values`), in the order of the select list. */
export interface SqlResult {
  readonly rows: readonly (readonly Scalar[])[];
  /** Rows that the statement matched (FOUND_ROWS is on: also those that an UPDATE left as they were); for INSERT … ON DUPLICATE KEY UPDATE 1 for each insert, 2 for each update (1 when nothing changed). */
  readonly count: number;
  /** First AUTO_INCREMENT number that the statement drew; 0n: none. */
  readonly insertId: bigint;
}

/** The part of a mysql2 packet that is read here. Buffers are reused: nothing of them is kept. */
interface WirePacket {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  isError(): boolean;
  asError(encoding: string): Error;
}

/** The part of a mysql2 connection that a command sees. */
interface Wire {
  readonly clientEncoding: string;
  _resetSequenceId(): void;
}

const MORE_RESULTS = 0x08;

/** Takes rows as they come, instead of their being kept: bytes of one row in a buffer that is used again. */
export type RowSink = (buffer: Buffer, from: number, end: number) => void;
/** Called when the columns of a result are known. */
export type BeginRows = (columns: readonly WireColumn[]) => RowSink;

/**
 * Several statements in one round trip (one COM_QUERY, CLIENT_MULTI_STATEMENTS): the server runs them in order and the first error ends the
 * rest. Each statement gives exactly one result; a procedure therefore must not SELECT to its caller. Rows are decoded to exact text straight from the
 * packets: `mysql2`'s own parsers lose digits of FLOAT, and cannot tell bytes from text by column.
 *
 * State: sent → (header → columns → rows)* → done or error.
 */
class Flight {
  readonly done: Promise<readonly SqlResult[]>;
  readonly onResult: (error: unknown) => void;
  readonly #send: (wire: Wire) => void;
  readonly #results: SqlResult[] = [];
  #resolve: (results: readonly SqlResult[]) => void = () => {};
  #next: 'send' | 'header' | 'columns' | 'columns end' | 'rows' = 'send';
  #columns: WireColumn[] = [];
  #columnCount = 0;
  #rows: (readonly Scalar[])[] = [];
  readonly #begin: BeginRows | null;
  #sink: RowSink | null = null;

  constructor(send: (wire: Wire) => void, begin: BeginRows | null) {
    this.#send = send;
    this.#begin = begin;
    let reject: (error: unknown) => void = () => {};
    this.done = new Promise((resolve, refuse) => {
      this.#resolve = resolve;
      reject = refuse;
    });
    // Whoever gave up at a deadline no longer listens.
    this.done.catch(() => {});
    this.onResult = reject;
  }

  /** Called by mysql2 with each packet of the answer; without one when it is this flight's turn. True: finished. */
  execute(packet: WirePacket | undefined, wire: Wire): boolean {
    if (packet === undefined || this.#next === 'send') {
      wire._resetSequenceId();
      this.#send(wire);
      this.#next = 'header';
      return false;
    }
    if (packet.isError()) {
      this.onResult(packet.asError(wire.clientEncoding));
      return true;
    }
    const { buffer, end } = packet;
    const at = packet.start + 4;
    switch (this.#next) {
      case 'header':
        return this.#header(buffer, at);
      case 'columns':
        this.#columns.push(readColumn(buffer, end));
        if (this.#columns.length === this.#columnCount) this.#next = 'columns end';
        return false;
      case 'columns end':
        this.#next = 'rows';
        this.#sink = this.#begin?.(this.#columns) ?? null;
        return false;
      default:
        if (buffer[at] === 0xfe && end - at < 9) {
          return this.#finish(this.#rows, 0, 0n, buffer.readUInt16LE(at + 3));
        }
        if (this.#sink !== null) this.#sink(buffer, at, end);
        else this.#rows.push(readRow(buffer, at, this.#columns));
        return false;
    }
  }

  /** mysql2 calls this where it expects an event emitter. */
  emit(): void {}
  on(): void {}

  #header(buffer: Buffer, at: number): boolean {
    if (buffer[at] === 0x00) {
      const affected = readLength(buffer, at + 1);
      const insertId = readLength(buffer, affected.next);
      const status = buffer.readUInt16LE(insertId.next);
      return this.#finish([], Number(affected.value), insertId.value, status);
    }
    if (buffer[at] === 0xfb) {
      throw new Error('LOAD DATA LOCAL is not possible in a flight');
    }
    this.#columnCount = Number(readLength(buffer, at).value);
    this.#columns = [];
    this.#rows = [];
    this.#next = 'columns';
    return false;
  }

  #finish(
    rows: readonly (readonly Scalar[])[],
    count: number,
    insertId: bigint,
    status: number,
  ): boolean {
    this.#results.push({ rows, count, insertId });
    this.#next = 'header';
    if ((status & MORE_RESULTS) !== 0) return false;
    this.#resolve(this.#results);
    return true;
  }
}

function readLength(buffer: Buffer, at: number): { readonly value: bigint; readonly next: number } {
  const first = buffer[at] ?? 0;
  if (first < 0xfb) return { value: BigInt(first), next: at + 1 };
  if (first === 0xfc) return { value: BigInt(buffer.readUInt16LE(at + 1)), next: at + 3 };
  if (first === 0xfd) return { value: BigInt(buffer.readUIntLE(at + 1, 3)), next: at + 4 };
  return { value: buffer.readBigUInt64LE(at + 1), next: at + 9 };
}

/** The fixed part stands at the end, behind names (and, with MariaDB, extended type information) that nobody here needs. */
function readColumn(buffer: Buffer, end: number): WireColumn {
  const at = end - 12;
  return {
    charset: buffer.readUInt16LE(at),
    length: buffer.readUInt32LE(at + 2),
    type: buffer[at + 6] ?? 0,
    flags: buffer.readUInt16LE(at + 7),
  };
}

function readRow(buffer: Buffer, from: number, columns: readonly WireColumn[]): Scalar[] {
  const row: Scalar[] = [];
  let at = from;
  for (const column of columns) {
    const first = buffer[at] ?? 0;
    let length = first;
    if (first < 0xfb) at += 1;
    else if (first === 0xfb) {
      row.push(null);
      at += 1;
      continue;
    } else if (first === 0xfc) {
      length = buffer.readUInt16LE(at + 1);
      at += 3;
    } else if (first === 0xfd) {
      length = buffer.readUIntLE(at + 1, 3);
      at += 4;
    } else {
      length = Number(buffer.readBigUInt64LE(at + 1));
      at += 9;
    }
    row.push(readValue(column, buffer, at, at + length));
    at += length;
  }
  return row;
}

/** mysql2's own query command, only for sending: it knows about query attributes and packets beyond 16 MB. */
const sender = mysql as unknown as {
  createQuery(
    sql: string,
    values: undefined,
    callback: () => void,
    config: unknown,
  ): { start(packet: null, connection: unknown): unknown };
};

/** Sends the statements on a connection; see `Flight`. The first error of the server rejects. Statements behind an unfinished flight wait for it. */
export function fly(
  connection: mysql.Connection,
  statements: readonly string[],
  begin: BeginRows | null = null,
): Promise<readonly SqlResult[]> {
  const sql = statements.join(';\n');
  const flight = new Flight((wire) => {
    const { config } = wire as unknown as { config: unknown };
    sender.createQuery(sql, undefined, () => {}, config).start(null, wire);
  }, begin);
  (connection as unknown as { addCommand(command: Flight): void }).addCommand(flight);
  return flight.done;
}

/** How much longer than the server our side waits, so that the server's own (definite) answer wins where it lives. */
const ANSWER_GRACE_MS = 50;

/** `fly` with a deadline on our side. `late` is called at the deadline and has to cut the connection. Rejections are raw errors, or DEADLINE_EXCEEDED. */
export function flyUntil(
  connection: mysql.Connection,
  statements: readonly string[],
  leftMs: number,
  clock: Clock,
  what: string,
  late: () => void,
  begin: BeginRows | null = null,
): Promise<readonly SqlResult[]> {
  return new Promise((resolve, reject) => {
    const cancel = clock.schedule(Math.max(1, leftMs) + ANSWER_GRACE_MS, () => {
      late();
      reject(
        new ChangeoverError('DEADLINE_EXCEEDED', `${what}: no answer from the server in time.`, {
          data: { what },
        }),
      );
    });
    fly(connection, statements, begin).then(resolve, reject).finally(cancel);
  });
}
