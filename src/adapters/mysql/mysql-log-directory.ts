import type { LogTable } from '../../log/index.ts';
import { textDecoding } from './binlog-charsets.ts';
import type { NamedTable } from './binlog-query.ts';
import { RowReader, type RowTable } from './binlog-rows.ts';
import { type TableMap, type TableMapHead, tableMap } from './binlog-table-map.ts';
import { columnDecoder } from './binlog-values.ts';
import { ServerCharsets } from './mysql-log-charsets.ts';
import { charsetsOf, compileTable, fits, knownColumns, unknownForm } from './mysql-log-compile.ts';
import { type FormColumn, formTypeText } from './mysql-log-forms.ts';
import type { FormHistory } from './mysql-log-history.ts';
import type { PublishedTable, PublishedTables } from './mysql-log-tables.ts';
import { tableText } from './mysql-log-tables.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** What row events of a table mean. */
export type TableEntry =
  /** A door transaction begins with these. */
  | { readonly kind: 'mark' }
  /** What is kept of streams. */
  | { readonly kind: 'kept' }
  | {
      readonly kind: 'challenge';
      tokens(event: Buffer, type: number, end: number): readonly string[];
    }
  | { readonly kind: 'rows'; readonly table: RowTable };

/** Tables of ours that door transactions write to first; the journal is not one of them. */
const MARKS: ReadonlySet<string> = new Set(['fence', 'chunk', 'gate', 'log_checkpoint']);
const KEPT_TABLES: ReadonlySet<string> = new Set(['log_stream', 'log_form']);
const CHALLENGE = 'challenge';
const TOUCHED = 'touched';
/** `id`, `collection`, `key_text`. */
const TOUCHES = { collection: 1, key: 2 } as const;
const MARK: TableEntry = { kind: 'mark' };
const KEPT: TableEntry = { kind: 'kept' };

interface Cached {
  /** The map behind the table's number. */
  readonly form: Buffer;
  readonly entry: TableEntry;
}

/** Everything that the reader of a log has to know about tables. */
export class LogDirectory {
  readonly published: PublishedTables;
  readonly #session: MysqlSession;
  readonly #layout: MysqlLayout;
  readonly #history: FormHistory;
  readonly #charsets: ServerCharsets;
  readonly #cache = new Map<string, Cached>();
  #touched: Cached | null = null;

  constructor(
    session: MysqlSession,
    layout: MysqlLayout,
    published: PublishedTables,
    history: FormHistory,
  ) {
    this.#session = session;
    this.#layout = layout;
    this.published = published;
    this.#history = history;
    this.#charsets = new ServerCharsets(session);
  }

  isOwn({ schema }: NamedTable): boolean {
    return schema.toLowerCase() === this.#layout.database.toLowerCase();
  }

