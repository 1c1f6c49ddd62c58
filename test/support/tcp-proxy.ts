/**
 * A TCP proxy of our own between a client and a server, for tests of the network in between:
 * connections can be cut, frozen, slowed, closed halfway, and new ones refused.
 *
 * States of each direction: flowing --freeze--> frozen --resume--> flowing; any --cut--> gone.
 * What arrives while a direction is frozen or slowed is kept in order and handed on later. A frozen
 * direction is not read either: the sender fills the sockets' buffers and then waits.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** `up`: from the client to the server; `down`: from the server to the client. */
export type Direction = 'up' | 'down';

export interface TcpProxy {
  readonly host: string;
  readonly port: number;
  /** Connections that are open at this moment (a client's end and a server's end are one). */
  readonly connections: number;
  /** All connections that were ever accepted. */
  readonly accepted: number;
  /** Bytes handed on so far, over all connections. */
  bytes(direction: Direction): number;
  /** The same connection string, by way of the proxy. */
  url(url: string): string;
  /** Ends all open connections at once with a reset; new ones are accepted as before. */
  cut(): void;
  /** Nothing is handed on any more, connections stay open: a network that swallows packets. New
   * connections are accepted and hang as well. Default: both directions. */
  freeze(direction?: Direction): void;
  /** Undoes `freeze` and `delay`; what was held back is handed on, in order. */
  resume(): void;
  /** Everything is handed on only after this many milliseconds, in order, at full throughput. */
  delay(delayMs: number, direction?: Direction): void;
  /** Ends one direction of all open connections in order (FIN), the other keeps flowing. */
  halfClose(direction: Direction): void;
  /** Passes on just so many more bytes over all connections, then cuts all of them: a connection
   * lost in the middle of a message, or right behind a COMMIT whose answer never arrives. */
  cutAfter(bytes: number, direction: Direction): void;
  /** New connections are reset at once (`true`) or accepted again (`false`). */
  refuse(refused: boolean): void;
  /** Cuts all connections and stops listening. Idempotent. */
  close(): Promise<void>;
}

/** Starts a proxy on a free port of the loopback address in front of the server of `target`. */
export async function startTcpProxy(target: {
  readonly host?: string;
  readonly port: number;
}): Promise<TcpProxy> {
  const proxy = new LoopbackProxy(target.host ?? '127.0.0.1', target.port);
  await proxy.listen();
  return proxy;
}

interface Pipe {
  readonly direction: Direction;
  readonly from: Socket;
  readonly to: Socket;
  /** What was read and not handed on yet, with the time from which it may go. */
  readonly held: { readonly bytes: Buffer; readonly dueMs: number }[];
  timer: NodeJS.Timeout | undefined;
  /** The sender has ended its side. */
  ended: boolean;
}

