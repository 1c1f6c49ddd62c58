import { ChangeoverError } from '../../errors/index.ts';
import type {
  ChangeSource,
  ChangeStream,
  LogBatch,
  LogChange,
  LogCheckpoint,
  LogRetention,
  OpenStream,
} from '../../log/index.ts';
import type { Shape } from '../../migration/index.ts';
import type { Position } from '../../record/index.ts';
import type { KeptStream, LogRecord } from './memory-log.ts';
import { LogRows } from './memory-log-rows.ts';
import { lookOnce, type MemorySession } from './memory-session.ts';
import type { MemoryTransaction } from './memory-transaction.ts';

/** The commit log of a memory database. `confirm` lets it go, as with a replication slot: nobody can read again what was confirmed. */
export function createMemoryChangeSource(session: MemorySession): ChangeSource {
  const { database, client, context } = session;
  const { log } = database;
  const run = <T>(
    label: string,
    work: (transaction: MemoryTransaction) => T | Promise<T>,
  ): Promise<T> => {
    session.assertOpen();
    return database.transaction({ client, mark: null }, (transaction) =>
      transaction.statement(label, () => work(transaction)),
    );
  };
  return {
    install: (stream, lockTimeoutMs) =>
      run('log/install', async (transaction) => {
        if (!log.streams.has(stream)) {
          await waitForWriters(session, transaction, lockTimeoutMs);
          log.keep(stream);
        }
        const { confirmed } = log.keep(stream);
        return { identity: log.identity, position: positionOf(confirmed) };
      }),
    remove: (stream) => run('log/remove', () => log.drop(stream)),
    installed: () =>
      lookOnce(session, 'log/installed', () =>
        [...log.streams.keys()].filter(belongsTo(context.migration)),
      ),
    open: (options) =>
      lookOnce(session, 'log/open', () => {
        const kept = keptStream(session, options);
        const reader = new MemoryStream(session, options, kept);
        kept.reader = reader;
        log.wake();
        return reader;
      }),
    end: () => lookOnce(session, 'log/end', () => positionOf(log.end)),
    async challenge(token) {
      await run('log/challenge', (transaction) => {
        transaction.tokens.push(token);
      });
    },
    retention: (stream) => lookOnce(session, 'log/retention', () => retentionOf(session, stream)),
  };
}

function positionOf(sequence: bigint): Position {
  return { sequence, text: `memory:${sequence}` };
}

function belongsTo(migration: string): (stream: string) => boolean {
  const prefix = `changeover_${migration}_`;
  return (stream) => stream.startsWith(prefix) && /^[st]_\d+$/.test(stream.slice(prefix.length));
}

/** As a replication slot: what writes now is waited for. */
async function waitForWriters(
  { database }: MemorySession,
  transaction: MemoryTransaction,
  timeoutMs: number,
): Promise<void> {
  const writers = database.openTransactions().filter(({ hasWritten }) => hasWritten);
  if (writers.length === 0) return;
  let late = false;
  await transaction.waitFor((wake) => {
    const cancel = database.clock.schedule(timeoutMs, () => {
      late = true;
      wake();
    });
    void Promise.all(writers.map(({ ended }) => ended)).then(wake);
    return cancel;
  });
  if (late)
    throw new ChangeoverError(
      'STORE_CONFLICT',
      `Transactions that had begun to write before the stream did not end within ${timeoutMs} ms.`,
    );
}

function lost(why: string, stream: string): ChangeoverError {
  return new ChangeoverError('LOG_LOST', `Stream ${stream} of a memory database: ${why}.`, {
    data: { stream },
  });
}

function keptStream({ database }: MemorySession, { stream, from }: OpenStream): KeptStream {
  const { log } = database;
  const kept = log.streams.get(stream);
  if (from.identity !== log.identity)
    throw lost(`the log is "${log.identity}", not "${from.identity}"`, stream);
  if (!kept) throw lost('it does not exist', stream);
  if (kept.lost) throw lost('its log was purged', stream);
  const at = from.position.sequence;
  if (at < kept.confirmed) throw lost(`it was confirmed beyond ${from.position.text}`, stream);
  if (at > log.end) throw lost(`the log ends before ${from.position.text}`, stream);
  return kept;
}

function retentionOf({ database }: MemorySession, stream: string): LogRetention {
  const kept = database.log.streams.get(stream);
  if (!kept || kept.lost) return { retainedBytes: 0, leftBytes: null, state: 'lost' };
  const rows = database.log.behind(kept.confirmed).flatMap((record) => record.rows);
  const retainedBytes = rows.reduce((sum, row) => sum + JSON.stringify(row.after ?? '').length, 0);
  return { retainedBytes, leftBytes: null, state: 'kept' };
}

