import type { KeyRange } from '../store/index.ts';
import { createComparator, type Pair, type PairDifference } from './comparator.ts';
import { chooseNarrowing, type NarrowingChoice } from './narrowing-choice.ts';
import { createDescent, type Descent } from './narrowing-descent.ts';
import { digestedSegments, type SegmentSizes } from './narrowing-segments.ts';
import { pairedPages } from './narrowing-stream.ts';
import type { PageReaders } from './pages.ts';
import { stopReason, type VerifyScope } from './verify-scope.ts';

/** A key whose records differ, with both of them. */
export interface Differing {
  readonly pair: Pair;
  readonly difference: PairDifference;
}

/** A range that has been compared wholly. */
export interface NarrowedStep {
  readonly range: KeyRange;
  /** Keys met on either side. */
  readonly compared: number;
  /** In key order of the authority, but for those that only the follower has. */
  readonly differing: readonly Differing[];
  readonly way: 'digest' | 'stream';
  /** Of the range, as the authority made it, whether it differs or not; null: it was streamed, or was too large for one. */
  readonly digest: string | null;
}

/** Compares ranges of one collection, by digests where that is possible. */
export interface Narrowing {
  /** `digest`: what is equal is not read. It becomes `stream` when the digests turn out to be worth nothing; `why` says so. */
  readonly way: 'digest' | 'stream';
  /** Why this way, for the report: a part of a sentence. */
  readonly why: string;
  /**
   * The range in steps, from its beginning to its end, without gaps: a walk can be taken up behind the last step. Ends early when the scope has to (`stopReason`).
   * Left early: what is under way is waited for. Throws what the stores throw.
   */
  walk(range: KeyRange): AsyncGenerator<NarrowedStep, void, void>;
}

export interface NarrowingOptions {
  /** Rows of a page where records are compared one by one. Default 1000. */
  readonly batchRows?: number;
  readonly segments?: Partial<SegmentSizes>;
  /** Ranges of at most so many rows are compared row by row. Default 2000. */
  readonly leafRows?: number;
  /** So many records that differ end a step, a little behind: it holds them all. Default: none do. */
  readonly differingMax?: number;
}

type Digested = NarrowingChoice & { readonly way: 'digest' };

/** Segments one after the other whose digests differed although nothing in them does; then digests are given up. */
const VAIN_MAX = 3;

/**
 * Opens the comparison of one collection. **Equal is proven, different is only suspected**: ranges with equal digests and counts hold equal rows (256 bits; 64 bits between two
 * PostgreSQL servers); what differs is narrowed down to keys, whose records the comparator compares. So an encoding that differs for equal
 * values costs time and never a false answer.
 */
export async function openNarrowing(
  scope: VerifyScope,
  readers: PageReaders,
  options: NarrowingOptions = {},
): Promise<Narrowing> {
  return new ChosenNarrowing(scope, readers, options, await chooseNarrowing(scope, readers));
}

class ChosenNarrowing implements Narrowing {
  readonly #scope: VerifyScope;
  readonly #readers: PageReaders;
  readonly #options: NarrowingOptions;
  #choice: NarrowingChoice;
  #vain = 0;

  constructor(
    scope: VerifyScope,
    readers: PageReaders,
    options: NarrowingOptions,
    choice: NarrowingChoice,
  ) {
    this.#scope = scope;
    this.#readers = readers;
    this.#options = options;
    this.#choice = choice;
  }

  get way(): 'digest' | 'stream' {
    return this.#choice.way;
  }

  get why(): string {
    return this.#choice.why;
  }

  async *walk(range: KeyRange): AsyncGenerator<NarrowedStep, void, void> {
    let rest: KeyRange | null = range;
    while (rest !== null) {
      const choice: NarrowingChoice = this.#choice;
      if (choice.way === 'stream') return yield* this.#streamed(rest);
      const descent = createDescent(this.#scope, this.#readers, choice.plan, this.#options);
      rest = yield* this.#digested(rest, choice, descent);
    }
  }

  /** What is left, to be walked as `#choice` says then; null: nothing. */
  async *#digested(
    range: KeyRange,
    choice: Digested,
    descent: Descent,
  ): AsyncGenerator<NarrowedStep, KeyRange | null, void> {
    const segments = digestedSegments(this.#scope, this.#readers, choice, range, this.#options);
    for await (const { segment, authority, follower, equal } of segments) {
      if (equal) {
        this.#vain = 0;
        const { rows, digest } = authority;
        yield { range: segment, compared: rows, differing: [], way: 'digest', digest };
        continue;
      }
      const found = await descent.narrow(segment, authority.rows, follower.rows);
      // Without a digest it says nothing about those that can be made: the next segment is shorter.
      const digested = authority.digest !== null && follower.digest !== null;
      this.#vain = found.vain && digested ? this.#vain + 1 : 0;
      // Left in the middle: the range was not compared wholly.
      if (stopReason(this.#scope) !== null) return null;
      const { compared, differing, left } = found;
      if (left !== null) {
        const part = { after: segment.after, until: left };
        const digest = await this.#digestOf(part, choice);
        yield { range: part, compared, differing, way: 'digest', digest };
        return { after: left, until: range.until };
      }
      const { digest } = authority;
      yield { range: segment, compared, differing, way: 'digest', digest };
      if (this.#vain < VAIN_MAX) continue;
      this.#choice = {
        way: 'stream',
        why: `the digests of equal records differ (${found.words}), so they save nothing`,
      };
      return segment.until === null || segment.until === range.until
        ? null
        : { after: segment.until, until: range.until };
    }
    return null;
  }

  /** As the authority makes it. */
  async #digestOf(range: KeyRange, { plan }: Digested): Promise<string | null> {
    const { authority, collection, ask } = this.#readers;
    const made = await ask(async () => authority.digests?.ranges(collection, plan, [range]));
    return made?.[0]?.digest ?? null;
  }

  async *#streamed(range: KeyRange): AsyncGenerator<NarrowedStep, void, void> {
    const { batchRows = 1_000 } = this.#options;
    const comparator = createComparator(this.#scope);
    for await (const page of pairedPages(this.#readers, range, batchRows)) {
      let compared = 0;
      const differing: Differing[] = [];
      for await (const pairs of page.pairs) {
        const found = await this.#readers.ask(() => comparator.compare(pairs));
        compared += pairs.length;
        found.forEach((difference, at) => {
          if (difference) differing.push({ pair: pairs[at] as Pair, difference });
        });
      }
      yield { range: page.range, compared, differing, way: 'stream', digest: null };
      if (stopReason(this.#scope) !== null) return;
    }
  }
}
