import { ChangeoverError } from '../../errors/index.ts';
import {
  type CharsetTable,
  charsetStatements,
  charsetTable,
  needsTable,
  type TextDecoding,
  textDecoding,
} from './binlog-charsets.ts';
import type { LogCharsets } from './mysql-log-compile.ts';
import type { MysqlSession } from './mysql-session.ts';

const BYTES = 'binary';

/** The character sets of one server; what it knows about them is asked once. */
export class ServerCharsets implements LogCharsets {
  readonly #session: MysqlSession;
  #collations: ReadonlyMap<number, string> | null = null;
  readonly #lengths = new Map<string, number>();
  readonly #decodings = new Map<string, TextDecoding>();

  constructor(session: MysqlSession) {
    this.#session = session;
  }

  /** Has to be done before `charsetOf`. */
  async loadCollations(): Promise<void> {
    if (this.#collations !== null) return;
    const { name, number } = await this.#session.flavour();
    const applicable = name === 'mariadb' && number >= 101_000;
    const [collations, charsets, more] = await this.#session.run(
      [
        'SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL',
        'SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS',
        // The collations of Unicode 14 have a number for each of their character sets.
        ...(applicable
          ? [
              'SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL',
            ]
          : []),
      ],
      { what: 'lookup of character sets' },
    );
    const lines = [...(collations?.rows ?? []), ...(more?.rows ?? [])];
    this.#collations = new Map(lines.map(([id, charset]) => [Number(id), charset ?? '']));
    for (const [charset, bytes] of charsets?.rows ?? [])
      this.#lengths.set(charset ?? '', Number(bytes));
  }

  /** Has to be done before `decoding`. */
  async load(charsets: readonly string[]): Promise<void> {
    for (const charset of charsets) {
      if (this.#decodings.has(charset)) continue;
      const table = needsTable(charset) ? await this.#table(charset) : undefined;
      this.#decodings.set(charset, textDecoding(charset, table));
    }
  }

  charsetOf(collation: number): string | null {
    const charset = this.#collations?.get(collation);
    if (charset === undefined)
      throw new ChangeoverError(
        'LOG_UNSUPPORTED',
        `The binary log names collation ${collation}, which the server does not list.`,
        { data: { collation } },
      );
    return charset === BYTES ? null : charset;
  }

  decoding(charset: string): TextDecoding {
    const found = this.#decodings.get(charset);
    if (found === undefined) return textDecoding(charset, undefined);
    return found;
  }

  async #table(charset: string): Promise<CharsetTable | undefined> {
    const bytes = this.#lengths.get(charset);
    if (bytes === undefined || !/^\w+$/.test(charset)) return undefined;
    const answers = await this.#session.run(charsetStatements(charset, bytes), {
      what: `lookup of character set ${charset}`,
    });
    return charsetTable(answers.map(({ rows }) => rows));
  }
}
