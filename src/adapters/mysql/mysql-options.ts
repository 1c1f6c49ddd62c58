import { ChangeoverError } from '../../errors/index.ts';

/** Where a MySQL or MariaDB database is and how it is talked to. */
export interface MysqlOptions {
  /** `mysql://user:password@host:port/database?ssl-mode=…` (or `mariadb://`). Single fields below win over its parts. */
  readonly url?: string;
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  /** Text, or a function that fetches a fresh one for each new connection (cloud tokens). */
  readonly password?: string | (() => string | Promise<string>);
  /** Where tables without a database in front are looked for. */
  readonly database?: string;
  /**
   * true: encrypted, certificate and host name verified. An object: options of `tls.connect` (`ca`, `cert`, `key`, `rejectUnauthorized` …).
   * In the url: `ssl-mode=DISABLED | REQUIRED (not verified) | VERIFY_CA | VERIFY_IDENTITY`. Default: not encrypted.
   */
  readonly tls?: boolean | Readonly<Record<string, unknown>>;
  /** Most connections that one store of one process opens. 1 … 1000, default 10. */
  readonly poolMax?: number;
  /** Longest wait for a connection, new or free, in ms. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** Deadline of statements that have none of their own, in ms. Default 30 000. */
  readonly statementTimeoutMs?: number;
  /** An idle connection is closed after this, in ms. Default 30 000. */
  readonly idleTimeoutMs?: number;
}

/** The options with the url's parts filled in. */
export interface MysqlAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: MysqlOptions['password'];
  readonly database: string | undefined;
  /** Options for mysql2's `ssl`; undefined: not encrypted. */
  readonly ssl: Readonly<Record<string, unknown>> | undefined;
}

/** CONFIG_INVALID when the url is none; the message does not repeat it, it may hold a password. */
export function addressOf(options: MysqlOptions): MysqlAddress {
  const parts = options.url === undefined ? {} : partsOf(options.url);
  const tls = options.tls ?? parts.tls ?? false;
  return {
    host: options.host ?? parts.host ?? 'localhost',
    port: options.port ?? parts.port ?? 3306,
    user: options.user ?? parts.user,
    password: options.password ?? parts.password,
    database: options.database ?? parts.database,
    ssl: tls === false ? undefined : tls === true ? VERIFIED : tls,
  };
}

/** The address without password, for display. */
export function displayAddress(options: MysqlOptions): string {
  const { host, port, user, database } = addressOf(options);
  return `mysql://${user ? `${user}@` : ''}${host}:${port}/${database ?? ''}`;
}

/** mysql2 alone would not compare the certificate's name with the host's. */
const VERIFIED = { rejectUnauthorized: true, verifyIdentity: true } as const;

const modes: Readonly<Record<string, MysqlOptions['tls']>> = {
  DISABLED: false,
  PREFERRED: false,
  REQUIRED: { rejectUnauthorized: false },
  VERIFY_CA: { rejectUnauthorized: true },
  VERIFY_IDENTITY: VERIFIED,
};

interface AddressParts {
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly tls?: NonNullable<MysqlOptions['tls']>;
}

function partsOf(url: string): AddressParts {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      'The url of a MySQL store is not of the form mysql://user:password@host:port/database.',
    );
  }
  if (parsed.protocol !== 'mysql:' && parsed.protocol !== 'mariadb:') {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `The url of a MySQL store begins with "${parsed.protocol}", not with mysql:// or mariadb://.`,
    );
  }
  const mode = parsed.searchParams.get('ssl-mode')?.toUpperCase();
  const tls = mode === undefined ? undefined : modes[mode];
  if (mode !== undefined && tls === undefined) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `ssl-mode is one of ${Object.keys(modes).join(', ')}, not ${mode}.`,
    );
  }
  const database = decodeURIComponent(parsed.pathname.slice(1));
  return {
    ...(parsed.hostname ? { host: parsed.hostname.replace(/^\[|\]$/g, '') } : {}),
    ...(parsed.port ? { port: Number(parsed.port) } : {}),
    ...(parsed.username ? { user: decodeURIComponent(parsed.username) } : {}),
    ...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
    ...(database ? { database } : {}),
    ...(tls === undefined ? {} : { tls }),
  };
}
