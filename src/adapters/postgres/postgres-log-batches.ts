import { ChangeoverError } from '../../errors/index.ts';
import type { LogBatch, LogChange, LogCheckpoint, LogTable } from '../../log/index.ts';
import type { PgoutputHandler } from './pgoutput-decoder.ts';
import { memberName } from './postgres-log-facts.ts';
import { CHALLENGE_PREFIX, challengeToken, DOOR_PREFIX } from './postgres-log-mark.ts';
import { lsnText, positionAt } from './postgres-lsn.ts';
import type { PostgresLayout } from './postgres-schema.ts';

/** What a value costs beside its bytes, about: memory is what the bound is for. */
const CHANGE_BYTES = 64;

export interface BatchLimits {
  readonly changesMax: number;
  readonly bytesMax: number;
  readonly whole: boolean;
}

/** Changes of some transactions, and what is told with them. */
class Part {
  changes: LogChange[] = [];
  bytes = 0;
  challenges: string[] = [];
  xids: string[] = [];
  sequence = 0n;
  committedAtMs: number | null = null;
}

/**
 * Puts what the decoder tells together into batches. A transaction is divided only when it is larger than a batch (and not `whole`).
 *
 * **Positions.** A transaction's is the LSN at which its commit record begins. The server says from time to time that it has sent everything that lies wholly
 * before an LSN S; the next commit record may begin exactly there, so the position moves to S - 1. Reading on from a position P therefore means: from P + 1.
 *
 * State: between transactions ⇄ in a transaction (wanted, marked, or delivered before). `ready`: finished batches; `closed`: whole transactions that
 * may still grow into a batch; `open`: rows of the one that is being read.
 */
export class PostgresLogBatches implements PgoutputHandler {
  readonly #layout: PostgresLayout;
  readonly #identity: string;
  readonly #members: ReadonlySet<string>;
  readonly #limits: BatchLimits;
  readonly #from: bigint;
  readonly #ready: LogBatch[] = [];
  readonly #readyBytes: number[] = [];
  #closed = new Part();
  #open = new Part();
  /** Everything up to here was read completely. */
  #position: bigint;
  #inTransaction = false;
  #wanted = false;
  #marked = false;
  #sequence = 0n;
  #committedAtMs = 0;
  #xid = '';
  /** Rows of the transaction that is being read. */
  #rows = 0;
  /** Of the transaction behind `position`, those that were handed out, now or before the stream was opened. */
  #handed: number;
  #bytes = 0;
  #count = 0;

  /** @param members tables that may occur, by `memberName` */
  constructor(
    layout: PostgresLayout,
    from: LogCheckpoint,
    members: ReadonlySet<string>,
    limits: BatchLimits,
  ) {
    this.#layout = layout;
    this.#members = members;
    this.#identity = from.identity;
    this.#limits = limits;
    this.#from = from.position.sequence;
    this.#position = this.#from;
    this.#handed = from.skip;
  }

  begin(sequence: bigint, committedAtMs: number, xid: string): void {
    this.#inTransaction = true;
    this.#wanted = sequence > this.#from;
    this.#marked = false;
    this.#sequence = sequence;
    this.#committedAtMs = committedAtMs;
    this.#xid = xid;
    this.#rows = 0;
  }

