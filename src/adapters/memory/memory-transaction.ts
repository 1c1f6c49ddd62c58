import { ChangeoverError, isChangeoverError, messageOf } from '../../errors/index.ts';
import type { LockMode } from './lock-table.ts';
import type { MemoryDatabase } from './memory-database.ts';
import type { LoggedRow } from './memory-log.ts';
import type { TableRef } from './memory-table.ts';
import type { Step } from './step-hook.ts';

/** What a session says of itself; guard and capture triggers look at it. */
export interface SessionMark {
  /** `door`: changes for the follower. `journalled`: an own write that writes its journal row itself. Others: whatever. */
  readonly kind: string;
  readonly epoch: number;
}

export interface TransactionOptions {
  /** Name of the client process. */
  readonly client: string;
  /** null: an unmarked session, i.e. a writer that knows nothing of us. */
  readonly mark: SessionMark | null;
  /** Server-side limit of the whole transaction; none if absent. */
  readonly timeoutMs?: number | undefined;
  /** Stands in the log with the transaction: the migration whose door makes it. */
  readonly logMark?: string | null;
}

/** A row of a transaction's own writes. */
interface Written {
  readonly row: unknown;
}

/**
 * open → (durable →) committed | rolled back. READ COMMITTED: each `get` sees what is committed now and the transaction's own writes. Writes are
 * buffered until commit; locks are held until the end. A transaction that fails, is terminated or whose client dies rolls back.
 * `durable`: it is in the log, where readers may have met it, but nobody sees its rows yet and its locks are held; nothing can take it back. Only in a database
 * whose log somebody keeps, and only for as long as the hook wants.
 */
export class MemoryTransaction {
  readonly id: number;
  readonly client: string;
  readonly mark: SessionMark | null;
  readonly held = new Set<string>();
  readonly logMark: string | null;
  /** What it did to rows, one after the other. */
  readonly rows: LoggedRow[] = [];
  /** Messages that go into the log with it. */
  readonly tokens: string[] = [];
  /** Settles when the transaction has ended, however. */
  readonly ended: Promise<void>;
  private readonly database: MemoryDatabase;
  private readonly writes = new Map<string, Map<string, Written>>();
  private readonly cancelTimeout: (() => void) | null;
  private settleEnded: () => void = () => {};
  private state: 'open' | 'durable' | 'committed' | 'rolled back' = 'open';
  private failure: ChangeoverError | null = null;
  private commitSent = false;
  private endWait: ((error: ChangeoverError | null) => void) | null = null;

