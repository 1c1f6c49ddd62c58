import { Socket, type SocketConstructorOpts } from 'node:net';
import pg from 'pg';
import { ChangeoverError } from '../../errors/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { POSTGRES_EPOCH_MS } from './pgoutput-decoder.ts';
import { addressOf, EXACT_SETTINGS, type PostgresOptions } from './postgres-connections.ts';
import { sqlStateOf, toChangeoverError } from './postgres-errors.ts';
import { lsnText } from './postgres-lsn.ts';
import { quoteIdentifier, quoteLiteral } from './postgres-text.ts';
import { WireFrames } from './postgres-wire-frames.ts';

/** What comes over a replication connection. Called while a chunk is being cut, in order; must not keep `data`. */
export interface ReplicationHandler {
  /** One message of the output plugin. */
  message(data: Buffer, start: number, end: number): void;
  /** The server has sent everything that lies before this LSN. */
  sent(lsn: bigint): void;
  /** Nothing more comes in this turn. */
  turn(): void;
  /** Nothing comes any more. Called at most once, never after `close`. */
  failed(error: ChangeoverError): void;
}

export interface ReplicationStart {
  /** Slot and publication. */
  readonly name: string;
  /** Transactions whose commit record begins before it are left out. */
  readonly from: bigint;
}

/** A connection in copy-both mode, reading one slot. */
export interface ReplicationConnection {
  /** Stops reading from the socket; the server then waits. Keepalives are answered all the same. */
  hold(): void;
  /** Undoes `hold`. */
  resume(): void;
  /** Everything before this LSN may go. Told within `CONFIRM_MS`. */
  confirm(lsn: bigint): void;
  /** Idempotent. Tells the server what is confirmed first. */
  close(): Promise<void>;
}

/** A confirmation waits for others so long. */
const CONFIRM_MS = 100;
/** Without `wal_sender_timeout` too a connection over which nothing comes is not believed in for ever. */
const SILENCE_MIN_MS = 60_000;
const HEARTBEAT_MAX_MS = 10_000;
const CLOSE_MS = 1_000;

/** What the server says when a slot can no longer be read, by SQLSTATE. */
const LOST = new Set(['55000', '42704', '58P01']);

/**
 * Connects and begins to read the slot. Types are written as every session of ours reads them (`EXACT_SETTINGS`). The connection is `pg`'s, with its authentication
 * and TLS, up to the moment before START_REPLICATION; from there the socket is read by us, so that no byte passes through `pg`'s parser (it has an event and two objects for each
 * message).
 *
 * Errors: STORE_CONFLICT (somebody reads the slot), LOG_LOST, LOG_UNSUPPORTED (no right to replicate), STORE_UNAVAILABLE.
 */
export async function openReplication(
  options: PostgresOptions,
  runtime: Runtime,
  start: ReplicationStart,
  handler: ReplicationHandler,
): Promise<ReplicationConnection> {
  const what = `reading of slot "${start.name}"`;
  const { client, timeoutMs } = await connectReplication(options, what);
  return new Promise((resolve, reject) => {
    const connection = new CopyBoth(socketOf(client), runtime, timeoutMs, what, {
      message: (data, from, to) => handler.message(data, from, to),
      sent: (lsn) => handler.sent(lsn),
      turn: () => handler.turn(),
      begun: () => resolve(connection),
      failed(error) {
        reject(error);
        handler.failed(error);
      },
    });
    connection.start(
      `START_REPLICATION SLOT ${quoteIdentifier(start.name)} LOGICAL ${lsnText(start.from)} (proto_version '1', publication_names ${quoteLiteral(quoteIdentifier(start.name)).trim()}, messages 'true')`,
    );
  });
}

/** Looks whether this role may open a replication connection here, and closes it again. Errors as `openReplication`. */
export async function tryReplication(options: PostgresOptions): Promise<void> {
  const { client } = await connectReplication(options, 'opening a replication connection');
  await client.end();
}

async function connectReplication(
  options: PostgresOptions,
  what: string,
): Promise<{ readonly client: pg.Client; readonly timeoutMs: number }> {
  const client = new pg.Client({
    ...addressOf(options),
    // While it is held, one chunk is taken in rather than several: each would wake us.
    stream: () => new Socket({ readableHighWaterMark: 1 } as SocketConstructorOpts),
    replication: 'database',
    application_name: 'changeover log',
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
  } as pg.ClientConfig);
  // What happens to the socket later is heard by the reader.
  client.on('error', () => {});
  try {
    await client.connect();
    const settings = { ...EXACT_SETTINGS, statement_timeout: '0', lock_timeout: '0' };
    const calls = Object.entries(settings).map(
      ([name, value]) => `pg_catalog.set_config('${name}', ${quoteLiteral(value)}, false)`,
    );
    // Simple queries: a walsender knows no others.
    await client.query(`SELECT ${calls.join(', ')}`);
    const { rows } = await client.query<{ setting: string }>(
      `SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'`,
    );
    return { client, timeoutMs: Number(rows[0]?.setting ?? 0) };
  } catch (error) {
    client.end().catch(() => {});
    throw replicationError(error, what);
  }
}