/** Where a reader stands: behind `sequence`, and so many published rows of the transaction behind it. */
interface Cursor {
  readonly sequence: bigint;
  readonly skip: number;
}

class MemoryStream implements ChangeStream {
  private readonly session: MemorySession;
  private readonly options: OpenStream;
  private readonly kept: KeptStream;
  private readonly rows: LogRows;
  private cursor: Cursor;
  private failed = false;

  constructor(session: MemorySession, options: OpenStream, kept: KeptStream) {
    this.session = session;
    this.options = options;
    this.kept = kept;
    this.rows = new LogRows(session.database, loggedShapes(session));
    this.cursor = { sequence: options.from.position.sequence, skip: options.from.skip };
  }

  async next(waitMs: number): Promise<LogBatch> {
    try {
      return await lookOnce(this.session, 'log/next', async (transaction) => {
        this.assertReading();
        if (!this.hasNews()) await this.wait(transaction, waitMs);
        this.assertReading();
        return this.batch();
      });
    } catch (error) {
      // What the server has sent may not have come: this reader does not know any more where it stands.
      this.failed = true;
      throw error;
    }
  }

  confirm(checkpoint: LogCheckpoint): void {
    const { log } = this.session.database;
    if (this.isReading && checkpoint.identity === log.identity)
      log.confirm(this.kept, checkpoint.position.sequence);
  }

  async close(): Promise<void> {
    if (this.kept.reader === this) this.kept.reader = null;
    this.failed = true;
    this.session.database.log.wake();
  }

  private get isReading(): boolean {
    return !this.failed && this.kept.reader === this;
  }

  private assertReading(): void {
    const { stream } = this.options;
    const { log } = this.session.database;
    if (this.kept.lost) throw lost('its log was purged', stream);
    if (log.streams.get(stream) !== this.kept) throw lost('it was removed', stream);
    if (this.isReading) return;
    throw new ChangeoverError(
      'STORE_UNAVAILABLE',
      `This reader of stream ${stream} was ended: it was closed, another one reads, or the connection broke.`,
      { data: { stream } },
    );
  }

  private hasNews(): boolean {
    return this.session.database.log.end > this.cursor.sequence;
  }

  private wait(transaction: MemoryTransaction, waitMs: number): Promise<void> {
    const { log, clock } = this.session.database;
    return transaction.waitFor((wake) => {
      const offChange = log.onChange(() => {
        if (this.hasNews() || !this.isReading) wake();
      });
      const cancel = clock.schedule(waitMs, wake);
      return () => {
        offChange();
        cancel();
      };
    });
  }

  /** Whole transactions until one of the bounds is met; then, unless `whole`, part of the next. */
  private batch(): LogBatch {
    const { log } = this.session.database;
    const changes: LogChange[] = [];
    const read: LogRecord[] = [];
    const tokens: string[] = [];
    let bytes = 0;
    for (const record of log.behind(this.cursor.sequence)) {
      if (this.isFull(changes.length, bytes)) break;
      read.push(record);
      const rows = record.rows.filter(({ table }) => this.rows.publishes(table));
      const marked = this.isMarked(record);
      let at = this.cursor.skip;
      for (; at < rows.length; at++) {
        if (marked) continue;
        if (!this.options.whole && this.isFull(changes.length, bytes)) break;
        const change = this.rows.change(rows[at]!, record.sequence);
        changes.push(change);
        bytes += sizeOf(change);
      }
      if (at < rows.length) {
        this.cursor = { ...this.cursor, skip: at };
        break;
      }
      tokens.push(...record.tokens);
      this.cursor = { sequence: record.sequence, skip: 0 };
    }
    const last = read.at(-1);
    return {
      changes,
      challenges: tokens,
      checkpoint: {
        identity: log.identity,
        position: positionOf(this.cursor.sequence),
        skip: this.cursor.skip,
      },
      committedAtMs: last?.committedAtMs ?? null,
      mark: {
        sequence: last?.sequence ?? this.cursor.sequence,
        transactions: read.map(({ transaction }) => String(transaction)),
      },
    };
  }

  private isMarked({ mark }: LogRecord): boolean {
    const { context, sabotage } = this.session;
    return mark === context.migration && !sabotage.has('log-mark-ignored');
  }

  private isFull(count: number, bytes: number): boolean {
    return count >= this.options.changesMax || bytes >= this.options.bytesMax;
  }
}

/** Shapes on this side of the collections that are captured from the log. */
function loggedShapes({ context }: MemorySession): readonly Shape[] {
  const { logged, shapes } = context;
  return [...shapes].flatMap(([name, shape]) => (logged?.has(name) ? [shape] : []));
}

function sizeOf({ before, after }: LogChange): number {
  let bytes = 0;
  for (const value of [...(before ?? []), ...(after ?? [])])
    bytes += typeof value === 'string' ? value.length : 1;
  return bytes;
}
