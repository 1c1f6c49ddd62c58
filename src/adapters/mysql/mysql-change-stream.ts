import { ChangeoverError } from '../../errors/index.ts';
import type { ChangeStream, LogBatch, LogCheckpoint, OpenStream } from '../../log/index.ts';
import type { Clock } from '../../runtime/index.ts';
import { EVENT, eventHeader } from './binlog-events.ts';
import type { Dump } from './mysql-dump.ts';
import { LogAssembler } from './mysql-log-assembler.ts';
import { LogBatches } from './mysql-log-batches.ts';
import type { LogDirectory } from './mysql-log-directory.ts';
import type { LogPlace } from './mysql-log-items.ts';

/** Transactions are handed on in parts from half the bound on: so the other half can be read while the applier works. */
const RELEASE_SHARE = 0.5;

/** So long nothing comes before the server is asked whether there is nothing. */
const WATCH_MS = 2_000;

export interface StreamParts {
  readonly dump: Dump;
  readonly directory: LogDirectory;
  readonly from: LogPlace;
  /** The dump was asked for by GTID. */
  readonly byGtid: boolean;
  readonly options: OpenStream;
  readonly clock: Clock;
  /** Where the server says that its log ends. */
  readonly end: () => Promise<{ readonly file: string; readonly offset: number }>;
  /** Tells the server that nobody listens any more. Never rejects. */
  readonly ended: () => Promise<void>;
  /** The follower has this. `transactions`: how many were read so far that are not the reader's own. */
  readonly confirmed: (checkpoint: LogCheckpoint, transactions: number) => void;
}

/**
 * State: opening → reading ⇄ full (as many bytes wait as are allowed: the socket is left alone, the server waits) → ended (an error) or closed. What was read
 * before an error is still handed out.
 */
export class MysqlChangeStream implements ChangeStream {
  readonly #parts: StreamParts;
  readonly #batches: LogBatches;
  readonly #assembler: LogAssembler;
  #failure: unknown = null;
  /** Events so far, and at the last look. */
  #events = 0;
  #eventsSeen = -1;
  #stopWatching: () => void = () => {};
  #closing: Promise<void> | null = null;
  #pumping: Promise<void> = Promise.resolve();
  #arrived: () => void = () => {};
  #emptied: () => void = () => {};

  constructor(parts: StreamParts) {
    this.#parts = parts;
    const { from, whole, bytesMax } = parts.options;
    this.#batches = new LogBatches(from);
    this.#assembler = new LogAssembler(parts.directory, {
      from: parts.from,
      byGtid: parts.byGtid,
      releaseBytes: whole ? Number.POSITIVE_INFINITY : bytesMax * RELEASE_SHARE,
      sink: (item) => this.#batches.push(item),
    });
  }

  /** Reads until the server has shown that it has the log, then goes on by itself. Rejects when it has not. */
  async start(): Promise<this> {
    const { dump } = this.#parts;
    try {
      while (!this.#assembler.opened) {
        const event = await dump.next();
        if (event === null) throw new ChangeoverError('STORE_UNAVAILABLE', 'The log has no end.');
        await this.#assembler.feed(event);
      }
    } catch (error) {
      dump.close();
      await this.#parts.ended();
      throw error;
    }
    this.#pumping = this.#pump().catch((error: unknown) => this.#fail(error));
    this.#watch(false);
    return this;
  }

  async next(waitMs: number): Promise<LogBatch> {
    this.#refuse();
    if (!this.#batches.ready && this.#failure === null) await this.#arrival(waitMs);
    this.#refuse();
    if (!this.#batches.ready && this.#failure !== null) throw this.#failure;
    const batch = this.#batches.take(this.#parts.options);
    this.#emptied();
    return batch;
  }

  confirm(checkpoint: LogCheckpoint): void {
    this.#parts.confirmed(checkpoint, this.#assembler.transactions);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    this.#stopWatching();
    this.#parts.dump.close();
    this.#arrived();
    this.#emptied();
    await this.#pumping;
    await this.#parts.ended();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#stopWatching();
    this.#parts.dump.close();
    this.#arrived();
  }

  /**
   * A log that is reset (RESET MASTER) under a reader leaves it with the file that is gone: heartbeats go on, and nothing else ever comes. Therefore, while
   * nothing comes, the server is asked where its log ends; opening anew tells what has become of it.
   *
   * @param doubtful the last look found another end
   */
  #watch(doubtful: boolean): void {
    const { clock, end } = this.#parts;
    this.#stopWatching = clock.schedule(WATCH_MS, () => {
      const quiet = this.#events === this.#eventsSeen && !this.#isFull();
      this.#eventsSeen = this.#events;
      const look = quiet ? end().catch(() => null) : Promise.resolve(null);
      void look.then((found) => {
        if (this.#failure !== null || this.#closing !== null) return;
        const { file, offset } = this.#assembler.place;
        const other = found !== null && (found.file !== file || found.offset !== offset);
        if (other && doubtful && this.#events === this.#eventsSeen)
          this.#fail(
            new ChangeoverError(
              'STORE_UNAVAILABLE',
              `The binary log ends at ${found.file}:${found.offset}, but nothing behind ${file}:${offset} is sent.`,
            ),
          );
        else this.#watch(other);
      });
    });
  }

  #isFull(): boolean {
    return this.#batches.bytes > this.#parts.options.bytesMax;
  }

  #refuse(): void {
    if (this.#closing !== null)
      throw new ChangeoverError('CLOSED', 'The reader of the log is closed.');
  }

  #arrival(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.schedule(waitMs, resolve);
      this.#arrived = () => {
        cancel();
        resolve();
      };
    });
  }

  async #pump(): Promise<void> {
    const { dump } = this.#parts;
    for (;;) {
      // A promise only where there is something to wait for: most events are here already.
      const event = dump.poll() ?? (await dump.next());
      if (event === null)
        throw new ChangeoverError('STORE_UNAVAILABLE', 'The server sends its log no longer.');
      if (!isHeartbeat(event)) this.#events += 1;
      const lookup = this.#assembler.feed(event);
      if (lookup !== undefined) await lookup;
      if (this.#batches.ready) this.#arrived();
      while (this.#isFull() && this.#closing === null)
        await new Promise<void>((resolve) => {
          this.#emptied = resolve;
        });
    }
  }
}

function isHeartbeat(event: Buffer): boolean {
  const { type } = eventHeader(event);
  return type === EVENT.heartbeat || type === EVENT.heartbeatV2;
}