interface WireSocket {
  on(event: string, listener: (argument: never) => void): void;
  removeAllListeners(event: string): void;
  write(data: Buffer): boolean;
  end(data?: Buffer): void;
  destroy(): void;
  pause(): void;
  resume(): void;
}

function socketOf(client: pg.Client): WireSocket {
  return (client as unknown as { connection: { stream: WireSocket } }).connection.stream;
}

type CopyHandler = ReplicationHandler & { begun(): void };

const code = (letter: string): number => letter.charCodeAt(0);
const COPY_DATA = code('d');
const COPY_BOTH = code('W');
const ERROR = code('E');
const NOTICE = code('N');
const WAL = code('w');
const KEEPALIVE = code('k');
/** Kind, start, end and time of WAL data. */
const WAL_HEAD_BYTES = 25;

/** State: asked → streaming ⇄ held → closed or failed. */
class CopyBoth implements ReplicationConnection {
  readonly #socket: WireSocket;
  readonly #runtime: Runtime;
  readonly #what: string;
  readonly #handler: CopyHandler;
  readonly #frames = new WireFrames((kind, data, at, end) => this.#frame(kind, data, at, end));
  readonly #heartbeatMs: number;
  readonly #silenceMs: number;
  #state: 'asked' | 'streaming' | 'ended' = 'asked';
  #held = false;
  #received = 0n;
  #confirmed = 0n;
  #told = 0n;
  #heardAt: number;
  #cancelHeartbeat: () => void = () => {};
  #cancelConfirm: (() => void) | null = null;
  #closing: Promise<void> | null = null;
  #closed: () => void = () => {};

  constructor(
    socket: WireSocket,
    runtime: Runtime,
    timeoutMs: number,
    what: string,
    handler: CopyHandler,
  ) {
    this.#socket = socket;
    this.#runtime = runtime;
    this.#what = what;
    this.#handler = handler;
    // The server asks at half of its limit and gives up at the whole; never being asked is simplest.
    this.#heartbeatMs =
      timeoutMs > 0 ? Math.min(HEARTBEAT_MAX_MS, timeoutMs / 3) : HEARTBEAT_MAX_MS;
    this.#silenceMs = Math.max(SILENCE_MIN_MS, 2 * timeoutMs);
    this.#heardAt = runtime.clock.monotonic();
  }

  start(command: string): void {
    const socket = this.#socket;
    // Ready for the next query, the server says nothing by itself: no byte is lost between `pg`'s listener and ours.
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => this.#chunk(chunk));
    socket.on('error', (error: Error) => this.#fail(toChangeoverError(error, this.#what)));
    socket.on('close', () => {
      this.#closed();
      this.#fail(unavailable(`${this.#what}: the connection was closed.`));
    });
    const body = Buffer.from(`${command}\0`);
    const head = Buffer.alloc(5);
    head[0] = code('Q');
    head.writeInt32BE(body.length + 4, 1);
    socket.write(Buffer.concat([head, body]));
    this.#beat();
  }

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#heardAt = this.#runtime.clock.monotonic();
    this.#socket.resume();
  }

