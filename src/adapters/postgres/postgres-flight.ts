import type pg from 'pg';
import type { Scalar } from '../../record/index.ts';

/** One statement with its parameters. Everything travels as text; arrays as PostgreSQL's own notation (`textArray`). */
export interface Statement {
  readonly text: string;
  readonly values?: readonly Scalar[];
  /** `COPY … FROM STDIN`: its data, in pieces. */
  readonly copy?: readonly Buffer[];
  /** Called as soon as it has been executed, while those behind it are on their way. */
  readonly done?: () => void;
}

/** Exact rows: each value is the server's own text, in the order of the select list. */
export interface SqlResult {
  readonly rows: readonly (readonly Scalar[])[];
  /** Rows that the command touched; 0 for commands without a count. */
  readonly count: number;
  /** `INSERT`, `COMMIT` … */
  readonly command: string;
}

/** The part of `pg`'s wire connection that a flight needs; the same one that pg-cursor and pg-copy-streams build on. */
interface Wire {
  readonly stream: { cork?: () => void; uncork?: () => void };
  parse(message: { text: string; name: string }): void;
  bind(message: { statement: string; values: readonly Scalar[] }): void;
  execute(message: { rows?: number }): void;
  close(message: { type: 'S'; name: string }): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  flush(): void;
  sync(): void;
}

/** Statements that a connection has prepared: text → name. `doubtful`: an error hid whether they were. */
export interface PreparedStatements {
  readonly names: Map<string, string>;
  readonly doubtful: Set<string>;
}

/** Beyond this many texts a connection stops preparing new ones: plans live in the server's memory. */
const PREPARED_MAX = 500;

/**
 * Several statements in one round trip, by the extended protocol with a *single* Sync: the first error skips everything behind it, up to
 * and including what would follow a failed BEGIN. (`pg`'s own `pipeline` option syncs after each statement, so
 * the statements behind a failed BEGIN would commit one by one.) Inside BEGIN … each statement still has a READ COMMITTED snapshot of its own;
 * without BEGIN the flight is one implicit transaction. No Describe: rows are arrays and their types are known.
 *
 * The data of a COPY follow its Execute without waiting for the server's word that it is ready for them. It takes them as they come, and drops them
 * where an error has made them pointless: as in the protocol's description, everything up to Sync (and Sync within a COPY would be lost).
 *
 * State: submitted → (parsed, bound, executed per statement) → error? → ready. `done` settles at ReadyForQuery or at the error.
 */
export class Flight {
  readonly done: Promise<readonly SqlResult[]>;
  readonly #statements: readonly Statement[];
  readonly #prepared: PreparedStatements | null;
  readonly #results: SqlResult[] = [];
  #rows: (readonly Scalar[])[] = [];
  #failed = false;
  #resolve: (results: readonly SqlResult[]) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  /** `pg` sets this for its own read timeouts; present so that it finds what it expects. */
  callback: (error: unknown) => void = () => {};

  constructor(statements: readonly Statement[], prepared: PreparedStatements | null) {
    this.#statements = statements;
    this.#prepared = prepared;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever gave up at a deadline no longer listens.
    this.done.catch(() => {});
  }

  /** Called by `pg.Client` when it is this flight's turn. */
  submit(wire: Wire): null {
    wire.stream.cork?.();
    try {
      for (const statement of this.#statements) {
        const name = this.#prepare(wire, statement.text);
        wire.bind({ statement: name, values: statement.values ?? [] });
        wire.execute({});
        if (statement.done) wire.flush();
        if (statement.copy === undefined) continue;
        for (const chunk of statement.copy) wire.sendCopyFromChunk(chunk);
        wire.endCopyFrom();
      }
      wire.sync();
    } finally {
      wire.stream.uncork?.();
    }
    return null;
  }

  #prepare(wire: Wire, text: string): string {
    const prepared = this.#prepared;
    const known = prepared?.names.get(text);
    if (prepared && known !== undefined && !prepared.doubtful.has(text)) return known;
    if (prepared === null || (known === undefined && prepared.names.size >= PREPARED_MAX)) {
      wire.parse({ text, name: '' });
      return '';
    }
    const name = known ?? `changeover_${prepared.names.size + 1}`;
    // Closing what does not exist is not an error, preparing what exists is.
    if (known !== undefined) wire.close({ type: 'S', name });
    prepared.names.set(text, name);
    // Until the flight has succeeded nobody knows.
    prepared.doubtful.add(text);
    wire.parse({ text, name });
    // The same text may come again in this flight; it has been parsed by then.
    prepared.doubtful.delete(text);
    return name;
  }

  handleRowDescription(): void {}

  handleDataRow(message: { readonly fields: readonly Scalar[] }): void {
    this.#rows.push(message.fields);
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.#finish(message.text);
  }

  handleEmptyQuery(): void {
    this.#finish('');
  }

  handlePortalSuspended(): void {}
  handleCopyInResponse(wire: { sendCopyFail(reason: string): void }): void {
    // With data they are on their way.
    if (this.#statements[this.#results.length]?.copy === undefined)
      wire.sendCopyFail('COPY is not possible here');
  }
  handleCopyData(): void {}

  handleError(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    for (const { text } of this.#statements.slice(this.#results.length)) {
      if (this.#prepared?.names.has(text)) this.#prepared.doubtful.add(text);
    }
    // The ReadyForQuery that follows is `pg`'s own business; queries behind this one wait for it.
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    if (!this.#failed) this.#resolve(this.#results);
  }

  #finish(tag: string): void {
    const space = tag.indexOf(' ');
    const last = tag.slice(tag.lastIndexOf(' ') + 1);
    const count = /^\d+$/.test(last) ? Number(last) : 0;
    this.#results.push({
      rows: this.#rows,
      count,
      command: space < 0 ? tag : tag.slice(0, space),
    });
    this.#rows = [];
    this.#statements[this.#results.length - 1]?.done?.();
  }
}

/** Sends the statements on a checked-out client; see `Flight`. The first error of the server rejects. */
export function fly(
  client: pg.Client | pg.PoolClient,
  statements: readonly Statement[],
  prepared: PreparedStatements | null,
): Promise<readonly SqlResult[]> {
  const flight = new Flight(statements, prepared);
  client.query(flight as unknown as pg.Submittable);
  return flight.done;
}
