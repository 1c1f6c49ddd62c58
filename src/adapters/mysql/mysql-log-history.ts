import { type FormColumn, formColumn, formStatement } from './mysql-log-forms.ts';
import type { LogStreams } from './mysql-log-streams.ts';
import { type PublishedTable, tableText } from './mysql-log-tables.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** A form and from where in the log on it holds; null: nobody knows, because it was changed again before it was looked at. */
interface KeptForm {
  readonly since: bigint;
  readonly columns: readonly FormColumn[] | null;
}

/** Whether a statement that may change the form of a table stands in the log between `since` and now. */
export type LaterStatement = (table: PublishedTable, since: bigint) => Promise<boolean>;

/**
 * The forms that the tables had, by place in the log. The log itself names columns only with `binlog_row_metadata=FULL`, and the catalog only knows the
 * present; so what the catalog said when the stream was installed is kept beside it, and what it says after each ALTER that the log tells of, unless
 * another one follows in the log before the moment of looking.
 */
export class FormHistory {
  readonly #session: MysqlSession;
  readonly #streams: LogStreams;
  readonly #stream: string;
  readonly #later: LaterStatement;
  #kept: Map<string, KeptForm[]> | null = null;

  constructor(session: MysqlSession, streams: LogStreams, stream: string, later: LaterStatement) {
    this.#session = session;
    this.#streams = streams;
    this.#stream = stream;
    this.#later = later;
  }

  /** null: not known. A table of which nothing was kept has the catalog's form. */
  async at(table: PublishedTable, sequence: bigint): Promise<readonly FormColumn[] | null> {
    const kept = (await this.#load()).get(tableText(table));
    if (kept === undefined) return this.present(table);
    return kept.findLast(({ since }) => since <= sequence)?.columns ?? null;
  }

  async newest(table: PublishedTable): Promise<readonly FormColumn[]> {
    const kept = (await this.#load()).get(tableText(table));
    return kept?.at(-1)?.columns ?? this.present(table);
  }

  present(table: PublishedTable): Promise<readonly FormColumn[]> {
    return presentForm(this.#session, table);
  }

  /** True when the form is another one from `sequence` on. */
  async noticed(table: PublishedTable, sequence: bigint): Promise<boolean> {
    const all = await this.#load();
    const id = tableText(table);
    const kept = all.get(id) ?? [];
    // Read again after a reconnect: what was found then holds.
    if (kept.some(({ since }) => since === sequence)) return true;
    const columns = await this.present(table);
    const later = await this.#later(table, sequence);
    if (!later && same(kept.at(-1)?.columns, columns)) return false;
    const form: KeptForm = { since: sequence, columns: later ? null : columns };
    all.set(
      id,
      [...kept, form].sort((one, two) => (one.since < two.since ? -1 : 1)),
    );
    if (!later) await this.#streams.keepForm(this.#stream, table, sequence, columns);
    return true;
  }

  async #load(): Promise<Map<string, KeptForm[]>> {
    this.#kept ??= await this.#streams.forms(this.#stream);
    return this.#kept;
  }
}

const same = (one: readonly FormColumn[] | null | undefined, two: readonly FormColumn[]): boolean =>
  JSON.stringify(one) === JSON.stringify(two);

/** As the catalog has it now; [] when there is no such table. */
export async function presentForm(
  session: MysqlSession,
  { schema, name }: PublishedTable,
): Promise<readonly FormColumn[]> {
  const where = `c.TABLE_SCHEMA = ${quoteLiteral(schema)} AND c.TABLE_NAME = ${quoteLiteral(name)}`;
  const { rows } = await session.query(formStatement(where), {
    what: `lookup of ${schema}.${name}`,
  });
  return rows.map(formColumn);
}
