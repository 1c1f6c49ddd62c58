import { ChangeoverError } from '../../errors/index.ts';
import type { ChangeSource, LogCheckpoint, OpenStream } from '../../log/index.ts';
import type { Shape } from '../../migration/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import { MysqlChangeStream } from './mysql-change-stream.ts';
import { LogDirectory } from './mysql-log-directory.ts';
import { FormHistory } from './mysql-log-history.ts';
import { checkSettings, installStream } from './mysql-log-install.ts';
import { barePlace, placeAt, placeOf, positionAt } from './mysql-log-items.ts';
import { isAlteredAgain } from './mysql-log-lookahead.ts';
import { checkPlace } from './mysql-log-place-check.ts';
import { knownPlace, logRetention } from './mysql-log-retention.ts';
import { LogServer } from './mysql-log-server.ts';
import { LogStreams } from './mysql-log-streams.ts';
import { type PublishedTable, PublishedTables } from './mysql-log-tables.ts';
import type { MysqlOptions } from './mysql-options.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';
import { Touches } from './mysql-touches.ts';

export interface ChangeSourceParts {
  readonly options: MysqlOptions;
  readonly session: MysqlSession;
  readonly layout: MysqlLayout;
  /** Of the collections that are captured from the log. */
  readonly shapes: readonly Shape[];
  /** The same, looked up. */
  readonly collections: () => Promise<readonly CatalogCollection[]>;
}

/** How often the place that the follower has confirmed is written down, for `retention`. */
const CONFIRM_MS = 10_000;
const CHALLENGE_MS = 5_000;
const KILL_MS = 2_000;

/**
 * Reads the row binlog of MySQL and MariaDB.
 *
 * **Versions**: the place where a transaction begins in the log (its GTID event): file number × 2^32 + offset. **Positions**: the place where one ends; in the
 * text also which file of that name it is, the GTIDs before it and the last transaction (`LogPlace`), so that a log that was reset, restored or belongs to another
 * server is told from the one that was read (`checkPlace`, `PlaceTracker`). Where the server has GTIDs it is asked by them.
 *
 * **Not in the server**: nothing is created there, and nothing holds its log back; see `LogStreams` for what is kept in our own database, and `retention`.
 *
 * **Visible or only logged**: a transaction is in the log a moment before others see it. It holds its row locks until then, so a locking read of the rows
 * sees everything that the log has told of them.
 */
export function createMysqlChangeSource(parts: ChangeSourceParts): ChangeSource {
  return new MysqlChangeSource(parts);
}

class MysqlChangeSource implements ChangeSource {
  readonly #session: MysqlSession;
  readonly #layout: MysqlLayout;
  readonly #shapes: readonly Shape[];
  readonly #server: LogServer;
  readonly #streams: LogStreams;
  readonly #touches: Touches;
  #tables: PublishedTables | null = null;

  constructor({ options, session, layout, shapes, collections }: ChangeSourceParts) {
    this.#session = session;
    this.#layout = layout;
    this.#shapes = shapes;
    this.#server = new LogServer(session, options);
    this.#streams = new LogStreams(session, layout);
    this.#touches = new Touches(session, layout, collections);
  }

