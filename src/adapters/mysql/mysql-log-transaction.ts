import { ChangeoverError } from '../../errors/index.ts';
import { itemBytes, type LogItem } from './mysql-log-items.ts';

/** A transaction that is being read. */
export class LogTransaction {
  readonly sequence: bigint;
  readonly text: string;
  /** ms since 1970, where the event says so better than its header. */
  readonly committedAtMs: number | null;
  /** Ends with COMMIT, XID or the like; else its one statement is all of it. */
  begun: boolean;
  /** Prepared first and decided later: nothing of it may be handed out before. */
  xa = false;
  /** Has rows of others than the reader itself. */
  foreign = false;
  /** null: no row has come yet. */
  #marked: boolean | null = null;
  #items: LogItem[] = [];
  #bytes = 0;
  /** Items that were handed on before the end was known. */
  #released = 0;
  readonly #savepoints = new Map<string, number>();

  constructor(sequence: bigint, text: string, begun: boolean, committedAtMs: number | null) {
    this.sequence = sequence;
    this.text = text;
    this.begun = begun;
    this.committedAtMs = committedAtMs;
  }

  /** The first row event decides. */
  firstRow(isMark: boolean): void {
    this.#marked ??= isMark;
  }

  get marked(): boolean {
    return this.#marked === true;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(item: LogItem): void {
    if (this.marked) return;
    this.#items.push(item);
    this.#bytes += itemBytes(item);
  }

  savepoint(name: string): void {
    this.#savepoints.set(name, this.#released + this.#items.length);
  }

  /** What came after the savepoint did not happen. */
  rollbackTo(name: string): void {
    const kept = this.#savepoints.get(name) ?? 0;
    if (kept < this.#released) throw undone(this.text);
    this.#items.length = kept - this.#released;
    this.#bytes = this.#items.reduce((sum, item) => sum + itemBytes(item), 0);
  }

  /** Nothing of it happened. */
  rollback(): void {
    if (this.#released > 0) throw undone(this.text);
    this.#items = [];
    this.#bytes = 0;
  }

  /** Hands over what has come. */
  take(): readonly LogItem[] {
    const items = this.#items;
    this.#items = [];
    this.#bytes = 0;
    this.#released += items.length;
    return items;
  }
}

/**
 * InnoDB's part of a rolled-back transaction is in the log only when tables without transactions were changed in it too, and temporary tables made; it is
 * dropped while it is small. A large one is on its way in parts by then.
 */
function undone(text: string): ChangeoverError {
  return new ChangeoverError(
    'LOG_LOST',
    `The transaction at ${text} of the binary log was so large that it was applied in parts, and then rolled back on the source: the follower has rows of it that never existed. Verify and repair the follower, or start anew.`,
  );
}