class LoopbackProxy implements TcpProxy {
  readonly host = '127.0.0.1';
  accepted = 0;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Pipe, Pipe]>();
  readonly #frozen = { up: false, down: false };
  readonly #delayMs = { up: 0, down: 0 };
  readonly #bytes = { up: 0, down: 0 };
  readonly #left = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };
  #refused = false;
  /** `cutAfter` has reached its end; nothing goes through until its last bytes have left. */
  #cutting = false;

  constructor(host: string, port: number) {
    this.#target = { host, port };
    // Half-open: the end of one direction is handed on, it does not end the other.
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, this.host, resolve);
    });
  }

  bytes(direction: Direction): number {
    return this.#bytes[direction];
  }

  url(url: string): string {
    const other = new URL(url);
    other.hostname = this.host;
    other.port = String(this.port);
    return other.href;
  }

  cut(): void {
    this.#cutting = false;
    for (const pair of [...this.#pairs]) this.#drop(pair);
  }

  freeze(direction?: Direction): void {
    for (const one of both(direction)) this.#frozen[one] = true;
    for (const pipe of this.#pipes()) if (this.#frozen[pipe.direction]) pipe.from.pause();
  }

  resume(): void {
    for (const one of both()) {
      this.#frozen[one] = false;
      this.#delayMs[one] = 0;
    }
    for (const pipe of this.#pipes()) {
      pipe.from.resume();
      this.#flush(pipe);
    }
  }

  delay(delayMs: number, direction?: Direction): void {
    for (const one of both(direction)) this.#delayMs[one] = delayMs;
  }

  halfClose(direction: Direction): void {
    for (const pipe of this.#pipes()) {
      if (pipe.direction !== direction) continue;
      pipe.ended = true;
      this.#flush(pipe);
    }
  }

  cutAfter(bytes: number, direction: Direction): void {
    this.#left[direction] = bytes;
  }

  refuse(refused: boolean): void {
    this.#refused = refused;
  }

  async close(): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #pipes(): readonly Pipe[] {
    return [...this.#pairs].flat();
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    client.on('error', () => {});
    if (this.#refused) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ ...this.#target, allowHalfOpen: true });
    for (const socket of [client, server]) socket.setNoDelay(true);
    const pair = [pipe('up', client, server), pipe('down', server, client)] as const;
    this.#pairs.add(pair);
    for (const one of pair) this.#carry(one, pair);
  }

  #carry(pipe: Pipe, pair: readonly [Pipe, Pipe]): void {
    const { from, direction } = pipe;
    from.on('error', () => this.#drop(pair));
    from.on('close', () => {
      // In order only when both directions have ended and arrived.
      if (pair.every(({ ended, held }) => ended && held.length === 0)) this.#forget(pair);
      else this.#drop(pair);
    });
    from.on('data', (bytes) => {
      if (pipe.ended) return;
      pipe.held.push({ bytes, dueMs: Date.now() + this.#delayMs[direction] });
      this.#flush(pipe);
    });
    from.on('end', () => {
      pipe.ended = true;
      this.#flush(pipe);
    });
    if (this.#frozen[direction]) from.pause();
  }

  /** Hands on what is due; the end of a direction follows its last byte. */
  #flush(pipe: Pipe): void {
    clearTimeout(pipe.timer);
    pipe.timer = undefined;
    while (!this.#frozen[pipe.direction] && !this.#cutting) {
      const first = pipe.held[0];
      if (first === undefined) {
        if (pipe.ended && !pipe.to.writableEnded) pipe.to.end();
        return;
      }
      const waitMs = this.#delayMs[pipe.direction] === 0 ? 0 : first.dueMs - Date.now();
      if (waitMs > 0) {
        pipe.timer = setTimeout(() => this.#flush(pipe), waitMs);
        return;
      }
      pipe.held.shift();
      this.#hand(pipe, first.bytes);
    }
  }

  #hand(pipe: Pipe, bytes: Buffer): void {
    const { direction, from, to } = pipe;
    const part = bytes.subarray(0, this.#left[direction]);
    this.#left[direction] -= part.length;
    this.#bytes[direction] += part.length;
    if (this.#left[direction] <= 0) {
      this.#left[direction] = Number.POSITIVE_INFINITY;
      this.#cutting = true;
      // Written out first: what went through has arrived when the connection breaks.
      to.write(part, () => this.cut());
      return;
    }
    const roomy = to.write(part);
    if (!roomy && !from.isPaused()) {
      from.pause();
      to.once('drain', () => {
        if (!this.#frozen[direction]) from.resume();
      });
    }
  }

  #drop(pair: readonly [Pipe, Pipe]): void {
    this.#forget(pair);
    for (const { from } of pair) {
      // A reset needs an established connection; before that, destroying is all there is.
      if (from.connecting || from.destroyed) from.destroy();
      else from.resetAndDestroy();
    }
  }

  #forget(pair: readonly [Pipe, Pipe]): void {
    this.#pairs.delete(pair);
    for (const one of pair) clearTimeout(one.timer);
  }
}

function pipe(direction: Direction, from: Socket, to: Socket): Pipe {
  return { direction, from, to, held: [], timer: undefined, ended: false };
}

function both(direction?: Direction): readonly Direction[] {
  return direction === undefined ? ['up', 'down'] : [direction];
}
