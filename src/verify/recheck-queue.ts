import { encodeKey, type Key } from '../record/index.ts';

/** A key that is to be looked at again. */
export interface RecheckEntry<T> {
  readonly key: Key;
  readonly id: string;
  /** Looks so far. */
  readonly tries: number;
  /** How often it has been suspected; see `settle`. */
  readonly count: number;
  /** What the caller remembers about it. */
  readonly memory: T;
}

/**
 * Keys that wait for another look, by time of their next try (binary heap), one entry per key. Suspicions are *counted*: a key that is suspected
 * again while it is being looked at is not forgotten when that look says "fine" (Ghostferry's reverify store).
 */
export class RecheckQueue<T> {
  #heap: { at: number; id: string }[] = [];
  readonly #entries = new Map<string, RecheckEntry<T>>();
  readonly #taken = new Map<string, RecheckEntry<T>>();

  /** Keys waiting or being looked at. */
  get size(): number {
    return this.#entries.size + this.#taken.size;
  }

  /** Suspects a key; a known one is counted once more. True when it is new. */
  suspect(key: Key, memory: T, atMs: number): boolean {
    const id = encodeKey(key);
    const taken = this.#taken.get(id);
    if (taken) {
      this.#taken.set(id, { ...taken, count: taken.count + 1 });
      return false;
    }
    const known = this.#entries.get(id);
    if (known) {
      this.#entries.set(id, { ...known, count: known.count + 1 });
      return false;
    }
    this.#entries.set(id, { key, id, tries: 0, count: 1, memory });
    this.#push(atMs, id);
    return true;
  }

  /** When the next key is due; null: none waits. */
  nextAt(): number | null {
    return this.#heap[0]?.at ?? null;
  }

  /** At most `limit` due keys, longest due first; each must be given back by `again` or `settle`. */
  take(nowMs: number, limit: number): readonly RecheckEntry<T>[] {
    const found: RecheckEntry<T>[] = [];
    while (found.length < limit && (this.#heap[0]?.at ?? Number.POSITIVE_INFINITY) <= nowMs) {
      const id = this.#pop();
      const entry = this.#entries.get(id);
      if (!entry) continue;
      this.#entries.delete(id);
      this.#taken.set(id, entry);
      found.push(entry);
    }
    return found;
  }

  /** Another look at `atMs`. */
  again(entry: RecheckEntry<T>, memory: T, atMs: number): void {
    const count = this.#taken.get(entry.id)?.count ?? entry.count;
    this.#taken.delete(entry.id);
    this.#entries.set(entry.id, { ...entry, count, memory, tries: entry.tries + 1 });
    this.#push(atMs, entry.id);
  }

  /** Done with it; false: it was suspected again meanwhile and waits for a first look at `atMs`. */
  settle(entry: RecheckEntry<T>, atMs: number): boolean {
    const count = (this.#taken.get(entry.id)?.count ?? entry.count) - entry.count;
    this.#taken.delete(entry.id);
    if (count <= 0) return true;
    this.#entries.set(entry.id, { ...entry, count, tries: 0 });
    this.#push(atMs, entry.id);
    return false;
  }

  #push(at: number, id: string): void {
    const heap = this.#heap;
    let index = heap.push({ at, id }) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((heap[parent]?.at ?? 0) <= at) break;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #pop(): string {
    const heap = this.#heap;
    const top = heap[0] as { at: number; id: string };
    const last = heap.pop() as { at: number; id: string };
    if (heap.length === 0) return top.id;
    heap[0] = last;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let least = index;
      if (left < heap.length && this.#at(left) < this.#at(least)) least = left;
      if (right < heap.length && this.#at(right) < this.#at(least)) least = right;
      if (least === index) return top.id;
      this.#swap(index, least);
      index = least;
    }
  }

  #at(index: number): number {
    return this.#heap[index]?.at ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap;
    [heap[a], heap[b]] = [
      heap[b] as { at: number; id: string },
      heap[a] as { at: number; id: string },
    ];
  }
}
