import { ChangeoverError } from '../../errors/index.ts';
import { type Clock, systemClock } from '../../runtime/index.ts';
import { LockTable } from './lock-table.ts';
import { type LoggedRow, MemoryLog } from './memory-log.ts';
import { MemoryTable, type TableRef } from './memory-table.ts';
import {
  MemoryTransaction,
  type SessionMark,
  type TransactionOptions,
} from './memory-transaction.ts';
import type { StepHook } from './step-hook.ts';

/** One committed transaction, in commit order: the truth that tests judge engines by. */
export interface CommitRecord {
  /** Rises with every transaction that was begun, not with commits. */
  readonly transaction: number;
  readonly client: string;
  readonly mark: SessionMark | null;
  /** In the commit log of this database. */
  readonly position: bigint;
  /** What each row was before the transaction and is behind it. */
  readonly changes: readonly RowChange[];
  /** The same step by step. */
  readonly rows: readonly LoggedRow[];
}

export interface RowChange {
  readonly table: string;
  readonly id: string;
  /** undefined: no such row. */
  readonly before: unknown;
  readonly after: unknown;
}

/** A check constraint: the reason why a row is refused, or null. */
export type RowConstraint = (row: unknown) => string | null;

export interface MemoryDatabaseOptions {
  readonly label?: string;
  /** The server's own clock: timeouts, due times, leases. */
  readonly clock?: Clock;
  readonly hook?: StepHook | null;
  /** Table name → check constraint. */
  readonly constraints?: Readonly<Record<string, RowConstraint>>;
  /** What the log tells of old rows: all of it, or the columns of the key for deletes and changed keys only. Default `full`. */
  readonly logImage?: 'full' | 'keys';
  /** `table.column`: values that updates leave out of the log when they do not touch them. Default none. */
  readonly logLeavesOut?: readonly string[];
}

/** Buffered rows of a transaction: table name → row id → row, undefined for a deleted one. */
export type BufferedRows = ReadonlyMap<string, ReadonlyMap<string, { readonly row: unknown }>>;

/**
 * A small transactional database in this process: READ COMMITTED statements, row, table and advisory locks until commit, deadlock
 * detection, a non-transactional sequence. Several routers and workers may share one object. Not durable. For tests, examples and
 * simulation; algorithms that run on it are those of the real adapters, statement by statement.
 */
export class MemoryDatabase {
  readonly label: string;
  readonly clock: Clock;
  readonly locks = new LockTable();
  /** Set by a simulation; null: statements run straight. */
  hook: StepHook | null;
  readonly constraints: Readonly<Record<string, RowConstraint>>;
  readonly log: MemoryLog;
  readonly logImage: 'full' | 'keys';
  readonly logLeavesOut: ReadonlySet<string>;
  /** Rows of transactions that are in the log and not visible, in commit order. */
  private readonly durableRows = new Map<number, BufferedRows>();
  private readonly tables = new Map<string, MemoryTable>();
  private readonly open = new Set<MemoryTransaction>();
  private readonly sequences = new Map<string, bigint>();
  private listeners: readonly ((commit: CommitRecord) => void)[] = [];
  private transactions = 0;
  private down = false;

  constructor(options: MemoryDatabaseOptions = {}) {
    this.label = options.label ?? 'memory';
    this.clock = options.clock ?? systemClock;
    this.hook = options.hook ?? null;
    this.constraints = options.constraints ?? {};
    this.log = new MemoryLog(this.label, this.clock);
    this.logImage = options.logImage ?? 'full';
    this.logLeavesOut = new Set(options.logLeavesOut);
  }

  /** While the server is stopped, the first statement fails with STORE_UNAVAILABLE. */
  begin(options: TransactionOptions): MemoryTransaction {
    this.transactions += 1;
    const transaction = new MemoryTransaction(this, this.transactions, options);
    this.open.add(transaction);
    if (this.down) transaction.terminate(this.unavailable());
    return transaction;
  }

  /** Runs `work` in a transaction of its own and commits; rolls back when it throws. */
  async transaction<T>(
    options: TransactionOptions,
    work: (transaction: MemoryTransaction) => Promise<T>,
  ): Promise<T> {
    const transaction = this.begin(options);
    let result: T;
    try {
      result = await work(transaction);
    } catch (error) {
      transaction.rollback();
      throw error;
    }
    await transaction.commit();
    return result;
  }

  /** Ends every open transaction and refuses new ones until `start`. */
  stop(): void {
    this.down = true;
    this.terminate(() => true);
    for (const transaction of [...this.open]) transaction.recover();
    this.log.endReaders();
  }

  start(): void {
    this.down = false;
  }

  /** The server ends transactions; their clients see STORE_UNAVAILABLE. */
  terminate(which: (transaction: MemoryTransaction) => boolean): void {
    for (const transaction of [...this.open]) {
      if (which(transaction)) transaction.terminate(this.unavailable());
    }
  }

