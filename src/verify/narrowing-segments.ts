import type { Key } from '../record/index.ts';
import type { KeyRange, RangeDigest } from '../store/index.ts';
import type { NarrowingChoice } from './narrowing-choice.ts';
import type { PageReaders } from './pages.ts';
import { stopReason, type VerifyScope } from './verify-scope.ts';

/** How much is digested at a time. */
export interface SegmentSizes {
  /** Rows of the first segment where a range is digested as one text, and the most. Default 10 000 and 200 000. */
  readonly firstRows: number;
  readonly rowsMax: number;
  /** Text that a segment should not exceed. Default 8 MiB. */
  readonly bytes: number;
  /** Rows of a segment where each row is hashed by itself. Default 500 000. */
  readonly hashedRows: number;
}

export const segmentDefaults: SegmentSizes = {
  firstRows: 10_000,
  rowsMax: 200_000,
  bytes: 8 * 1024 * 1024,
  hashedRows: 500_000,
};

/** One segment as both sides digested it. */
export interface DigestedSegment {
  readonly segment: KeyRange;
  readonly authority: RangeDigest;
  readonly follower: RangeDigest;
  readonly equal: boolean;
}

export const sameDigest = (one: RangeDigest, other: RangeDigest): boolean =>
  one.digest !== null && one.digest === other.digest && one.rows === other.rows;

/** Segments under way: while the slower side ends one, the other one has begun the next. */
const AHEAD = 2;
/** A gap in the numbers lets the next segment be so much wider. */
const WIDER_MAX = 8n;

type Digested = NarrowingChoice & { readonly way: 'digest' };

/** The segments of a range, in key order, up to its end. */
export async function* digestedSegments(
  scope: VerifyScope,
  readers: PageReaders,
  choice: Digested,
  range: KeyRange,
  options: { readonly segments?: Partial<SegmentSizes> },
): AsyncGenerator<DigestedSegment, void, void> {
  const sizes = { ...segmentDefaults, ...options.segments };
  const cutter = new Cutter(scope, readers, choice, range, sizes);
  const pending: Promise<DigestedSegment>[] = [];
  try {
    while (stopReason(scope) === null) {
      while (pending.length < AHEAD) {
        const segment = await cutter.next();
        if (segment === null) break;
        const digested = digestBoth(readers, choice, segment);
        digested.catch(() => undefined);
        pending.push(digested);
        // Its size says how large the following ones may be.
        if (!cutter.measured) break;
      }
      const first = pending.shift();
      if (first === undefined) return;
      const done = await first;
      cutter.learn(done.authority);
      yield done;
    }
  } finally {
    await Promise.allSettled(pending);
  }
}

async function digestBoth(
  { collection, authority, follower, ask }: PageReaders,
  { plan }: Digested,
  segment: KeyRange,
): Promise<DigestedSegment> {
  const [one, other] = await Promise.all([
    ask(() => authority.digests?.ranges(collection, plan, [segment]) ?? Promise.resolve([])),
    ask(() => follower.digests?.ranges(collection, plan, [segment]) ?? Promise.resolve([])),
  ]);
  const [here, there] = [one[0] as RangeDigest, other[0] as RangeDigest];
  return { segment, authority: here, follower: there, equal: sameDigest(here, there) };
}

/**
 * Cuts a range into segments. Keys of one integer are cut by arithmetic, which costs one look into the index for each segment (it finds the end of a gap); others where the authority
 * counts so many rows on, which costs a tenth of their digest.
 */
class Cutter {
  readonly #scope: VerifyScope;
  readonly #readers: PageReaders;
  readonly #choice: Digested;
  readonly #until: Key | null;
  readonly #sizes: SegmentSizes;
  #after: Key | null;
  #rows: number;
  #wider = 1n;
  #ended = false;
  measured: boolean;

  constructor(
    scope: VerifyScope,
    readers: PageReaders,
    choice: Digested,
    range: KeyRange,
    sizes: SegmentSizes,
  ) {
    this.#scope = scope;
    this.#readers = readers;
    this.#choice = choice;
    this.#after = range.after;
    this.#until = range.until;
    this.#sizes = sizes;
    const hashed = choice.plan.function === 'sum64';
    this.#rows = hashed ? sizes.hashedRows : sizes.firstRows;
    this.measured = hashed;
  }

  /** null: the range has ended. */
  async next(): Promise<KeyRange | null> {
    if (this.#ended || stopReason(this.#scope) !== null) return null;
    const after = this.#after;
    const until = await this.#end();
    this.#ended = until === null || sameKey(until, this.#until);
    this.#after = until;
    return { after, until: this.#ended ? this.#until : until };
  }

  /** Where the next segment ends; null: at the end of the range. */
  async #end(): Promise<Key | null> {
    const { largestKey } = this.#choice;
    const range = { after: this.#after, until: this.#until };
    const { authority, collection, ask } = this.#readers;
    if (largestKey === null) return ask(() => authority.boundary(collection, range, this.#rows));
    const first = await ask(() => authority.boundary(collection, range, 1));
    if (first === null) return null;
    const end = BigInt(first[0] ?? 0) + BigInt(this.#rows) * this.#wider - 1n;
    const last = this.#until === null ? largestKey : BigInt(this.#until[0] ?? 0);
    return end >= last ? null : [String(end)];
  }

  /** What a segment was like. */
  learn({ rows, bytes, digest }: RangeDigest): void {
    const { plan, largestKey } = this.#choice;
    const wanted = this.#rows;
    if (plan.function === 'sha256') {
      const perRow = rows > 0 && digest !== null ? bytes / rows : 0;
      const room = perRow === 0 ? wanted / 4 : this.#sizes.bytes / perRow;
      const most = Math.min(this.#sizes.rowsMax, this.measured ? 4 * wanted : wanted * 8);
      if (rows > 0) this.#rows = Math.max(100, Math.floor(Math.min(room, most)));
      this.measured = true;
    }
    if (largestKey === null) return;
    const sparse = rows < wanted / 2;
    if (!sparse) this.#wider = 1n;
    else if (this.#wider < WIDER_MAX) this.#wider *= 2n;
  }
}

const sameKey = (one: Key, other: Key | null): boolean =>
  other !== null && one.length === other.length && one.every((part, at) => part === other[at]);
