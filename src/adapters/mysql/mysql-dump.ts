import type { Socket } from 'node:net';
import { ChangeoverError } from '../../errors/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { EVENT } from './binlog-events.ts';
import { PacketFrames } from './binlog-frames.ts';
import { connectClient, cut } from './mysql-connect.ts';
import { dumpError } from './mysql-dump-errors.ts';
import { type DumpRequest, dumpPacket, dumpVariables } from './mysql-dump-request.ts';
import { toChangeoverError } from './mysql-errors.ts';
import { flyUntil } from './mysql-flight.ts';
import { addressOf, type MysqlOptions } from './mysql-options.ts';

/** Events of the log as they come. */
export interface Dump {
  /** The next event (with its checksum); null at the end of a dump with `once`. Rejects when the connection is lost, or the server refuses. A view: copy what is kept. */
  next(): Promise<Buffer | null>;
  /** The next event if it is here already. */
  poll(): Buffer | undefined;
  /** Idempotent. `next` rejects from then on. */
  close(): void;
  /** Of the connection, by which the server can be told that nobody listens any more: by itself it notices with the next thing it has to say. */
  readonly threadId: number;
}

const EVENT_FOLLOWS = 0x00;
const ERROR_FOLLOWS = 0xff;
const END_FOLLOWS = 0xfe;

/** Received and not asked for: beyond this the socket is no longer read, and the server waits. */
const BUFFER_MAX = 4 * 1024 * 1024;
/** The server gives a reader up whose socket takes nothing for so long: a follower may hang. */
const WRITE_TIMEOUT_SECONDS = 86_400;
/** A server that says nothing for so many heartbeats is gone. */
const HEARTBEATS_MAX = 4;
/** While MariaDB looks for a GTID in a file, it says nothing at all. */
const LOOKING_MS = 30_000;
/** Where the type of an event lies in a packet. */
const TYPE_AT = 5;
/** The server has found the place. */
const FOUND: ReadonlySet<number | undefined> = new Set([
  EVENT.heartbeat,
  EVENT.heartbeatV2,
  EVENT.mariadbGtid,
  EVENT.gtid,
]);

/**
 * Asks a server for its binary log (COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID) over a connection of its own. `mysql2` signs in, with TLS where that is wanted; then its socket is
 * taken over, because its parser hands out no events.
 *
 * It does not register as a replica (COM_REGISTER_SLAVE): nothing needs that, and servers that wait for registered replicas before they purge would
 * count it.
 */
export async function openDump(
  options: MysqlOptions,
  runtime: Runtime,
  request: DumpRequest,
): Promise<Dump> {
  const timeoutMs = options.connectTimeoutMs ?? 5_000;
  const what = 'reading the binary log';
  const client = await connectClient(addressOf(options), timeoutMs, runtime).catch(
    (error: unknown) => {
      throw toChangeoverError(error, what);
    },
  );
  try {
    await flyUntil(
      client,
      [
        `SET ${dumpVariables(request).join(', ')}`,
        `SET SESSION net_write_timeout = ${WRITE_TIMEOUT_SECONDS}`,
      ],
      timeoutMs,
      runtime.clock,
      what,
      () => cut(client),
    );
  } catch (error) {
    cut(client);
    throw toChangeoverError(error, what);
  }
  return new SocketDump(client as unknown as DumpClient, runtime, request);
}

/** The part of a mysql2 connection that is used here. */
interface DumpClient {
  readonly stream: Socket;
  readonly threadId: number | null;
  on(event: 'error', listener: (error: Error) => void): void;
}

/** State: open → ended (with an error, or at the end of the log). */
class SocketDump implements Dump {
  readonly #client: DumpClient;
  readonly #socket: Socket;
  readonly #runtime: Runtime;
  readonly #request: DumpRequest;
  readonly #frames = new PacketFrames();
  #waiting: { resolve(event: Buffer | null): void; reject(error: unknown): void } | null = null;
  #failure: ChangeoverError | null = null;
  #atEnd = false;
  #found: boolean;
  #paused = false;
  #heardAt: number;
  #stopWatching: () => void = () => {};

