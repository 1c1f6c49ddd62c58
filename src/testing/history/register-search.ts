/** An operation of one key as the search sees it; values are numbers. */
export interface SearchOperation {
  readonly kind: 'write' | 'read';
  readonly value: number;
  /** When it may take effect at the earliest; -Infinity: before everything. */
  readonly from: number;
  /** By when it must have taken effect; Infinity: it need not. */
  readonly to: number;
  /** Index of the write that has to come before it; -1: none. */
  readonly after: number;
}

/** `failedAt`: index of the operation by whose end no order was left; null: there is an order. */
export interface SearchResult {
  readonly failedAt: number | null;
  readonly undecided: boolean;
}

/** A register with this value, and the pending operations that have taken effect. */
interface Configuration {
  readonly value: number;
  /** One bit for each pending operation, by its slot. */
  readonly done: bigint;
}

interface Event {
  readonly at: number;
  readonly begins: boolean;
  readonly index: number;
}

/**
 * Whether some order of the operations of one register fits: each takes effect at one moment between `from` and `to`, and a read finds the
 * latest write. Just-in-time linearization (G. Lowe, *Testing for linearizability*, 2017, after Wing & Gong 1993): through the events in the order
 * of time with the set of all configurations that are still possible; an operation takes effect only when the end of one forces it.
 *
 * Reads never branch: one whose value is there takes effect at once. Open writes (`to` Infinity) of one value are alike, so the oldest goes
 * first. Of two configurations that differ only in that one has fewer open writes behind it, or more reads, it alone is kept.
 */
export function searchRegister(
  initial: number,
  operations: readonly SearchOperation[],
  configurationsMax: number,
): SearchResult {
  const search = new RegisterSearch(operations, configurationsMax);
  return search.run(initial);
}

class RegisterSearch {
  readonly #operations: readonly SearchOperation[];
  readonly #max: number;
  /** Index of the operation → its bit while it is pending; 0n otherwise. */
  readonly #bits: bigint[];
  readonly #ended: boolean[];
  readonly #freeSlots: bigint[] = [];
  #slots = 0n;
  /** Indices of what is pending. */
  #writes: readonly number[] = [];
  #reads: readonly number[] = [];
  #openMask = 0n;
  #readMask = 0n;

  constructor(operations: readonly SearchOperation[], configurationsMax: number) {
    this.#operations = operations;
    this.#max = configurationsMax;
    this.#bits = operations.map(() => 0n);
    this.#ended = operations.map(() => false);
  }

  run(initial: number): SearchResult {
    let possible: readonly Configuration[] = [{ value: initial, done: 0n }];
    for (const { begins, index } of eventsOf(this.#operations)) {
      if (begins) {
        this.#begin(index);
        if (this.#operations[index]!.kind === 'read')
          possible = this.#kept(possible.map((one) => this.#absorbed(one)));
        continue;
      }
      const next = this.#through(possible, index);
      if (next === null) return { failedAt: index, undecided: true };
      if (next.length === 0) return { failedAt: index, undecided: false };
      possible = this.#end(next, index);
    }
    return { failedAt: null, undecided: false };
  }

  #begin(index: number): void {
    let bit = this.#freeSlots.pop();
    if (bit === undefined) {
      bit = 1n << this.#slots;
      this.#slots += 1n;
    }
    this.#bits[index] = bit;
    const { kind, to } = this.#operations[index]!;
    if (kind === 'write') {
      this.#writes = [...this.#writes, index];
      if (to === Number.POSITIVE_INFINITY) this.#openMask |= bit;
      return;
    }
    this.#reads = [...this.#reads, index];
    this.#readMask |= bit;
  }

  #end(possible: readonly Configuration[], index: number): readonly Configuration[] {
    const bit = this.#bits[index]!;
    const without = (indices: readonly number[]): readonly number[] =>
      indices.filter((other) => other !== index);
    this.#writes = without(this.#writes);
    this.#reads = without(this.#reads);
    this.#readMask &= ~bit;
    this.#bits[index] = 0n;
    this.#ended[index] = true;
    this.#freeSlots.push(bit);
    return this.#kept(possible.map(({ value, done }) => ({ value, done: done & ~bit })));
  }

  /** Every configuration in which the operation has just taken effect, or had before; null: too many. */
  #through(possible: readonly Configuration[], index: number): readonly Configuration[] | null {
    const bit = this.#bits[index]!;
    const reached: Configuration[] = [];
    const seen = new Set<string>();
    const left = [...possible];
    for (let one = left.pop(); one; one = left.pop()) {
      if ((one.done & bit) !== 0n) {
        reached.push(one);
        continue;
      }
      const triedOpen = new Set<number>();
      for (const write of this.#writes) {
        const writeBit = this.#bits[write]!;
        if ((one.done & writeBit) !== 0n) continue;
        const { value } = this.#operations[write]!;
        if ((writeBit & this.#openMask) !== 0n) {
          if (triedOpen.has(value)) continue;
          triedOpen.add(value);
        }
        const next = this.#absorbed({ value, done: one.done | writeBit });
        const name = `${next.value} ${next.done.toString(36)}`;
        if (seen.has(name)) continue;
        seen.add(name);
        left.push(next);
      }
      if (seen.size > this.#max) return null;
    }
    return this.#kept(reached);
  }

  /** Pending reads that find their value take effect. */
  #absorbed({ value, done }: Configuration): Configuration {
    let after = done;
    for (const read of this.#reads) {
      const operation = this.#operations[read]!;
      if (operation.value !== value) continue;
      const first = operation.after;
      const free = first < 0 || this.#ended[first] || (done & this.#bits[first]!) !== 0n;
      if (free) after |= this.#bits[read]!;
    }
    return { value, done: after };
  }

  /** Without those that another one makes needless. */
  #kept(possible: readonly Configuration[]): readonly Configuration[] {
    if (possible.length < 2) return possible;
    const groups = new Map<string, Configuration[]>();
    for (const one of possible) {
      const bound = one.done & ~this.#openMask & ~this.#readMask;
      const name = `${one.value} ${bound.toString(36)}`;
      const group = groups.get(name) ?? [];
      if (group.some((other) => this.#dominates(other, one))) continue;
      groups.set(name, [...group.filter((other) => !this.#dominates(one, other)), one]);
    }
    return [...groups.values()].flat();
  }

  #dominates(one: Configuration, other: Configuration): boolean {
    const fewerWrites = (one.done & ~other.done & this.#openMask) === 0n;
    const moreReads = (other.done & ~one.done & this.#readMask) === 0n;
    return fewerWrites && moreReads;
  }
}

/** In the order of time; at one moment beginnings come first, so operations that touch may be in either order. */
function eventsOf(operations: readonly SearchOperation[]): readonly Event[] {
  const events: Event[] = [];
  operations.forEach(({ from, to }, index) => {
    events.push({ at: from, begins: true, index });
    if (to !== Number.POSITIVE_INFINITY) events.push({ at: to, begins: false, index });
  });
  return events.sort(
    (a, b) => compare(a.at, b.at) || Number(b.begins) - Number(a.begins) || a.index - b.index,
  );
}

/** Infinities are equal to themselves, which a difference would not tell. */
const compare = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);
