import { ChangeoverError } from '../../errors/index.ts';
import type { LogBatch, LogChange, LogCheckpoint } from '../../log/index.ts';
import type { Position } from '../../record/index.ts';
import { RowReader } from './binlog-rows.ts';
import { itemBytes, type LogItem } from './mysql-log-items.ts';

export interface BatchLimits {
  readonly changesMax: number;
  readonly bytesMax: number;
  readonly whole: boolean;
}

/** A batch that is being filled. */
interface Filling {
  readonly changes: LogChange[];
  readonly challenges: string[];
  bytes: number;
  committedAtMs: number | null;
  sequence: bigint;
}

/**
 * What was read and not handed out, and the checkpoint behind what was. Row events are decoded here, when their batch is asked for: what waits is
 * bounded by its bytes in the log.
 *
 * `skip` counts rows that were handed out behind `position`. That is one transaction, or (while the position cannot move, see `LogItem`) several: the
 * count is the same whenever the log is read again.
 */
export class LogBatches {
  readonly #items: LogItem[] = [];
  #first = 0;
  #bytes = 0;
  #reader: RowReader | null = null;
  /** Items that wait and are more than the end of a transaction. */
  #worth = 0;
  readonly #identity: string;
  #position: Position;
  /** Rows behind `position` that were handed out, or that the follower has. */
  #passed = 0;
  /** Rows that the follower has already and that are still to come. */
  #dropped: number;

  constructor(from: LogCheckpoint) {
    this.#identity = from.identity;
    this.#position = from.position;
    this.#dropped = from.skip;
  }

  push(item: LogItem): void {
    const last = this.#items[this.#items.length - 1];
    // Transactions of others: only the place behind the last one counts.
    if (item.kind === 'end' && last?.kind === 'end' && this.#items.length > this.#first) {
      this.#items[this.#items.length - 1] = {
        kind: 'end',
        position: item.position ?? last.position,
        committedAtMs: item.committedAtMs ?? last.committedAtMs,
      };
      return;
    }
    this.#items.push(item);
    this.#bytes += itemBytes(item);
    if (item.kind !== 'end') this.#worth += 1;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Something is there that a reader waits for. */
  get ready(): boolean {
    return this.#worth > 0;
  }

  /** What there is, up to the limits. Without changes: where the log was read to. */
  take(limits: BatchLimits): LogBatch {
    const filling: Filling = {
      changes: [],
      challenges: [],
      bytes: 0,
      committedAtMs: null,
      sequence: 0n,
    };
    const full = (): boolean =>
      filling.changes.length >= limits.changesMax || filling.bytes >= limits.bytesMax;
    for (;;) {
      const item = this.#items[this.#first];
      if (item === undefined) break;
      if (item.kind === 'end') {
        this.#drop(item);
        this.#end(item, filling);
        if (full()) break;
        continue;
      }
      if (!limits.whole && full()) break;
      if (item.kind === 'rows') this.#rows(item, filling, limits);
      else {
        if (item.kind === 'challenge') filling.challenges.push(item.token);
        else {
          const { table, sequence } = item;
          const kind = 'truncate';
          this.#add(() => ({ table, kind, before: null, after: null, sequence }), filling);
        }
        this.#drop(item);
      }
    }
    const { changes, challenges, committedAtMs, sequence } = filling;
    const skip = this.#passed + this.#dropped;
    const checkpoint = { identity: this.#identity, position: this.#position, skip };
    const mark = { sequence, transactions: [] };
    return { changes, checkpoint, challenges, committedAtMs, mark };
  }

  #rows(item: LogItem & { kind: 'rows' }, filling: Filling, limits: BatchLimits): void {
    this.#reader ??= new RowReader(item.event, item.type, item.end, item.table, item.sequence);
    const reader = this.#reader;
    const room = limits.whole ? Number.POSITIVE_INFINITY : limits.changesMax;
    const bytesRoom = limits.whole ? Number.POSITIVE_INFINITY : limits.bytesMax;
    while (reader.more && filling.changes.length < room && filling.bytes < bytesRoom) {
      const before = reader.left;
      if (this.#dropped > 0) {
        reader.skip();
        this.#dropped -= 1;
      } else {
        filling.changes.push(reader.next());
        filling.bytes += before - reader.left;
      }
      this.#passed += 1;
    }
    filling.sequence = item.sequence;
    if (reader.more) return;
    this.#reader = null;
    this.#drop(item);
  }

  #add(change: () => LogChange, filling: Filling): void {
    this.#passed += 1;
    if (this.#dropped > 0) {
      this.#dropped -= 1;
      return;
    }
    const made = change();
    filling.changes.push(made);
    filling.sequence = made.sequence;
  }

  #end(item: LogItem & { kind: 'end' }, filling: Filling): void {
    filling.committedAtMs = item.committedAtMs ?? filling.committedAtMs;
    if (item.position === null) return;
    if (this.#dropped > 0)
      throw new ChangeoverError(
        'LOG_LOST',
        `The follower has ${this.#passed + this.#dropped} row changes behind ${this.#position.text}, the log holds ${this.#passed} of the migration's tables there: it is another log, or tables were added to the migration or left out.`,
      );
    this.#position = item.position;
    this.#passed = 0;
  }

  #drop(item: LogItem): void {
    this.#first += 1;
    this.#bytes -= itemBytes(item);
    if (item.kind !== 'end') this.#worth -= 1;
    if (this.#first < 1_024 && this.#first < this.#items.length) return;
    this.#items.splice(0, this.#first);
    this.#first = 0;
  }
}