  constructor(client: DumpClient, runtime: Runtime, request: DumpRequest) {
    this.#client = client;
    this.#socket = client.stream;
    this.#runtime = runtime;
    this.#request = request;
    this.#found = request.gtids === null;
    this.#heardAt = runtime.clock.monotonic();
    this.#socket.removeAllListeners('data');
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    const lost = (reason: string): void => this.#fail(connectionLost(reason));
    this.#socket.on('close', () => lost('the server closed the connection'));
    client.on('error', (error) => lost(error.message));
    this.#socket.write(dumpPacket(request));
    this.#watch();
  }

  get threadId(): number {
    return this.#client.threadId ?? 0;
  }

  next(): Promise<Buffer | null> {
    const event = this.poll();
    if (event !== undefined) return Promise.resolve(event);
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#atEnd) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  poll(): Buffer | undefined {
    if (this.#failure !== null || this.#atEnd) return undefined;
    const payload = this.#frames.next();
    if (payload === null) {
      this.#read();
      return undefined;
    }
    if (this.#paused && this.#frames.bytes < BUFFER_MAX / 2) this.#read();
    const kind = payload[0];
    if (kind === EVENT_FOLLOWS) {
      this.#found ||= FOUND.has(payload[TYPE_AT]);
      return payload.subarray(1);
    }
    if (kind === ERROR_FOLLOWS) this.#fail(dumpError(payload, this.#request));
    else if (kind === END_FOLLOWS) this.#finish();
    else this.#fail(connectionLost('the server sent something that is no event'));
    return undefined;
  }

  close(): void {
    this.#fail(new ChangeoverError('CLOSED', 'The reader of the binary log was closed.'));
  }

  #receive(chunk: Buffer): void {
    this.#heardAt = this.#runtime.clock.monotonic();
    this.#frames.push(chunk);
    if (this.#waiting !== null) {
      const event = this.poll();
      if (event !== undefined) {
        const { resolve } = this.#waiting;
        this.#waiting = null;
        resolve(event);
      }
    }
    // A single event may be larger than the bound: it is read on while somebody waits for it.
    if (this.#waiting === null && this.#frames.bytes > BUFFER_MAX) {
      this.#paused = true;
      this.#socket.pause();
    }
  }

  #read(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#heardAt = this.#runtime.clock.monotonic();
    this.#socket.resume();
  }

  /** A server that hangs, or a network that swallows everything, closes no socket. */
  #watch(): void {
    this.#stopWatching = this.#runtime.clock.schedule(this.#request.heartbeatMs, () => {
      if (this.#failure !== null || this.#atEnd) return;
      const limitMs = this.#found ? this.#request.heartbeatMs * HEARTBEATS_MAX : LOOKING_MS;
      const silentMs = this.#runtime.clock.monotonic() - this.#heardAt;
      if (!this.#paused && silentMs > limitMs)
        this.#fail(connectionLost(`nothing was heard for ${Math.round(silentMs)} ms`));
      else this.#watch();
    });
  }

  #finish(): void {
    this.#atEnd = true;
    this.#release();
    this.#waiting?.resolve(null);
    this.#waiting = null;
  }

  #fail(error: ChangeoverError): void {
    if (this.#failure !== null || this.#atEnd) return;
    this.#failure = error;
    this.#release();
    this.#waiting?.reject(error);
    this.#waiting = null;
  }

  #release(): void {
    this.#stopWatching();
    // Not the client's own `destroy`, which waits for the server to have said everything.
    this.#socket.destroy();
  }
}

function connectionLost(reason: string): ChangeoverError {
  return new ChangeoverError('STORE_UNAVAILABLE', `The binary log is no longer sent: ${reason}.`);
}
