import { errnoOf } from './mysql-errors.ts';
import type { FormColumn } from './mysql-log-forms.ts';
import { type PublishedTable, tableText } from './mysql-log-tables.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** A stream as it stands in the store that is read. */
export interface KeptStream {
  readonly identity: string;
  /** Where it began, and what its follower has at least. `LogPlace` as text. */
  readonly start: string;
  readonly confirmed: string;
}

const NO_TABLE = 1146;
const NO_DATABASE = 1049;
const TABLE_OPTIONS =
  'ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin';

/**
 * What is kept of streams in our own database of the store that is read: that they exist, where they began, and the forms of the tables. The server itself
 * knows nothing of them: its log is kept as long as its own settings say.
 */
export class LogStreams {
  readonly #session: MysqlSession;
  readonly #layout: MysqlLayout;
  readonly #streams: string;
  readonly #forms: string;

  constructor(session: MysqlSession, layout: MysqlLayout) {
    this.#session = session;
    this.#layout = layout;
    this.#streams = `${layout.quotedDatabase}.log_stream`;
    this.#forms = `${layout.quotedDatabase}.log_form`;
  }

  /** Idempotent. Our database and the tables of challenges and touched records too: a stream may be installed before anything else is. */
  async create(): Promise<void> {
    const { quotedDatabase, challenge, touched } = this.#layout;
    await this.#session.run(
      [
        `CREATE DATABASE IF NOT EXISTS ${quotedDatabase} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
        `CREATE TABLE IF NOT EXISTS ${challenge} (token varchar(190) NOT NULL PRIMARY KEY) ${TABLE_OPTIONS}`,
        `CREATE TABLE IF NOT EXISTS ${touched} (
          id bigint unsigned NOT NULL PRIMARY KEY,
          collection varchar(190) NOT NULL,
          key_text mediumtext NOT NULL
        ) ${TABLE_OPTIONS}`,
        `CREATE TABLE IF NOT EXISTS ${this.#streams} (
          stream varchar(190) NOT NULL PRIMARY KEY,
          identity text NOT NULL,
          start text NOT NULL,
          confirmed text NOT NULL
        ) ${TABLE_OPTIONS}`,
        `CREATE TABLE IF NOT EXISTS ${this.#forms} (
          stream varchar(190) NOT NULL,
          table_name varchar(190) NOT NULL,
          since bigint NOT NULL,
          columns mediumtext NOT NULL,
          PRIMARY KEY (stream, table_name, since)
        ) ${TABLE_OPTIONS}`,
      ],
      { what: 'preparing capture by log' },
    );
  }

  async names(): Promise<readonly string[]> {
    const lines = await this.#read(`SELECT stream FROM ${this.#streams} ORDER BY stream`);
    return lines.map(([stream]) => stream ?? '');
  }

  async get(stream: string): Promise<KeptStream | null> {
    const [line] = await this.#read(
      `SELECT identity, start, confirmed FROM ${this.#streams} WHERE stream = ${quoteLiteral(stream)}`,
    );
    if (line === undefined) return null;
    const [identity, start, confirmed] = line;
    return { identity: identity ?? '', start: start ?? '', confirmed: confirmed ?? '' };
  }

  /** An existing one stays as it is. Committed when this returns. */
  async add(
    stream: string,
    kept: KeptStream,
    sequence: bigint,
    forms: ReadonlyMap<PublishedTable, readonly FormColumn[]>,
  ): Promise<void> {
    const values = [stream, kept.identity, kept.start, kept.confirmed].map(quoteLiteral);
    const lines = [...forms].map(([table, columns]) =>
      this.#formStatement(stream, table, sequence, columns),
    );
    await this.#session.transaction(
      (transaction) =>
        transaction.run([
          ...lines,
          `INSERT INTO ${this.#streams} (stream, identity, start, confirmed) VALUES (${values.join(', ')})
            ON DUPLICATE KEY UPDATE stream = VALUES(stream)`,
        ]),
      { timeoutMs: WRITE_MS, what: 'installing capture by log' },
    );
  }

  async confirm(stream: string, place: string): Promise<void> {
    await this.#session.query(
      `UPDATE ${this.#streams} SET confirmed = ${quoteLiteral(place)} WHERE stream = ${quoteLiteral(stream)}`,
    );
  }

  /** Idempotent. */
  async remove(stream: string): Promise<void> {
    const is = `WHERE stream = ${quoteLiteral(stream)}`;
    await this.#read(`DELETE FROM ${this.#streams} ${is}`);
    await this.#read(`DELETE FROM ${this.#forms} ${is}`);
  }

  /** By table, oldest first. */
  async forms(
    stream: string,
  ): Promise<Map<string, { since: bigint; columns: readonly FormColumn[] }[]>> {
    const lines = await this.#read(
      `SELECT table_name, since, columns FROM ${this.#forms} WHERE stream = ${quoteLiteral(stream)} ORDER BY since`,
    );
    const found = new Map<string, { since: bigint; columns: readonly FormColumn[] }[]>();
    for (const [table, since, columns] of lines) {
      const kept = found.get(table ?? '') ?? [];
      found.set(table ?? '', kept);
      const form = JSON.parse(columns ?? '[]') as readonly FormColumn[];
      kept.push({ since: BigInt(since ?? '0'), columns: form });
    }
    return found;
  }

  async keepForm(
    stream: string,
    table: PublishedTable,
    since: bigint,
    columns: readonly FormColumn[],
  ): Promise<void> {
    await this.#session.query(this.#formStatement(stream, table, since, columns));
  }

  #formStatement(
    stream: string,
    table: PublishedTable,
    since: bigint,
    columns: readonly FormColumn[],
  ): string {
    const [name, id, form] = [stream, tableText(table), JSON.stringify(columns)].map(quoteLiteral);
    return `INSERT INTO ${this.#forms} (stream, table_name, since, columns) VALUES (${name}, ${id}, ${since}, ${form})
      ON DUPLICATE KEY UPDATE columns = VALUES(columns)`;
  }

  /** Rows, or none when nothing of ours is there. */
  async #read(statement: string): Promise<readonly (readonly (string | null)[])[]> {
    try {
      return (await this.#session.query(statement, { what: 'lookup of capture by log' })).rows;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === NO_TABLE || errno === NO_DATABASE) return [];
      throw error;
    }
  }
}

const WRITE_MS = 10_000;
