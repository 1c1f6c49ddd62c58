import type mysql from 'mysql2';
import { ChangeoverError } from '../../errors/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { connectClient, cut, leave, type OpenedClient, openClient } from './mysql-connect.ts';
import { toChangeoverError } from './mysql-errors.ts';
import type { MysqlFlavour } from './mysql-flavour.ts';
import { flyUntil } from './mysql-flight.ts';
import { addressOf, type MysqlAddress, type MysqlOptions } from './mysql-options.ts';

/** A checked-out connection. Given back exactly once, by `release` or `destroy`. */
export interface Connection {
  readonly client: mysql.Connection;
  readonly flavour: MysqlFlavour;
  /** Largest message that the server takes, bytes. */
  readonly packetMax: number;
  /** The settings that were sent last, as text: the session's, to know whether they have to be sent again. */
  settings: string;
  release(): void;
  /**
   * Cuts the socket at once, without waiting for the server: a hung server answers nothing. `kill` also asks the server, over another connection, to
   * end what runs here: by itself it notices a cut socket only when the statement is over.
   */
  destroy(kill?: boolean): void;
}

export interface Connections {
  /** A connection with exact settings. STORE_UNAVAILABLE when there is none within `timeoutMs` (at most `connectTimeoutMs`). */
  acquire(timeoutMs: number): Promise<Connection>;
  /** Idempotent. Waits for checked-out connections at most `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** A connection of the pool. */
interface Pooled extends OpenedClient {
  settings: string;
  broken: boolean;
  stopIdle: () => void;
}

interface Waiter {
  take(pooled: Pooled): void;
  fail(error: ChangeoverError): void;
}

/** A pool of mysql2 connections. Opens lazily; throws CONFIG_INVALID for options that can never work. */
export function openConnections(options: MysqlOptions, runtime: Runtime): Connections {
  const poolMax = options.poolMax ?? 10;
  if (!Number.isInteger(poolMax) || poolMax < 1 || poolMax > 1000) {
    throw new ChangeoverError('CONFIG_INVALID', `poolMax is ${poolMax}, not between 1 and 1000.`);
  }
  return new Pool(options, addressOf(options), poolMax, runtime);
}

class Pool implements Connections {
  readonly #address: MysqlAddress;
  readonly #poolMax: number;
  readonly #runtime: Runtime;
  readonly #connectTimeoutMs: number;
  readonly #idleTimeoutMs: number;
  readonly #idle: Pooled[] = [];
  readonly #out = new Set<Connection>();
  readonly #waiters: Waiter[] = [];
  /** Connections that are open or being opened. */
  #count = 0;
  #closing: Promise<void> | null = null;
  #emptied: () => void = () => {};

  constructor(options: MysqlOptions, address: MysqlAddress, poolMax: number, runtime: Runtime) {
    this.#address = address;
    this.#poolMax = poolMax;
    this.#runtime = runtime;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? 30_000;
  }

