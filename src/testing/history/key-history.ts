import type {
  HistoryFaultKind,
  Operation,
  ReadDemand,
  ReadOperation,
  WriteOperation,
} from './history.ts';
import { type SearchOperation, searchRegister } from './register-search.ts';

/** A read and what is asked of it. */
export interface DemandingRead {
  readonly read: ReadOperation;
  readonly demand: ReadDemand;
}

/** All that is known of one key. `failed` writes are in `writes` as well. */
export interface KeyHistory {
  readonly key: string;
  readonly initial: string | null;
  readonly writes: readonly WriteOperation[];
  readonly reads: readonly DemandingRead[];
}

/** `at`: the operation at whose answer nothing fits any more. */
export interface KeyFault {
  readonly kind: Exclude<HistoryFaultKind, 'older than the token'>;
  readonly at: Operation;
}

/** Two words, so that null and any text stay apart. */
const nameOf = (value: string | null): string => (value === null ? 'absent' : `= ${value}`);

/** Checks one key; null: an order fits. */
export function checkKey(history: KeyHistory, configurationsMax: number): KeyFault | null {
  const prepared = new PreparedKey(history);
  const nowhere = prepared.fromNowhere();
  if (nowhere) return { kind: 'value from nowhere', at: nowhere };
  const { operations, originals, initial } = prepared.search();
  const { failedAt, undecided } = searchRegister(initial, operations, configurationsMax);
  if (failedAt === null) return null;
  return { kind: undecided ? 'undecided' : 'no order', at: originals[failedAt]! };
}

/** From when on a read may have found its value; -Infinity: from the beginning. */
export function earliestOf(
  { read, demand }: DemandingRead,
  writes: readonly WriteOperation[],
): number {
  if (demand === 'linearizable') return read.from;
  const token = demand === 'token' ? writes.find(({ id }) => id === read.token) : undefined;
  return token?.from ?? Number.NEGATIVE_INFINITY;
}

/** A key with its values numbered, and with what needs no search left out. */
class PreparedKey {
  readonly #history: KeyHistory;
  readonly #numbers = new Map<string, number>();
  /** Value → writes that may have made it. */
  readonly #authors = new Map<string, WriteOperation[]>();
  readonly #byId = new Map<string, WriteOperation>();

  constructor(history: KeyHistory) {
    this.#history = history;
    for (const write of history.writes) {
      this.#byId.set(write.id, write);
      if (write.outcome === 'failed') continue;
      const name = nameOf(write.value);
      const others = this.#authors.get(name);
      if (others) others.push(write);
      else this.#authors.set(name, [write]);
    }
  }

  /** A read whose value nobody can have written before its answer. */
  fromNowhere(): ReadOperation | null {
    const found = this.#history.reads.find(
      ({ read }) =>
        read.value !== this.#history.initial &&
        !this.#authorsOf(read).some(({ from }) => from <= read.to),
    );
    return found?.read ?? null;
  }

  search(): {
    readonly operations: readonly SearchOperation[];
    readonly originals: readonly Operation[];
    readonly initial: number;
  } {
    const history = this.#history;
    const operations: SearchOperation[] = [];
    const originals: Operation[] = [];
    const places = new Map<string, number>();
    const add = (original: Operation, operation: SearchOperation): void => {
      operations.push(operation);
      originals.push(original);
    };
    const seenUntil = this.#seenUntil();
    for (const write of history.writes) {
      const to = this.#endOf(write, seenUntil);
      if (to === null) continue;
      places.set(write.id, operations.length);
      const value = this.#numberOf(write.value);
      add(write, { kind: 'write', value, from: write.from, to, after: -1 });
    }
    for (const demanding of history.reads) {
      if (this.#isSettled(demanding)) continue;
      const { read } = demanding;
      const after = this.#tokenOf(demanding);
      add(read, {
        kind: 'read',
        value: this.#numberOf(read.value),
        from: after?.from ?? earliestOf(demanding, []),
        to: read.to,
        after: after === null ? -1 : places.get(after.id)!,
      });
    }
    return { operations, originals, initial: this.#numberOf(history.initial) };
  }

  #authorsOf(read: ReadOperation): readonly WriteOperation[] {
    return this.#authors.get(nameOf(read.value)) ?? [];
  }

  #numberOf(value: string | null): number {
    const name = nameOf(value);
    const number = this.#numbers.get(name) ?? this.#numbers.size;
    this.#numbers.set(name, number);
    return number;
  }

  /** Value → the earliest end of a read that saw it. */
  #seenUntil(): ReadonlyMap<string, number> {
    const seen = new Map<string, number>();
    for (const { read } of this.#history.reads) {
      const name = nameOf(read.value);
      seen.set(name, Math.min(seen.get(name) ?? Number.POSITIVE_INFINITY, read.to));
    }
    return seen;
  }

  /** By when a write has taken effect; null: it is of no consequence. */
  #endOf(write: WriteOperation, seenUntil: ReadonlyMap<string, number>): number | null {
    if (write.outcome === 'failed') return null;
    if (write.outcome === 'ok') return write.to;
    const name = nameOf(write.value);
    const seen = seenUntil.get(name);
    // What nobody saw need not have happened.
    if (seen === undefined) return null;
    const alone = this.#authors.get(name)?.length === 1 && write.value !== this.#history.initial;
    return alone ? seen : Number.POSITIVE_INFINITY;
  }

  #tokenOf({ read, demand }: DemandingRead): WriteOperation | null {
    return demand === 'token' ? this.#byId.get(read.token!)! : null;
  }

  /** A read that may be stale and is explained by a write that certainly had its turn in time. */
  #isSettled({ read, demand }: DemandingRead): boolean {
    if (demand === 'linearizable') return false;
    const authors = this.#authorsOf(read);
    if (demand === 'written')
      return (
        read.value === this.#history.initial ||
        authors.some(({ outcome, to }) => outcome === 'ok' && to <= read.to)
      );
    const token = this.#byId.get(read.token!)!;
    if (token.value === read.value) return true;
    return authors.some(
      ({ outcome, from, to }) => outcome === 'ok' && from > token.to && to <= read.to,
    );
  }
}