  describe({ schema, name }: LogTable): void {
    if (this.#members.has(memberName(schema, name))) return;
    throw new ChangeoverError(
      'SCHEMA_CHANGED',
      `The log holds changes of table ${schema}.${name}, which the configuration does not name: a table was renamed while its changes were captured.`,
      { data: { table: `${schema}.${name}` } },
    );
  }

  change(change: LogChange, bytes: number): void {
    if (!this.#wanted) return;
    this.#rows += 1;
    if (this.#marked || this.#rows <= this.#handed) return;
    const open = this.#open;
    open.changes.push(change);
    open.bytes += bytes + CHANGE_BYTES;
    this.#bytes += bytes + CHANGE_BYTES;
    this.#count += 1;
    const { changesMax, bytesMax, whole } = this.#limits;
    const closed = this.#closed;
    if (closed.changes.length > 0) {
      const count = closed.changes.length + open.changes.length;
      if (count > changesMax || closed.bytes + open.bytes > bytesMax) this.#finishClosed();
    }
    if (!whole && (open.changes.length >= changesMax || open.bytes >= bytesMax)) this.#divide();
  }

  message(prefix: string, content: string): void {
    if (!this.#wanted) return;
    if (prefix === DOOR_PREFIX && content === this.#layout.migration) {
      this.#marked = true;
      this.#dropOpen();
    } else if (prefix === CHALLENGE_PREFIX) {
      const token = challengeToken(this.#layout, content);
      if (token !== null) this.#open.challenges.push(token);
    }
  }

  commit(): void {
    this.#inTransaction = false;
    if (!this.#wanted) return;
    if (this.#rows > 0) {
      if (this.#rows < this.#handed) throw this.#shrunk();
      this.#handed = 0;
    }
    this.#position = this.#sequence;
    const open = this.#open;
    if (open.changes.length === 0 && open.challenges.length === 0) return;
    this.#open = new Part();
    this.#stamp(open);
    this.#closed = joined(this.#closed, open);
    const { changesMax, bytesMax } = this.#limits;
    if (this.#closed.changes.length >= changesMax || this.#closed.bytes >= bytesMax)
      this.#finishClosed();
  }

  /** The server has sent everything before `lsn`. */
  sent(lsn: bigint): void {
    // Within a transaction it speaks of what lies before that.
    if (!this.#inTransaction && lsn - 1n > this.#position) this.#position = lsn - 1n;
  }

  /** Something can be taken. */
  get any(): boolean {
    return this.#ready.length > 0 || this.#hasClosed;
  }

  /** So much waits to be taken that nothing more should be read. Never true while nothing can be taken. */
  get full(): boolean {
    const { changesMax, bytesMax } = this.#limits;
    return this.any && (this.#bytes >= bytesMax || this.#count >= 2 * changesMax);
  }

  /** The next batch; without changes, and its checkpoint where reading stands, when there is none. */
  take(): LogBatch {
    if (this.#ready.length === 0 && this.#hasClosed) this.#finishClosed();
    const batch = this.#ready.shift();
    if (batch) {
      this.#bytes -= this.#readyBytes.shift() ?? 0;
      this.#count -= batch.changes.length;
      return batch;
    }
    return this.#batch(new Part());
  }

  get #hasClosed(): boolean {
    return this.#closed.changes.length > 0 || this.#closed.challenges.length > 0;
  }

  #finishClosed(): void {
    const closed = this.#closed;
    this.#closed = new Part();
    this.#push(closed);
  }

  /** A transaction that is larger than a batch. */
  #divide(): void {
    const open = this.#open;
    this.#open = new Part();
    this.#stamp(open);
    this.#handed = this.#rows;
    this.#push(open);
  }

  #stamp(part: Part): void {
    part.xids.push(this.#xid);
    part.sequence = this.#sequence;
    part.committedAtMs = this.#committedAtMs;
  }

  #push(part: Part): void {
    this.#ready.push(this.#batch(part));
    this.#readyBytes.push(part.bytes);
  }

  /** The checkpoint is that of the moment: all that was read completely is in this batch or an earlier one. */
  #batch(part: Part): LogBatch {
    const { changes, challenges, committedAtMs, xids } = part;
    const position = this.#position;
    return {
      changes,
      checkpoint: {
        identity: this.#identity,
        position: positionAt(position),
        skip: this.#handed,
      },
      challenges,
      committedAtMs,
      mark: { sequence: xids.length > 0 ? part.sequence : position, transactions: xids },
    };
  }

  #dropOpen(): void {
    const open = this.#open;
    this.#bytes -= open.bytes;
    this.#count -= open.changes.length;
    open.changes = [];
    open.bytes = 0;
  }

  #shrunk(): ChangeoverError {
    return new ChangeoverError(
      'LOG_LOST',
      `The transaction behind ${lsnText(this.#from)} has ${this.#rows} row changes in the log, of which ${this.#handed} were applied earlier: it is not the same log, or the publication was changed.`,
      { data: { position: lsnText(this.#from), rows: this.#rows, applied: this.#handed } },
    );
  }
}

function joined(closed: Part, open: Part): Part {
  if (closed.changes.length === 0 && closed.challenges.length === 0) return open;
  for (const change of open.changes) closed.changes.push(change);
  closed.bytes += open.bytes;
  for (const token of open.challenges) closed.challenges.push(token);
  closed.xids.push(...open.xids);
  closed.sequence = open.sequence;
  closed.committedAtMs = open.committedAtMs;
  return closed;
}
