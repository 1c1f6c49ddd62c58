import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { ChangeStream, LogBatch, LogCheckpoint } from '../../log/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { PgoutputDecoder } from './pgoutput-decoder.ts';
import type { PostgresLogBatches } from './postgres-log-batches.ts';
import type { ReplicationConnection, ReplicationHandler } from './postgres-replication.ts';

/** How often a stream looks whether slot and publication are still those that it reads. */
const WATCH_MS = 5_000;

/**
 * Reads one slot. What the server sends is decoded as it comes and put into batches; when these are full, the socket is held until some are taken.
 *
 * State: reading ⇄ held → failed (every `next` rejects with the reason) or closed.
 */
export class PostgresChangeStream implements ChangeStream, ReplicationHandler {
  readonly #runtime: Runtime;
  readonly #batches: PostgresLogBatches;
  readonly #decoder: PgoutputDecoder;
  readonly #check: () => Promise<void>;
  #connection: ReplicationConnection | null = null;
  #failure: ChangeoverError | null = null;
  #wake: () => void = () => {};
  #resting = false;
  #cancelWatch: () => void = () => {};

  /** @param check throws LOG_LOST when the stream's objects are no longer what they were */
  constructor(runtime: Runtime, batches: PostgresLogBatches, check: () => Promise<void>) {
    this.#runtime = runtime;
    this.#batches = batches;
    this.#decoder = new PgoutputDecoder(batches);
    this.#check = check;
  }

  /** Called once, when the connection has begun to read for this stream. */
  reads(connection: ReplicationConnection): void {
    this.#connection = connection;
    // Its first bytes may have come with the answer already.
    this.turn();
    this.#watch();
  }

  async next(waitMs: number): Promise<LogBatch> {
    if (this.#resting) {
      this.#resting = false;
      if (!this.#batches.full) this.#connection?.resume();
      // What lies in the socket is read before this goes on.
      await this.#runtime.clock.yield();
    }
    if (this.#failure === null && !this.#batches.any && waitMs > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.#runtime.clock.schedule(waitMs, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
    if (this.#failure) throw this.#failure;
    const batch = this.#batches.take();
    if (!this.#batches.full) this.#connection?.resume();
    return batch;
  }

  rest(): void {
    this.#resting = true;
    this.#connection?.hold();
  }

  confirm({ position }: LogCheckpoint): void {
    this.#connection?.confirm(position.sequence + 1n);
  }

  async close(): Promise<void> {
    this.failed(new ChangeoverError('CLOSED', 'The stream was closed.'));
    await this.#connection?.close();
  }

  message(data: Buffer, start: number, end: number): void {
    this.#decoder.decode(data, start, end);
  }

  sent(lsn: bigint): void {
    this.#batches.sent(lsn);
  }

  turn(): void {
    if (this.#batches.any) this.#wake();
    if (this.#batches.full) this.#connection?.hold();
  }

  failed(error: ChangeoverError): void {
    this.#failure ??= error;
    this.#cancelWatch();
    this.#wake();
  }

  /** A publication or slot that somebody replaces takes changes with it that nothing else would miss. */
  #watch(): void {
    this.#cancelWatch = this.#runtime.clock.schedule(WATCH_MS, () => {
      this.#check().then(
        () => {
          if (this.#failure === null) this.#watch();
        },
        (error: unknown) => {
          if (this.#failure !== null) return;
          if (isChangeoverError(error, 'LOG_LOST')) {
            this.failed(error);
            this.#connection?.close().catch(() => {});
          } else this.#watch();
        },
      );
    });
  }
}
