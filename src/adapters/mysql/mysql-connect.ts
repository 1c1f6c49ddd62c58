import type { Socket } from 'node:net';
import mysql from 'mysql2';
import { ChangeoverError } from '../../errors/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { flavourOf, type MysqlFlavour } from './mysql-flavour.ts';
import { flyUntil } from './mysql-flight.ts';
import type { MysqlAddress } from './mysql-options.ts';

/**
 * The same answers and the same strictness whatever the server's configuration says. Zero dates pass (the store may hold them); 0 in an AUTO_INCREMENT
 * column stays 0; cut, rounded-off and out-of-range values are errors; text is compared as bytes where no column decides.
 */
const SESSION = [
  `sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'`,
  `time_zone = '+00:00'`,
  'autocommit = 1',
  'sql_select_limit = DEFAULT',
  'sql_safe_updates = 0',
  'sql_big_selects = 1',
  'foreign_key_checks = 1',
  'unique_checks = 1',
] as const;

/** A connection with our settings, and what it has said of its server. */
export interface OpenedClient {
  readonly client: mysql.Connection;
  readonly flavour: MysqlFlavour;
  /** Largest message that the server takes, bytes. */
  readonly packetMax: number;
}

/** Connects and makes the settings. Rejects with raw errors, or STORE_UNAVAILABLE and DEADLINE_EXCEEDED after `connectTimeoutMs` each. */
export async function openClient(
  address: MysqlAddress,
  connectTimeoutMs: number,
  runtime: Runtime,
): Promise<OpenedClient> {
  const client = await connectClient(address, connectTimeoutMs, runtime);
  // The connect's own timeout is over; a server that hangs here would keep the place in the pool for ever.
  const send = (statements: readonly string[]) =>
    flyUntil(client, statements, connectTimeoutMs, runtime.clock, 'connecting', () => cut(client));
  try {
    const [banner] = await send(['SELECT VERSION(), @@max_allowed_packet']);
    const flavour = flavourOf(banner?.rows[0]?.[0] ?? '');
    const settings = [...SESSION, ...flavour.sessionSettings].join(', ');
    await send([
      'SET NAMES utf8mb4 COLLATE utf8mb4_bin',
      `SET SESSION ${settings}`,
      'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
    ]);
    const packetMax = Number(banner?.rows[0]?.[1] ?? 1_048_576);
    return { client, flavour, packetMax };
  } catch (error) {
    cut(client);
    throw error;
  }
}

const socketOf = (client: mysql.Connection): Socket =>
  (client as unknown as { readonly stream: Socket }).stream;

/**
 * Ends a connection at once: its socket is gone, and what it was asked rejects. Not mysql2's own `destroy`, which sends what is still to be sent, then
 * FIN, and waits for the server to do the same: one that hangs, or is cut off, never does, and flights that are in the air are never told.
 */
export function cut(client: mysql.Connection): void {
  socketOf(client).destroy(new Error('the connection was cut'));
}

/** Takes leave of a server, without waiting for its answer: it need not be there any more. */
export function leave(client: mysql.Connection): void {
  client.end();
  socketOf(client).destroySoon();
}

/** A bare connection that nothing keeps: no pool, no session settings. Rejections are raw errors, or STORE_UNAVAILABLE at the deadline. */
export async function connectClient(
  address: MysqlAddress,
  connectTimeoutMs: number,
  runtime: Runtime,
): Promise<mysql.Connection> {
  const { host, port, user, password, database, ssl } = address;
  const secret = typeof password === 'function' ? await password() : password;
  const client = mysql.createConnection({
    host,
    port,
    ...(user === undefined ? {} : { user }),
    ...(secret === undefined ? {} : { password: secret }),
    ...(database === undefined ? {} : { database }),
    ...(ssl === undefined ? {} : { ssl }),
    charset: 'utf8mb4',
    multipleStatements: true,
    connectTimeout: connectTimeoutMs,
    enableKeepAlive: true,
    connectAttributes: { program_name: 'changeover' },
  });
  return new Promise((resolve, reject) => {
    // mysql2's own limit ends when the socket is connected; a server that is stopped (SIGSTOP) still accepts.
    const cancel = runtime.clock.schedule(connectTimeoutMs, () => {
      cut(client);
      reject(
        new ChangeoverError(
          'STORE_UNAVAILABLE',
          `connecting: no answer in ${connectTimeoutMs} ms.`,
        ),
      );
    });
    // An idle connection that the server closes is an event, not a crash.
    client.on('error', () => {});
    client.connect((error) => {
      cancel();
      if (error === null) resolve(client);
      else {
        cut(client);
        reject(error);
      }
    });
  });
}