  /** A client process has died: its transactions roll back and none of its waits ever settles. */
  clientDied(
    client: string,
    except: (transaction: MemoryTransaction) => boolean = () => false,
  ): void {
    const dead = [...this.open].filter(
      (transaction) => transaction.client === client && !except(transaction),
    );
    // All waits first: what one of them gives up must not wake another.
    for (const transaction of dead) this.locks.cancelWait(transaction, null);
    for (const transaction of dead) transaction.forsake();
  }

  /** Transactions that are open now. */
  openTransactions(): readonly MemoryTransaction[] {
    return [...this.open];
  }

  /** The next value, from 1. Not rolled back. */
  nextValue(sequence: string): bigint {
    const value = (this.sequences.get(sequence) ?? 0n) + 1n;
    this.sequences.set(sequence, value);
    return value;
  }

  sequenceValue(sequence: string): bigint {
    return this.sequences.get(sequence) ?? 0n;
  }

  /** Sets the last value that was given out. */
  setSequence(sequence: string, value: bigint): void {
    this.sequences.set(sequence, value);
  }

  dropSequence(sequence: string): void {
    this.sequences.delete(sequence);
  }

  /** Names of sequences. */
  sequenceNames(): readonly string[] {
    return [...this.sequences.keys()];
  }

  committed<R>(table: TableRef<R>, id: string): R | undefined {
    return this.tables.get(table.name)?.rows.get(id) as R | undefined;
  }

  committedRows<R>(table: TableRef<R>): Iterable<readonly [string, R]> {
    return (this.tables.get(table.name)?.rows ?? new Map()) as Map<string, R>;
  }

  committedGroup<R>(table: TableRef<R>, group: string): readonly (readonly [string, R])[] {
    const found = this.tables.get(table.name);
    if (!found) return [];
    return Array.from(found.idsOf(group), (id) => [id, found.rows.get(id) as R] as const);
  }

  /** Ids of the committed rows of a root table, in key order. */
  committedKeys(table: TableRef<unknown>): readonly string[] {
    return this.tables.get(table.name)?.inKeyOrder() ?? [];
  }

  /** True when the table has ever held a row and was not dropped. */
  hasTable(name: string): boolean {
    return this.tables.has(name);
  }

  dropTable(name: string): void {
    this.tables.delete(name);
  }

  /** Called with every commit that changed rows, in the order of the log, when it can no longer be taken back. The returned function ends it. */
  onCommit(listener: (commit: CommitRecord) => void): () => void {
    this.listeners = [...this.listeners, listener];
    return () => {
      this.listeners = this.listeners.filter((other) => other !== listener);
    };
  }

  /** What will be there when everything in the log is visible; the same as the committed rows when nothing is on its way. */
  durable<R>(table: TableRef<R>, id: string): R | undefined {
    let row: unknown = this.committed(table, id);
    for (const rows of this.durableRows.values()) {
      const own = rows.get(table.name)?.get(id);
      if (own) row = own.row;
    }
    return row as R | undefined;
  }

  durableGroup<R>(table: TableRef<R>, group: string): readonly (readonly [string, R])[] {
    const found = new Map<string, unknown>(this.committedGroup(table, group));
    for (const rows of this.durableRows.values()) {
      for (const [id, { row }] of rows.get(table.name) ?? []) {
        if (!id.startsWith(`${group}\u0001`)) continue;
        if (row === undefined) found.delete(id);
        else found.set(id, row);
      }
    }
    return [...found] as (readonly [string, R])[];
  }

  /** For `MemoryTransaction` only: the commit is decided. */
  committing(transaction: MemoryTransaction, writes: BufferedRows, position: bigint | null): void {
    if (position === null) return;
    this.durableRows.set(transaction.id, writes);
    if (this.listeners.length === 0) return;
    const changes: RowChange[] = [];
    for (const [name, rows] of writes) {
      for (const [id, { row }] of rows)
        changes.push({ table: name, id, before: this.tables.get(name)?.rows.get(id), after: row });
    }
    if (changes.length === 0) return;
    const { id, client, mark, rows } = transaction;
    for (const listener of this.listeners)
      listener({ transaction: id, client, mark, position, changes, rows });
  }

  /** For `MemoryTransaction` only: others see it. */
  applyWrites(transaction: MemoryTransaction, writes: BufferedRows): void {
    for (const [name, rows] of writes) {
      let table = this.tables.get(name);
      if (!table) {
        table = new MemoryTable();
        this.tables.set(name, table);
      }
      for (const [id, { row }] of rows) {
        if (row === undefined) table.delete(id);
        else table.set(id, row);
      }
    }
    this.durableRows.delete(transaction.id);
    if (this.log.surfacing.delete(transaction.id)) this.log.wake();
  }

  /** For `MemoryTransaction` only. */
  ended(transaction: MemoryTransaction): void {
    this.open.delete(transaction);
  }

  private unavailable(): ChangeoverError {
    return new ChangeoverError('STORE_UNAVAILABLE', `The database "${this.label}" is not there.`);
  }
}
