import { encodeKey, type Key } from '../record/index.ts';
import type { DigestPlan, KeyRange, RangeDigest, RowDigest } from '../store/index.ts';
import { createComparator, type Pair } from './comparator.ts';
import type { Differing } from './narrowing.ts';
import { sameDigest } from './narrowing-segments.ts';
import type { PageReaders } from './pages.ts';
import { stopReason, type VerifyScope } from './verify-scope.ts';

/** What a range that differs came to. */
export interface Narrowed {
  readonly compared: number;
  readonly differing: readonly Differing[];
  /** Nothing differs although digests do, and not because somebody was writing: the two stores write equal values differently, or read rows in another order. */
  readonly vain: boolean;
  /** How so. Empty unless `vain`. */
  readonly words: string;
  /** So much differs that it was left behind this key; null: the range was compared wholly. */
  readonly left: Key | null;
}

/** From a range that differs to the keys that differ. */
export interface Descent {
  /** The counts decide how it is cut. */
  narrow(range: KeyRange, authorityRows: number, followerRows: number): Promise<Narrowed>;
}

/** As in `NarrowingOptions`. */
interface Limits {
  readonly leafRows?: number;
  readonly differingMax?: number;
}

/** Parts into which a range is cut at each level: one round trip for all of them. */
const PARTS = 16;
/** Keys of one read. */
const READ_MAX = 500;
/** So many rows whose digests differ while they agree are no writes that came between. */
const VAIN_ROWS = 50;
/** Rows of one side whose digests are held at a time, at least. */
const LEAF_ROWS = 2_000;

interface Found {
  compared: number;
  readonly differing: Differing[];
  /** Rows whose digests differ, and of those the ones that agree. */
  suspected: number;
  agreed: number;
  /** Leaves whose rows have equal digests. */
  equalLeaves: number;
  leaves: number;
  left: Key | null;
}

export function createDescent(
  scope: VerifyScope,
  readers: PageReaders,
  plan: DigestPlan,
  limits: Limits,
): Descent {
  return {
    async narrow(range, authorityRows, followerRows) {
      const found: Found = {
        compared: 0,
        differing: [],
        suspected: 0,
        agreed: 0,
        equalLeaves: 0,
        leaves: 0,
        left: null,
      };
      const walk = new Walk(scope, readers, plan, limits, found);
      await walk.descend(range, authorityRows, followerRows);
      return judged(found);
    },
  };
}

function judged(found: Found): Narrowed {
  const { compared, differing, suspected, agreed, equalLeaves, leaves, left } = found;
  const spelled = agreed >= VAIN_ROWS && agreed === suspected;
  const ordered = suspected === 0 && leaves > 1 && equalLeaves === leaves;
  const words = spelled
    ? 'their columns are written differently'
    : ordered
      ? 'the stores read them in another order'
      : '';
  return { compared, differing, vain: words !== '' && differing.length === 0, words, left };
}

class Walk {
  readonly #scope: VerifyScope;
  readonly #readers: PageReaders;
  readonly #plan: DigestPlan;
  readonly #leafRows: number;
  readonly #differingMax: number;
  readonly #found: Found;
  readonly #comparator: ReturnType<typeof createComparator>;

  constructor(
    scope: VerifyScope,
    readers: PageReaders,
    plan: DigestPlan,
    limits: Limits,
    found: Found,
  ) {
    this.#scope = scope;
    this.#readers = readers;
    this.#plan = plan;
    this.#leafRows = limits.leafRows ?? LEAF_ROWS;
    this.#differingMax = limits.differingMax ?? Number.POSITIVE_INFINITY;
    this.#found = found;
    this.#comparator = createComparator(scope);
  }