  /** null: rows of the table do not matter. A promise where the table has to be looked up. */
  entry(
    event: Buffer,
    end: number,
    head: TableMapHead,
    mariadb: boolean,
    sequence: bigint,
  ): TableEntry | null | Promise<TableEntry> {
    if (this.isOwn(head)) return this.#own(event, end, head, mariadb);
    const published = this.published.find(head.schema, head.name);
    if (published === undefined) return null;
    const id = tableText(published);
    const cached = this.#cache.get(id);
    const form = event.subarray(head.formOffset, end);
    if (cached?.form.equals(form)) return cached.entry;
    const map = tableMap(Buffer.from(event), end, head, mariadb);
    return this.#compile(map, published, sequence).then((table) => {
      const entry: TableEntry = { kind: 'rows', table };
      this.#cache.set(id, { form: Buffer.from(form), entry });
      return entry;
    });
  }

  /** A statement may have changed the form of these; rows behind `sequence` are of the new one. */
  async noticed(tables: readonly NamedTable[], sequence: bigint): Promise<void> {
    for (const table of tables) {
      const published = this.published.find(table.schema, table.name);
      if (published === undefined) continue;
      if (await this.#history.noticed(published, sequence))
        this.#cache.delete(tableText(published));
    }
  }

  /** For a change that comes without a table map. */
  async described(table: NamedTable): Promise<LogTable> {
    const published = this.published.find(table.schema, table.name) as PublishedTable;
    const cached = this.#cache.get(tableText(published));
    if (cached?.entry.kind === 'rows') return cached.entry.table.log;
    const form = await this.#history.newest(published);
    const columns = form
      .filter(({ generated }) => !generated)
      .map((column) => ({ name: column.name, type: formTypeText(column), key: column.key }));
    return { ...published.spelled, columns };
  }

  /** True when these are tables without triggers: what a statement does to them stays there. */
  async isPlain(tables: readonly NamedTable[]): Promise<boolean> {
    for (const { schema, name } of tables) {
      const [found, triggers] = await this.#session.run(
        [
          `SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${quoteLiteral(schema)} AND TABLE_NAME = ${quoteLiteral(name)}`,
          `SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ${quoteLiteral(schema)} AND EVENT_OBJECT_TABLE = ${quoteLiteral(name)}`,
        ],
        { what: `lookup of ${schema}.${name}` },
      );
      if (found?.rows[0]?.[0] !== 'BASE TABLE' || triggers?.rows[0]?.[0] !== '0') return false;
    }
    return true;
  }

  #own(event: Buffer, end: number, head: TableMapHead, mariadb: boolean): TableEntry | null {
    const name = head.name.toLowerCase();
    if (MARKS.has(name)) return MARK;
    if (KEPT_TABLES.has(name)) return KEPT;
    if (name === TOUCHED) return this.#touchedEntry(event, end, head, mariadb);
    if (name !== CHALLENGE) return null;
    const map = tableMap(Buffer.from(event), end, head, mariadb);
    return {
      kind: 'challenge',
      tokens: (rows, type, rowsEnd) => tokensOf(map, rows, type, rowsEnd),
    };
  }

  #touchedEntry(event: Buffer, end: number, head: TableMapHead, mariadb: boolean): TableEntry {
    const form = event.subarray(head.formOffset, end);
    if (this.#touched?.form.equals(form)) return this.#touched.entry;
    const map = tableMap(Buffer.from(event), end, head, mariadb);
    const table = ownTable(map);
    const entry: TableEntry = {
      kind: 'rows',
      table: { ...table, log: { ...table.log, touches: TOUCHES } },
    };
    this.#touched = { form: Buffer.from(form), entry };
    return entry;
  }

  async #compile(map: TableMap, published: PublishedTable, sequence: bigint): Promise<RowTable> {
    const form = await this.#form(map, published, sequence);
    await this.#charsets.loadCollations();
    await this.#charsets.load(charsetsOf(map, form, this.#charsets));
    return compileTable(map, published, form, this.#charsets);
  }

  async #form(
    map: TableMap,
    published: PublishedTable,
    sequence: bigint,
  ): Promise<readonly (FormColumn | null)[]> {
    const form = await this.#history.at(published, sequence);
    if (form !== null && fits(map, form)) return form;
    if (map.metadata.names === undefined) throw unknownForm(published);
    return knownColumns(map, [...(await this.#history.present(published)), ...(form ?? [])]);
  }
}

/** A table of ours: texts in utf8mb4, and numbers that nobody asks for. */
function ownTable(map: TableMap): RowTable {
  const meaning = {
    unsigned: false,
    text: textDecoding('utf8mb4', undefined),
    labels: [],
    plain: null,
  };
  const columns = map.columns.map((_, index) => ({ name: String(index), type: '', key: false }));
  return {
    log: { schema: map.schema, name: map.name, columns },
    decoders: map.columns.map((column) => columnDecoder(column, meaning)),
    places: map.columns.map((_, index) => index),
    watched: new Set(),
  };
}

/** First column of what was inserted. */
function tokensOf(map: TableMap, event: Buffer, type: number, end: number): readonly string[] {
  const reader = new RowReader(event, type, end, ownTable(map), 0n);
  const tokens: string[] = [];
  while (reader.more) {
    const token = reader.next().after?.[0];
    if (typeof token === 'string') tokens.push(token);
  }
  return tokens;
}