  /** Use `database.begin`. */
  constructor(database: MemoryDatabase, id: number, options: TransactionOptions) {
    this.database = database;
    this.id = id;
    this.client = options.client;
    this.mark = options.mark;
    this.logMark = options.logMark ?? null;
    this.ended = new Promise((resolve) => {
      this.settleEnded = resolve;
    });
    const { timeoutMs } = options;
    this.cancelTimeout =
      timeoutMs === undefined
        ? null
        : database.clock.schedule(timeoutMs, () =>
            this.terminate(
              new ChangeoverError(
                'DEADLINE_EXCEEDED',
                `The transaction took longer than ${timeoutMs} ms and was rolled back.`,
              ),
            ),
          );
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  get hasWritten(): boolean {
    return this.writes.size > 0;
  }

  /** Draws from a sequence of the database. Not rolled back. */
  nextValue(sequence: string): bigint {
    return this.database.nextValue(sequence);
  }

  /** The server's wall clock, milliseconds since 1970. */
  serverNow(): number {
    return this.database.clock.now();
  }

  /** Runs one statement: to the server, its work, and back. Any failure rolls the transaction back. */
  async statement<T>(label: string, run: () => T | Promise<T>): Promise<T> {
    // A transaction that the server has ended is known to the client only when the next statement has been there.
    if (this.failure === null) this.assertOpen();
    const { hook } = this.database;
    try {
      if (hook) await hook.request(this.step(label));
      this.assertOpen();
      const result = await run();
      this.assertOpen();
      if (hook) await hook.reply(this.step(label));
      return result;
    } catch (error) {
      this.end('rolled back');
      if (error instanceof ChangeoverError) throw error;
      throw new ChangeoverError('STORE_REJECTED', `${label} failed: ${messageOf(error)}.`, {
        cause: error,
      });
    }
  }

  /** Inside a statement, between rows: others may run. */
  async betweenRows(label: string): Promise<void> {
    const { hook } = this.database;
    if (!hook) return;
    await hook.row(this.step(label));
    this.assertOpen();
  }

  /** Inside a statement: waits for the lock. STORE_CONFLICT on deadlock or after `timeoutMs`. */
  async lock(name: string, mode: LockMode, timeoutMs?: number): Promise<void> {
    const { locks, clock } = this.database;
    if (locks.tryAcquire(this, name, mode)) return;
    const cancel =
      timeoutMs === undefined
        ? null
        : clock.schedule(timeoutMs, () =>
            locks.cancelWait(
              this,
              new ChangeoverError('STORE_CONFLICT', `${name} was not free within ${timeoutMs} ms.`),
            ),
          );
    try {
      await locks.acquire(this, name, mode);
    } finally {
      cancel?.();
    }
    this.assertOpen();
  }

  /** Inside a statement: until the function that `subscribe` is given was called. Ends with the transaction; never when its client is dead. */
  async waitFor(subscribe: (wake: () => void) => () => void): Promise<void> {
    let unsubscribe = (): void => {};
    try {
      await new Promise<void>((resolve, reject) => {
        this.endWait = (error) => (error === null ? unsubscribe() : reject(error));
        unsubscribe = subscribe(resolve);
      });
    } finally {
      this.endWait = null;
      unsubscribe();
    }
    this.assertOpen();
  }

  /** Inside a statement: takes the lock if it is free. */
  tryLock(name: string, mode: LockMode): boolean {
    return this.database.locks.tryAcquire(this, name, mode);
  }

  get<R>(table: TableRef<R>, id: string): R | undefined {
    const own = this.writes.get(table.name)?.get(id);
    if (own) return own.row as R | undefined;
    return this.database.committed(table, id);
  }

  /** Visible rows of a group (children of one parent), in no particular order. */
  group<R>(table: TableRef<R>, group: string): readonly (readonly [string, R])[] {
    const rows = new Map<string, R>(this.database.committedGroup(table, group));
    for (const [id, { row }] of this.writes.get(table.name) ?? []) {
      if (!id.startsWith(`${group}\u0001`)) continue;
      if (row === undefined) rows.delete(id);
      else rows.set(id, row as R);
    }
    return [...rows];
  }

  /** Every visible row. */
  all<R>(table: TableRef<R>): readonly (readonly [string, R])[] {
    const rows = new Map<string, R>(this.database.committedRows(table));
    for (const [id, { row }] of this.writes.get(table.name) ?? []) {
      if (row === undefined) rows.delete(id);
      else rows.set(id, row as R);
    }
    return [...rows];
  }

  /** Buffers a row; undefined deletes it. The caller holds the row's lock. */
  set<R>(table: TableRef<R>, id: string, row: R | undefined): void {
    const before = this.get(table, id);
    this.put(table, id, row);
    if (before !== undefined || row !== undefined) this.note(table.name, before, row);
  }

  /** The row gets another id: one update in the log. */
  move<R>(table: TableRef<R>, from: string, to: string, row: R): void {
    const before = this.get(table, from);
    this.put(table, from, undefined);
    this.put(table, to, row);
    this.note(table.name, before, row);
  }

  /** TRUNCATE: the log does not name the rows. The caller holds the table's lock. */
  empty<R>(table: TableRef<R>): void {
    for (const [id] of this.all(table)) this.put(table, id, undefined);
    this.rows.push({ table: table.name, kind: 'truncate', before: undefined, after: undefined });
  }

  private note(table: string, before: unknown, after: unknown): void {
    const kind = before === undefined ? 'insert' : after === undefined ? 'delete' : 'update';
    this.rows.push({ table, kind, before, after });
  }

  private put<R>(table: TableRef<R>, id: string, row: R | undefined): void {
    let rows = this.writes.get(table.name);
    if (!rows) {
      rows = new Map();
      this.writes.set(table.name, rows);
    }
    rows.set(id, { row });
  }

  /** STORE_UNAVAILABLE before the COMMIT was sent; OUTCOME_UNKNOWN when the answer is lost; the failure when it had ended before. */
  async commit(): Promise<void> {
    if (this.failure === null) this.assertOpen();
    const { hook } = this.database;
    if (!hook) {
      await this.apply();
      return;
    }
    this.commitSent = true;
    const server = { commit: () => this.apply(), rollback: () => this.end('rolled back') };
    try {
      await hook.commit(this.step('commit'), server);
    } catch (error) {
      if (this.failure !== null && error === this.failure) throw error;
      if (isChangeoverError(error, 'BUG')) throw error;
      throw new ChangeoverError('OUTCOME_UNKNOWN', 'The connection was lost during COMMIT.', {
        cause: error,
      });
    }
  }

  /** Idempotent. Once COMMIT was sent it is the server's alone: whoever lost the connection can take nothing back. */
  rollback(): void {
    if (!this.commitSent) this.end('rolled back');
  }

  /** The server rolls back because the client is dead, whatever that had sent. */
  forsake(): void {
    this.end('rolled back');
  }

  /** The server ends the transaction: the client learns `error` from its present wait or its next statement. */
  terminate(error: ChangeoverError): void {
    if (this.state !== 'open') return;
    this.failure = error;
    this.database.locks.cancelWait(this, error);
    this.endWait?.(error);
    this.end('rolled back');
  }

  /** A server that comes back shows whatever is in its log. */
  recover(): void {
    if (this.state === 'durable') this.surface();
  }

  /** A promise only where there is a gap between log and visibility. */
  private apply(): void | Promise<void> {
    this.assertOpen();
    const { database } = this;
    const { hook, log } = database;
    const { id, logMark, rows, tokens } = this;
    const gap = log.isKept && hook?.surface !== undefined && this.writes.size > 0;
    const position =
      this.writes.size > 0 || tokens.length > 0
        ? log.append({ transaction: id, mark: logMark, rows, tokens })
        : null;
    if (!gap || position === null) {
      database.committing(this, this.writes, position);
      this.surface();
      return;
    }
    this.state = 'durable';
    log.surfacing.set(id, position);
    database.committing(this, this.writes, position);
    return hook?.surface?.(this.step('surface')).then(() => this.recover());
  }

  private surface(): void {
    // Same turn: nobody can see half of it.
    this.database.applyWrites(this, this.writes);
    this.finish('committed');
  }

  private end(state: 'committed' | 'rolled back'): void {
    if (this.state === 'open') this.finish(state);
  }

  private finish(state: 'committed' | 'rolled back'): void {
    this.state = state;
    this.endWait?.(null);
    this.cancelTimeout?.();
    this.writes.clear();
    this.database.ended(this);
    this.database.locks.releaseAll(this);
    this.settleEnded();
  }

  private assertOpen(): void {
    if (this.state === 'open') return;
    if (this.failure) throw this.failure;
    throw new ChangeoverError(
      'BUG',
      `A statement was sent in a transaction that is ${this.state}.`,
    );
  }

  private step(label: string): Step {
    return {
      database: this.database.label,
      client: this.client,
      transaction: this.id,
      label,
    };
  }
}