  confirm(lsn: bigint): void {
    if (lsn <= this.#confirmed) return;
    this.#confirmed = lsn;
    this.#cancelConfirm ??= this.#runtime.clock.schedule(CONFIRM_MS, () => {
      this.#cancelConfirm = null;
      this.#tell(this.#confirmed, false);
    });
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const { clock } = this.#runtime;
      const cancel = clock.schedule(CLOSE_MS, () => this.#socket.destroy());
      this.#closed = () => {
        cancel();
        resolve();
      };
      if (this.#state === 'ended') {
        this.#closed();
        return;
      }
      if (this.#state === 'streaming') this.#tell(this.#confirmed, false);
      this.#end();
      // What still comes is not read; but the end of the stream is only seen by one who reads.
      this.#socket.removeAllListeners('data');
      this.#socket.on('data', () => {});
      this.#socket.end(Buffer.from([code('X'), 0, 0, 0, 4]));
      this.#socket.resume();
    });
    return this.#closing;
  }

  #chunk(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    this.#heardAt = this.#runtime.clock.monotonic();
    try {
      this.#frames.push(chunk);
      if (this.#isOpen()) this.#handler.turn();
    } catch (error) {
      this.#fail(toChangeoverError(error, this.#what));
    }
  }

  #isOpen(): boolean {
    return this.#state !== 'ended';
  }

  #frame(kind: number, data: Buffer, start: number, end: number): void {
    if (this.#state === 'ended') return;
    if (kind === COPY_DATA) {
      if (data[start] === WAL) this.#handler.message(data, start + WAL_HEAD_BYTES, end);
      else if (data[start] === KEEPALIVE) this.#keepalive(data, start);
    } else if (kind === COPY_BOTH) {
      this.#state = 'streaming';
      this.#handler.begun();
    } else if (kind === ERROR) {
      throw replicationError(serverError(data, start, end), this.#what);
    } else if (kind === NOTICE) {
      const notice = serverError(data, start, end);
      // PostgreSQL 18 goes on without a publication that is gone, with a warning and no changes.
      if (/skipping loading publication/.test(notice.message)) {
        throw new ChangeoverError('LOG_LOST', `${this.#what}: ${notice.message}.`);
      }
    }
    // CopyDone, CommandComplete: the server shuts down; the end of the connection follows.
  }

  #keepalive(data: Buffer, start: number): void {
    const sent = data.readBigUInt64BE(start + 1);
    if (sent > this.#received) this.#received = sent;
    this.#handler.sent(sent);
    if (data[start + 17] !== 1) return;
    // Asked, and nothing new to confirm: "written" alone. A server that shuts down waits until what it has sent is flushed, or, where no flush is told, written
    // (`WalSndDone`); a follower that hangs must not keep it from stopping.
    this.#tell(this.#confirmed > this.#told ? this.#confirmed : 0n, false);
  }

  /** Says that we live, wants to hear the same, and notices when nothing is heard any more. */
  #beat(): void {
    const { clock } = this.#runtime;
    this.#cancelHeartbeat = clock.schedule(this.#heartbeatMs, () => {
      if (!this.#held && clock.monotonic() - this.#heardAt > this.#silenceMs) {
        this.#fail(unavailable(`${this.#what}: nothing was heard for ${this.#silenceMs} ms.`));
        return;
      }
      if (this.#state === 'streaming') this.#tell(this.#confirmed, !this.#held);
      this.#beat();
    });
  }

  /** Standby status update: what was written, flushed and applied; 0: not told. */
  #tell(flushed: bigint, answer: boolean): void {
    if (this.#state !== 'streaming') return;
    if (flushed > this.#told) this.#told = flushed;
    const written = this.#received > this.#confirmed ? this.#received : this.#confirmed;
    const message = Buffer.alloc(39);
    message[0] = COPY_DATA;
    message.writeInt32BE(38, 1);
    message[5] = code('r');
    message.writeBigUInt64BE(written, 6);
    message.writeBigUInt64BE(flushed, 14);
    message.writeBigUInt64BE(flushed, 22);
    const now = BigInt(Math.round(this.#runtime.clock.now() - POSTGRES_EPOCH_MS));
    message.writeBigInt64BE(now * 1000n, 30);
    message[38] = answer ? 1 : 0;
    this.#socket.write(message);
  }

  #end(): void {
    this.#state = 'ended';
    this.#cancelHeartbeat();
    this.#cancelConfirm?.();
  }

  #fail(error: ChangeoverError): void {
    if (this.#state === 'ended') return;
    this.#end();
    this.#socket.destroy();
    this.#handler.failed(error);
  }
}

function unavailable(message: string): ChangeoverError {
  return new ChangeoverError('STORE_UNAVAILABLE', message);
}

/** An ErrorResponse or NoticeResponse: fields of a letter and a text each. */
function serverError(
  data: Buffer,
  start: number,
  end: number,
): Error & { code: string; severity: string } {
  const fields = new Map<string, string>();
  for (const field of data.toString('utf8', start, end).split('\0')) {
    if (field !== '') fields.set(field.slice(0, 1), field.slice(1));
  }
  const severity = fields.get('V') ?? fields.get('S') ?? 'ERROR';
  const code = fields.get('C') ?? 'XX000';
  const text = fields.get('M') ?? 'no message';
  // Why a slot was given up; elsewhere the detail may hold values.
  const detail = LOST.has(code) ? fields.get('D') : undefined;
  return Object.assign(new Error(detail ? `${text} (${detail})` : text), { code, severity });
}

function replicationError(error: unknown, what: string): ChangeoverError {
  const state = sqlStateOf(error);
  const mapped = toChangeoverError(error, what);
  const again = (to: 'LOG_LOST' | 'LOG_UNSUPPORTED'): ChangeoverError =>
    new ChangeoverError(to, mapped.message.replace(/^[A-Z_]+: /, ''), { data: mapped.data });
  if (error instanceof ChangeoverError || state === null) return mapped;
  if (LOST.has(state)) return again('LOG_LOST');
  // No right to replicate; a pooler, or an old server, that does not know how.
  if (state === '42501' || state === '0A000' || state === '42601') return again('LOG_UNSUPPORTED');
  return mapped;
}