  async install(stream: string, lockTimeoutMs: number) {
    const published = await this.#published();
    const { database } = this.#layout;
    await checkSettings(this.#server);
    await this.#streams.create();
    // Before the place from which on everything is told.
    try {
      await this.#touches.install();
      return await installStream(
        this.#server,
        this.#streams,
        published,
        database,
        stream,
        lockTimeoutMs,
      );
    } catch (error) {
      await this.#removeTouches(null).catch(() => {});
      throw error;
    }
  }

  async remove(stream: string): Promise<void> {
    const kept = await this.#streams.get(stream);
    if (kept !== null) await this.#endReader(stream);
    // In this order: while the stream is there, whoever takes it away tries again.
    await this.#removeTouches(stream);
    await this.#streams.remove(stream);
  }

  installed(): Promise<readonly string[]> {
    return this.#streams.names();
  }

  async open(options: OpenStream): Promise<MysqlChangeStream> {
    const { stream, from } = options;
    const known = knownPlace(placeOf(from.position.text), stream);
    await checkSettings(this.#server);
    const place = (await this.#server.hasGtids()) ? known : { ...known, gtids: null };
    const kept = await this.#streams.get(stream);
    if (kept?.identity !== from.identity) throw anotherLog(stream, from, kept?.identity);
    await this.#touches.install();
    const published = await this.#published();
    const history = new FormHistory(this.#session, this.#streams, stream, (table, since) =>
      this.#alteredAgain(published, table, since, place.file),
    );
    const directory = new LogDirectory(this.#session, this.#layout, published, history);
    await checkPlace(this.#server, place);
    const dump = await this.#server.read(stream, place);
    const { clock } = this.#session.runtime;
    const confirmed = this.#confirming(stream);
    const ended = () => this.#kill(dump.threadId);
    return new MysqlChangeStream({
      dump,
      directory,
      from: place,
      byGtid: place.gtids !== null,
      options,
      clock,
      confirmed,
      end: () => this.#server.status(),
      ended,
    }).start();
  }

  async end() {
    const { file, offset } = await this.#server.status();
    return positionAt(barePlace(file, offset));
  }

  async challenge(token: string): Promise<void> {
    const { challenge } = this.#layout;
    const value = quoteLiteral(token);
    await this.#session.transaction(
      (transaction) =>
        transaction.run([
          `DELETE FROM ${challenge}`,
          `INSERT INTO ${challenge} (token) VALUES (${value})`,
        ]),
      { timeoutMs: CHALLENGE_MS, what: 'challenge of the log' },
    );
  }

  async retention(stream: string) {
    const kept = await this.#streams.get(stream);
    if (kept === null) return { retainedBytes: 0, leftBytes: 0, state: 'lost' as const };
    return logRetention(this.#server, knownPlace(placeOf(kept.confirmed), stream));
  }

  /** Unless a stream needs them: another than this one. */
  async #removeTouches(stream: string | null): Promise<void> {
    const names = await this.#streams.names();
    if (names.every((name) => name === stream)) await this.#touches.remove();
  }

  async #published(): Promise<PublishedTables> {
    if (this.#tables !== null) return this.#tables;
    const { rows } = await this.#session.query('SELECT DATABASE(), @@lower_case_table_names');
    const [database, folded] = rows[0] ?? [];
    this.#tables = new PublishedTables(this.#shapes, database ?? '', folded !== '0');
    return this.#tables;
  }

  /** A reader with the same number that reads nothing: the server ends the other one. */
  async #endReader(stream: string): Promise<void> {
    const { file, offset } = await this.#server.status();
    const dump = await this.#server.read(stream, barePlace(file, offset), true);
    try {
      while ((await dump.next()) !== null);
    } finally {
      dump.close();
    }
  }

  /** Best effort: without it the server notices when it has something to say, a heartbeat at the latest. */
  async #kill(threadId: number): Promise<void> {
    if (threadId === 0) return;
    const options = { timeoutMs: KILL_MS, what: 'end of the reader of the log' };
    await this.#session.query(`KILL CONNECTION ${threadId}`, options).catch(() => {});
  }

  /** Not for every batch, and never in the applier's way: a failure only makes `retention` look worse than it is. */
  #confirming(stream: string): (checkpoint: LogCheckpoint, transactions: number) => void {
    const { clock } = this.#session.runtime;
    let written = clock.monotonic();
    let known = 0;
    return ({ position }, transactions) => {
      // What is written here comes back in the log; that alone is no reason to write again.
      if (clock.monotonic() - written < CONFIRM_MS || transactions === known) return;
      written = clock.monotonic();
      known = transactions;
      this.#streams
        .confirm(stream, position.text)
        .then(() => this.#touches.prune())
        .catch(() => {});
    };
  }

  async #alteredAgain(
    published: PublishedTables,
    table: PublishedTable,
    since: bigint,
    file: string,
  ): Promise<boolean> {
    const settings = await this.#server.settings(['binlog_row_metadata']);
    // The log names columns by itself: see `LogDirectory`.
    if (settings.get('binlog_row_metadata') === 'FULL') return false;
    return isAlteredAgain(this.#server, published, table, placeAt(since, file));
  }
}

function anotherLog(
  stream: string,
  from: LogCheckpoint,
  found: string | undefined,
): ChangeoverError {
  const what =
    found === undefined
      ? 'the server does not know this stream: it was removed, or this is another server or an older copy of it'
      : `the server knows the stream as one of "${found}"`;
  return new ChangeoverError(
    'LOG_LOST',
    `The follower has read stream ${stream} of "${from.identity}" up to ${from.position.text}, but ${what}.`,
    { data: { stream } },
  );
}
