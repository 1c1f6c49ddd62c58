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
 * What keeps the set small: a read whose value is there takes effect at once; a value that reads still ask for is not left behind unless another
 * write may bring it back; a write that no read asks for goes unseen before the next one; an open write (`to` Infinity) happens only when a read
 * asks for it, the oldest of its value first. Of two configurations that differ only in that one has fewer open writes behind it, or
 * more reads, it alone is kept.
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
  /** Value → reads, and writes, of it that have not begun. */
  readonly #comingReads: number[] = [];
  readonly #comingWrites: number[] = [];

  constructor(operations: readonly SearchOperation[], configurationsMax: number) {
    this.#operations = operations;
    this.#max = configurationsMax;
    this.#bits = operations.map(() => 0n);
    this.#ended = operations.map(() => false);
    for (const { kind, value } of operations) {
      const coming = kind === 'read' ? this.#comingReads : this.#comingWrites;
      coming[value] = (coming[value] ?? 0) + 1;
    }
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
    const { kind, to, value } = this.#operations[index]!;
    const coming = kind === 'read' ? this.#comingReads : this.#comingWrites;
    coming[value]! -= 1;
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
    const isWrite = this.#operations[index]!.kind === 'write';
    const reached: Configuration[] = [];
    const known = new Frontier(this.#openMask, this.#readMask);
    let left = [...possible];
    while (left.length > 0) {
      // Breadth first: fewer open writes come before more, and are what is kept.
      const further: Configuration[] = [];
      for (const one of left) {
        if ((one.done & bit) !== 0n) {
          reached.push(one);
          continue;
        }
        if (!this.#mayBeLeft(one)) continue;
        const from = isWrite ? this.#unseenGone(one, index) : one;
        for (const next of this.#nextOf(from)) if (known.add(next)) further.push(next);
      }
      if (known.size > this.#max) return null;
      left = further;
    }
    return this.#kept(reached);
  }

  /** After one more write. */
  *#nextOf(one: Configuration): Generator<Configuration> {
    const triedOpen = new Set<number>();
    for (const write of this.#writes) {
      const bit = this.#bits[write]!;
      if ((one.done & bit) !== 0n) continue;
      const { value } = this.#operations[write]!;
      const done = one.done | bit;
      const next = this.#absorbed({ value, done });
      if ((bit & this.#openMask) !== 0n) {
        if (triedOpen.has(value) || next.done === done) continue;
        triedOpen.add(value);
      }
      yield next;
    }
  }

  /** False: a read still asks for the value, and nothing could bring it back. */
  #mayBeLeft({ value, done }: Configuration): boolean {
    const wanted = (this.#comingReads[value] ?? 0) > 0 || this.#isAskedFor(value, done);
    if (!wanted || (this.#comingWrites[value] ?? 0) > 0) return true;
    return this.#writes.some((write) => this.#isPending(write, value, done));
  }

  #isAskedFor(value: number, done: bigint): boolean {
    return this.#reads.some((read) => this.#isPending(read, value, done));
  }

  #isPending(index: number, value: number, done: bigint): boolean {
    return this.#operations[index]!.value === value && (done & this.#bits[index]!) === 0n;
  }

  /** With the writes that nobody will see, and that have to happen, behind it: unseen they can only be before the next write. */
  #unseenGone({ value, done }: Configuration, except: number): Configuration {
    let gone = done;
    for (const write of this.#writes) {
      const bit = this.#bits[write]!;
      const { value: other } = this.#operations[write]!;
      if (write === except || (bit & this.#openMask) !== 0n) continue;
      if ((this.#comingReads[other] ?? 0) === 0 && !this.#isAskedFor(other, done)) gone |= bit;
    }
    return { value, done: gone };
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
    const frontier = new Frontier(this.#openMask, this.#readMask);
    for (const one of possible) frontier.add(one);
    return frontier.all();
  }
}

/** Configurations of which none makes another one needless. */
class Frontier {
  size = 0;
  readonly #groups = new Map<string, Configuration[]>();
  readonly #openMask: bigint;
  readonly #readMask: bigint;

  constructor(openMask: bigint, readMask: bigint) {
    this.#openMask = openMask;
    this.#readMask = readMask;
  }

  /** False: one that is there is as good. */
  add(one: Configuration): boolean {
    const bound = one.done & ~this.#openMask & ~this.#readMask;
    const name = `${one.value} ${bound.toString(36)}`;
    const group = this.#groups.get(name);
    if (!group) {
      this.#groups.set(name, [one]);
      this.size += 1;
      return true;
    }
    if (group.some((other) => this.#isAsGood(other, one))) return false;
    const rest = group.filter((other) => !this.#isAsGood(one, other));
    this.size += 1 + rest.length - group.length;
    this.#groups.set(name, [...rest, one]);
    return true;
  }

  all(): readonly Configuration[] {
    return [...this.#groups.values()].flat();
  }

  #isAsGood(one: Configuration, other: Configuration): boolean {
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