  acquire(timeoutMs: number): Promise<Connection> {
    if (this.#closing) return Promise.reject(new ChangeoverError('CLOSED', 'The store is closed.'));
    const waitMs = Math.max(1, Math.min(timeoutMs, this.#connectTimeoutMs));
    return new Promise((resolve, reject) => {
      const drop = (): void => {
        const at = this.#waiters.indexOf(waiter);
        if (at >= 0) this.#waiters.splice(at, 1);
      };
      const cancel = this.#runtime.clock.schedule(waitMs, () => {
        drop();
        const data = { waitMs, poolMax: this.#poolMax };
        reject(
          new ChangeoverError('STORE_UNAVAILABLE', `No connection within ${waitMs} ms.`, { data }),
        );
      });
      const waiter: Waiter = {
        take: (pooled) => {
          cancel();
          resolve(this.#check(pooled));
        },
        fail: (error) => {
          cancel();
          reject(error);
        },
      };
      this.#waiters.push(waiter);
      this.#serve();
    });
  }

  close(graceMs: number): Promise<void> {
    this.#closing ??= (async () => {
      for (const waiter of this.#waiters.splice(0)) {
        waiter.fail(new ChangeoverError('CLOSED', 'The store is closed.'));
      }
      for (const pooled of this.#idle.splice(0)) this.#end(pooled);
      if (this.#count === 0) return;
      const cancel = this.#runtime.clock.schedule(graceMs, () => {
        for (const connection of [...this.#out]) connection.destroy(true);
      });
      await new Promise<void>((resolve) => {
        this.#emptied = resolve;
      });
      cancel();
    })();
    return this.#closing;
  }

  /** Gives idle connections to those who wait, and opens new ones while there is room. */
  #serve(): void {
    while (this.#waiters.length > 0) {
      const pooled = this.#idle.pop();
      if (pooled === undefined) break;
      pooled.stopIdle();
      // Closed by the server while it was idle: 'error' or 'end' has come.
      if (pooled.broken) this.#end(pooled);
      else {
        setKept(pooled.client, true);
        this.#waiters.shift()?.take(pooled);
      }
    }
    const wanted = Math.min(this.#waiters.length, this.#poolMax) - this.#opening;
    for (let more = wanted; more > 0 && this.#count < this.#poolMax; more -= 1) this.#open();
  }

  #opening = 0;

  #open(): void {
    this.#count += 1;
    this.#opening += 1;
    openClient(this.#address, this.#connectTimeoutMs, this.#runtime).then(
      (opened) => {
        this.#opening -= 1;
        this.#put(pooledOf(opened));
      },
      (error: unknown) => {
        this.#opening -= 1;
        // One who waits learns why; the others' turn comes with the next try.
        this.#waiters.shift()?.fail(unavailable(error));
        this.#forget();
        this.#serve();
      },
    );
  }

  #put(pooled: Pooled): void {
    if (this.#closing || pooled.broken) {
      this.#end(pooled);
      this.#serve();
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter) {
      waiter.take(pooled);
      return;
    }
    // Neither an idle connection nor its timer keeps the process alive.
    setKept(pooled.client, false);
    pooled.stopIdle = this.#runtime.clock.schedule(this.#idleTimeoutMs, () => {
      const at = this.#idle.indexOf(pooled);
      if (at >= 0) this.#end(this.#idle.splice(at, 1)[0] as Pooled);
    });
    this.#idle.push(pooled);
  }

  #end(pooled: Pooled): void {
    pooled.stopIdle();
    if (pooled.broken) cut(pooled.client);
    else leave(pooled.client);
    this.#forget();
  }

  #forget(): void {
    this.#count -= 1;
    if (this.#count === 0) this.#emptied();
  }

  #check(pooled: Pooled): Connection {
    let given = false;
    const giveBack = (): boolean => {
      if (given) return false;
      given = true;
      this.#out.delete(connection);
      return true;
    };
    const connection: Connection = {
      client: pooled.client,
      flavour: pooled.flavour,
      packetMax: pooled.packetMax,
      get settings() {
        return pooled.settings;
      },
      set settings(text) {
        pooled.settings = text;
      },
      release: () => {
        if (giveBack()) this.#put(pooled);
      },
      destroy: (kill = false) => {
        if (!giveBack()) return;
        pooled.broken = true;
        const { threadId } = pooled.client;
        cut(pooled.client);
        if (kill && threadId) void this.#kill(threadId);
        this.#forget();
        this.#serve();
      },
    };
    this.#out.add(connection);
    return connection;
  }

  /** Best effort, over a connection beside the pool: a hung server will not answer it either. */
  async #kill(threadId: number): Promise<void> {
    try {
      const helper = await connectClient(this.#address, KILL_MS, this.#runtime);
      const end = (): void => cut(helper);
      const kill = [`KILL CONNECTION ${threadId}`];
      await flyUntil(helper, kill, KILL_MS, this.#runtime.clock, 'kill', end).finally(end);
    } catch {
      // It has ended by itself, or nothing can be done.
    }
  }
}

const KILL_MS = 2_000;

/** Lets the process end while the connection is open, or not. */
function setKept(client: mysql.Connection, kept: boolean): void {
  const { stream } = client as unknown as { stream?: { ref?(): void; unref?(): void } };
  if (kept) stream?.ref?.();
  else stream?.unref?.();
}

/** Notices when the server closes it. */
function pooledOf({ client, flavour, packetMax }: OpenedClient): Pooled {
  const pooled: Pooled = {
    client,
    flavour,
    packetMax,
    settings: '',
    broken: false,
    stopIdle: () => {},
  };
  const lost = (): void => {
    pooled.broken = true;
  };
  client.on('error', lost);
  client.on('end', lost);
  return pooled;
}

/** Whatever keeps us from connecting may pass: wrong password and missing database included, said plainly. */
function unavailable(error: unknown): ChangeoverError {
  const mapped = toChangeoverError(error, 'connecting');
  if (mapped.code === 'STORE_UNAVAILABLE') return mapped;
  return new ChangeoverError('STORE_UNAVAILABLE', mapped.message, { data: mapped.data });
}
