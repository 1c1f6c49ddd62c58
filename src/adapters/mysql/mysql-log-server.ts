import { createHash } from 'node:crypto';
import { ChangeoverError } from '../../errors/index.ts';
import { EVENT, eventHeader } from './binlog-events.ts';
import { type Dump, openDump } from './mysql-dump.ts';
import { errnoOf } from './mysql-errors.ts';
import type { LogPlace } from './mysql-log-items.ts';
import type { MysqlOptions } from './mysql-options.ts';
import type { MysqlSession } from './mysql-session.ts';

const HEARTBEAT_MS = 2_000;
const ACCESS_DENIED = 1227;
/** Numbers of real replicas are small by custom. */
const READER_IDS = 0x80_00_00_00;

/** Where the log stands, and which databases it leaves out. */
export interface LogStatus {
  readonly file: string;
  readonly offset: number;
  readonly only: readonly string[];
  readonly without: readonly string[];
}

/** The binary log of one server. */
export class LogServer {
  readonly session: MysqlSession;
  readonly #options: MysqlOptions;

  constructor(session: MysqlSession, options: MysqlOptions) {
    this.session = session;
    this.#options = options;
  }

  /** Behind everything that had committed when this was called. */
  async status(): Promise<LogStatus> {
    const { binlogStatus } = await this.session.flavour();
    const [line] = await this.#ask(binlogStatus);
    if (line === undefined)
      throw new ChangeoverError(
        'LOG_UNSUPPORTED',
        'The server writes no binary log. Set log_bin, binlog_format=ROW and a server_id that is not 0, and restart it.',
      );
    const [file, offset, only, without] = line;
    const list = (text: string | null | undefined): readonly string[] =>
      (text ?? '').split(',').filter((name) => name !== '');
    return {
      file: file ?? '',
      offset: Number(offset),
      only: list(only),
      without: list(without),
    };
  }

  /** Files that are there, oldest first, with their sizes. */
  async files(): Promise<readonly { readonly file: string; readonly bytes: number }[]> {
    const lines = await this.#ask('SHOW BINARY LOGS');
    return lines.map(([file, bytes]) => ({ file: file ?? '', bytes: Number(bytes) }));
  }

  /** MariaDB always; MySQL with `gtid_mode=ON`. */
  async hasGtids(): Promise<boolean> {
    const mode = (await this.settings(['gtid_mode'])).get('gtid_mode') ?? 'ON';
    return mode.toUpperCase() === 'ON';
  }

  /** Global settings by name; those that the server does not know are absent. */
  async settings(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const list = names.map((name) => `'${name}'`).join(', ');
    const lines = await this.#ask(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${list})`);
    return new Map(lines.map(([name, value]) => [(name ?? '').toLowerCase(), value ?? '']));
  }

  /** The reader of a stream: the server ends an earlier one of the same stream by itself. */
  read(
    stream: string,
    from: Pick<LogPlace, 'file' | 'offset' | 'gtids'>,
    once = false,
  ): Promise<Dump> {
    const digest = createHash('sha256').update(`changeover ${stream}`).digest();
    return this.#open(digest, from, once);
  }

  /** A reader beside all others, up to the present end. */
  glance(from: Pick<LogPlace, 'file' | 'offset'>): Promise<Dump> {
    const digest = createHash('sha256').update(this.session.runtime.random.id()).digest();
    return this.#open(digest, { ...from, gtids: null }, true);
  }

  /** Which file of this name it is; see `LogPlace`. */
  async stamp(file: string): Promise<string> {
    const dump = await this.glance({ file, offset: 4 });
    try {
      for (;;) {
        const event = await dump.next();
        if (event === null) break;
        const { type, serverId, timestamp } = eventHeader(event);
        if (type === EVENT.format) return `${serverId}-${timestamp}`;
      }
    } finally {
      dump.close();
    }
    throw new ChangeoverError('LOG_LOST', `File ${file} of the binary log is empty.`);
  }

  #open(
    digest: Buffer,
    from: Pick<LogPlace, 'file' | 'offset' | 'gtids'>,
    once: boolean,
  ): Promise<Dump> {
    return openDump(this.#options, this.session.runtime, {
      serverId: READER_IDS + (digest.readUInt32LE(0) & 0x7f_ff_ff_ff),
      uuid: digest
        .toString('hex', 4, 20)
        .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
      file: from.file,
      offset: from.offset,
      gtids: from.gtids,
      once,
      heartbeatMs: HEARTBEAT_MS,
    });
  }

  async #ask(statement: string): Promise<readonly (readonly (string | null)[])[]> {
    try {
      return (await this.session.query(statement, { what: 'lookup of the binary log' })).rows;
    } catch (error) {
      if (errnoOf(error) !== ACCESS_DENIED) throw error;
      throw new ChangeoverError(
        'LOG_UNSUPPORTED',
        'The account may not ask where the binary log stands. Run GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO the account (MariaDB 10.5 and later: GRANT BINLOG MONITOR, REPLICATION SLAVE).',
        { cause: error },
      );
    }
  }
}
