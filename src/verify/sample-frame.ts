import type { Key } from '../record/index.ts';
import type { Random } from '../runtime/index.ts';
import type { RecordReader } from '../store/index.ts';

/** What the frame asks of a store. */
export type FrameReader = Pick<RecordReader, 'boundary'>;

export interface FrameOptions {
  /** The planner's guess; decides how large a page is. A wrong one costs seeks, not evenness. */
  readonly estimatedRows: number;
  /** Called before each page that is walked over, with the records' worth of work; false ends the walk. */
  readonly pace: (records: number) => Promise<boolean>;
}

const PAGE_ROWS_MIN = 16;
const PAGE_ROWS_MAX = 5_000;
/** More pages than these are put together two by two: 40 000 keys are some megabytes. */
const PAGES_MAX = 40_000;
/** A page may grow by so much until its last records cannot be drawn any more. */
const HEADROOM = 1.25;
/** Walking over a key of an index, as a part of comparing a record. */
const KEY_COST = 0.05;

/**
 * Draws keys of a collection, each with the same chance, at the cost of two index seeks and half a page of index entries a draw.
 *
 * A random number between the smallest and the largest key would draw by the gaps between keys. So the key index is walked over once, and the key at the end of each page of
 * `pageRows` records is remembered. A draw picks a page and a place in it, and is thrown away when the page has no record at that place now: that is what makes it even, also
 * over pages of which records were deleted. The last page has no end, so what is appended is drawn as well.
 *
 * **Bias.** A page inside which more than a quarter was inserted since the walk: its last records are not drawn until the frame is made anew. Draws are made at different
 * moments: what is inserted and deleted between two of them may be met by neither.
 */
export class SampleFrame {
  #ends: Key[] = [];
  #pageRows: number;
  readonly #reader: FrameReader;
  readonly #collection: string;
  readonly #pace: FrameOptions['pace'];

  private constructor(reader: FrameReader, collection: string, options: FrameOptions) {
    this.#reader = reader;
    this.#collection = collection;
    this.#pace = options.pace;
    const rows = Math.ceil(options.estimatedRows / 1_000);
    this.#pageRows = Math.min(PAGE_ROWS_MAX, Math.max(PAGE_ROWS_MIN, rows));
  }

  /** Walks over the key index. null: the work was ended. */
  static async open(
    reader: FrameReader,
    collection: string,
    options: FrameOptions,
  ): Promise<SampleFrame | null> {
    const frame = new SampleFrame(reader, collection, options);
    return (await frame.extend()) ? frame : null;
  }

  /** About so many records, half a page more or less. */
  get records(): number {
    return Math.round((this.#ends.length + 0.5) * this.#pageRows);
  }

  /** Places that a draw picks from. */
  get slots(): number {
    return (this.#ends.length + 1) * this.#pageSlots;
  }

  get #pageSlots(): number {
    return Math.ceil(this.#pageRows * HEADROOM);
  }

  /** Takes in what was appended: one or two seeks when it is little. False: the work was ended. */
  async extend(): Promise<boolean> {
    for (;;) {
      if (!(await this.#pace(this.#pageRows * KEY_COST))) return false;
      const after = this.#ends.at(-1) ?? null;
      const end = await this.#key(after, null, this.#pageRows);
      // Only what has a record behind it is surely a whole page.
      if (end === null || (await this.#key(end, null, 1)) === null) return true;
      this.#ends.push(end);
      if (this.#ends.length > PAGES_MAX) {
        this.#ends = this.#ends.filter((_, index) => index % 2 === 1);
        this.#pageRows *= 2;
      }
    }
  }

  /** The key at a place that chance picks; null: there is none, draw again. */
  async draw(random: Random): Promise<Key | null> {
    const page = Math.floor(random.next() * (this.#ends.length + 1));
    const place = Math.floor(random.next() * this.#pageSlots);
    const until = this.#ends[page] ?? null;
    const begin = page === 0 ? null : (this.#ends[page - 1] ?? null);
    // A boundary in a range that is too short is its last key, behind which there is none: no record is drawn for two places.
    const after = place === 0 ? begin : await this.#key(begin, until, place);
    if (place > 0 && after === null) return null;
    return this.#key(after, until, 1);
  }

  #key(after: Key | null, until: Key | null, rows: number): Promise<Key | null> {
    return this.#reader.boundary(this.#collection, { after, until }, rows);
  }
}
