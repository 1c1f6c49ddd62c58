import type { Clock } from '../../runtime/index.ts';

/** One row change in the order in which the transaction made it. Rows are those of the tables; undefined: no such row. */
export interface LoggedRow {
  readonly table: string;
  readonly kind: 'insert' | 'update' | 'delete' | 'truncate';
  readonly before: unknown;
  readonly after: unknown;
}

/** One committed transaction. */
export interface LogRecord {
  readonly sequence: bigint;
  readonly transaction: number;
  /** Name of the migration whose door made it; null: anybody else. */
  readonly mark: string | null;
  readonly rows: readonly LoggedRow[];
  /** Messages that it carries. */
  readonly tokens: readonly string[];
  readonly committedAtMs: number;
}

/** What keeps the log, as a replication slot does. */
export interface KeptStream {
  /** Everything behind it is kept. */
  confirmed: bigint;
  /** Part of the log behind `confirmed` is gone. */
  lost: boolean;
  /** Who reads it now; null: nobody. */
  reader: object | null;
}

/** What of a transaction stands in the log. */
export type LogEntry = Pick<LogRecord, 'transaction' | 'mark' | 'rows' | 'tokens'>;

/**
 * The commit log of a memory database: positions always grow, transactions are kept while a stream needs them. A transaction is in the log
 * *before* it is visible to others (`surfacing`), as in PostgreSQL. A restart of the server keeps the log and ends its readers.
 */
export class MemoryLog {
  readonly streams = new Map<string, KeptStream>();
  /** Number of a transaction that is in the log and not yet visible → its position. */
  readonly surfacing = new Map<number, bigint>();
  private readonly label: string;
  private readonly clock: Clock;
  private generation = 1;
  private position = 0n;
  private records: LogRecord[] = [];
  private listeners = new Set<() => void>();

  constructor(label: string, clock: Clock) {
    this.label = label;
    this.clock = clock;
  }

  get identity(): string {
    return `memory ${this.label} ${this.generation}`;
  }

  /** Position of the last transaction. */
  get end(): bigint {
    return this.position;
  }

  get isKept(): boolean {
    return this.streams.size > 0;
  }

  /** Position of the transaction. */
  append(entry: LogEntry): bigint {
    this.position += 1n;
    const sequence = this.position;
    if (this.isKept) {
      this.records.push({ ...entry, sequence, committedAtMs: this.clock.now() });
      this.wake();
    }
    return sequence;
  }

  /** Transactions behind a position, in commit order. */
  behind(position: bigint): readonly LogRecord[] {
    const first = this.records[0];
    if (first === undefined) return [];
    // Nothing is missing between two records of a log that is kept.
    const at = Number(position - first.sequence) + 1;
    return this.records.slice(Math.max(0, at));
  }

  /** A stream from now on; one that exists stays as it is. */
  keep(name: string): KeptStream {
    let stream = this.streams.get(name);
    if (!stream) {
      stream = { confirmed: this.position, lost: false, reader: null };
      this.streams.set(name, stream);
    }
    return stream;
  }

  drop(name: string): void {
    this.streams.delete(name);
    this.trim();
    this.wake();
  }

  /** What lies before it may go. */
  confirm(stream: KeptStream, position: bigint): void {
    if (position <= stream.confirmed) return;
    stream.confirmed = position;
    this.trim();
  }

  /** The server has no room for the log: what is there now is gone, and every stream that had not read it is lost. */
  purge(): void {
    this.records = [];
    for (const stream of this.streams.values()) stream.lost ||= stream.confirmed < this.position;
    this.wake();
  }

  /** Another server, or one that was restored: positions begin again and no stream is left. */
  reset(): void {
    this.generation += 1;
    this.position = 0n;
    this.records = [];
    this.streams.clear();
    this.wake();
  }

  endReaders(): void {
    for (const stream of this.streams.values()) stream.reader = null;
    this.wake();
  }

  /** Called when something was appended or taken away. The returned function ends it. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  wake(): void {
    for (const listener of [...this.listeners]) listener();
  }

  private trim(): void {
    let least = this.position;
    for (const { confirmed } of this.streams.values()) if (confirmed < least) least = confirmed;
    const keep = this.records.findIndex(({ sequence }) => sequence > least);
    if (keep !== 0) this.records = keep < 0 ? [] : this.records.slice(keep);
  }
}