  async descend(range: KeyRange, authorityRows: number, followerRows: number): Promise<void> {
    if (stopReason(this.#scope) !== null) return;
    const rows = Math.max(authorityRows, followerRows);
    if (rows <= this.#leafRows) return this.#leaf(range);
    const side = authorityRows >= followerRows ? 'authority' : 'follower';
    const parts = await this.#cut(range, side, Math.ceil(rows / PARTS));
    const [one, other] = await this.#digests(parts);
    for (const [at, part] of parts.entries()) {
      const [here, there] = [one[at] as RangeDigest, other[at] as RangeDigest];
      if (sameDigest(here, there)) this.#found.compared += here.rows;
      else await this.descend(part, here.rows, there.rows);
      // A deeper level has said already where it was left.
      if (this.#found.left !== null) return;
      if (this.#found.differing.length >= this.#differingMax && at < parts.length - 1) {
        this.#found.left = part.until;
        return;
      }
    }
  }

  /** By the keys of the side that has more. The last part ends where the range does. */
  async #cut(
    range: KeyRange,
    side: 'authority' | 'follower',
    rows: number,
  ): Promise<readonly KeyRange[]> {
    const { collection, ask } = this.#readers;
    const parts: KeyRange[] = [];
    let { after } = range;
    // One that grows meanwhile gets a last part that is longer.
    while (parts.length < 2 * PARTS) {
      const from = { after, until: range.until };
      const until = await ask(() => this.#readers[side].boundary(collection, from, rows));
      if (until === null) break;
      parts.push({ after, until });
      after = until;
    }
    parts.push({ after, until: range.until });
    return parts;
  }

  #digests(
    parts: readonly KeyRange[],
  ): Promise<readonly [readonly RangeDigest[], readonly RangeDigest[]]> {
    const { collection, authority, follower, ask } = this.#readers;
    const of = (digests: typeof authority.digests) =>
      ask(() => digests?.ranges(collection, this.#plan, parts) ?? Promise.resolve([]));
    return Promise.all([of(authority.digests), of(follower.digests)]);
  }

  async #leaf(range: KeyRange): Promise<void> {
    const [one, other] = await Promise.all([
      this.#rows('authority', range),
      this.#rows('follower', range),
    ]);
    const others = new Map(other.map((row) => [encodeKey(row.key), row]));
    const keys: Key[] = [];
    for (const { key, digest } of one) {
      const id = encodeKey(key);
      if (others.get(id)?.digest !== digest) keys.push(key);
      others.delete(id);
    }
    for (const { key } of others.values()) keys.push(key);
    this.#found.compared += one.length + others.size;
    this.#found.leaves += 1;
    this.#found.suspected += keys.length;
    if (keys.length === 0) this.#found.equalLeaves += 1;
    for (let from = 0; from < keys.length; from += READ_MAX)
      await this.#compare(keys.slice(from, from + READ_MAX));
  }

  /** All digests of a range, which may have grown since it was counted. */
  async #rows(side: 'authority' | 'follower', range: KeyRange): Promise<readonly RowDigest[]> {
    const { collection, ask } = this.#readers;
    const limit = 2 * this.#leafRows;
    const all: RowDigest[] = [];
    let { after } = range;
    for (;;) {
      const from = { after, until: range.until };
      const rows = await ask(
        () =>
          this.#readers[side].digests?.rows(collection, this.#plan, from, limit) ??
          Promise.resolve([]),
      );
      all.push(...rows);
      const last = rows.at(-1);
      if (rows.length < limit || last === undefined) return all;
      after = last.key;
    }
  }

  async #compare(keys: readonly Key[]): Promise<void> {
    const { collection, authority, follower, ask } = this.#readers;
    const [here, there] = await Promise.all([
      ask(() => authority.read(collection, keys)),
      ask(() => follower.read(collection, keys)),
    ]);
    const pairs = keys.map(
      (key, at): Pair => ({
        key,
        authority: here[at]?.record ?? null,
        follower: there[at]?.record ?? null,
      }),
    );
    const differences = await ask(() => this.#comparator.compare(pairs));
    differences.forEach((difference, at) => {
      if (difference) this.#found.differing.push({ pair: pairs[at] as Pair, difference });
      else this.#found.agreed += 1;
    });
  }
}
