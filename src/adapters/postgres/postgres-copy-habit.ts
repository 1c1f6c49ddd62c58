import type { CatalogCollection } from './postgres-catalog.ts';
import type { Statement } from './postgres-flight.ts';
import { type LogPart, samplePresence } from './postgres-log-batch.ts';

/** Smaller parts gain nothing. */
const ROWS_MIN = 500;
/** Parts that are left alone after a sample that found a row, and after a COPY that met one. */
const REST_AFTER_FOUND = 20;
const REST_AFTER_FAILED = 100;

/**
 * Which collections only ever get new records, as journals do: those are copied in. A guess from a sample of the batch before, no promise: COPY fails
 * where a key is there already, and the batch goes by upserts instead. In memory, for each store of each process.
 */
export class CopyHabit {
  readonly #known = new Map<string, { copies: boolean; rest: number }>();

  /** Whether to try. */
  copies(part: LogPart): boolean {
    return this.#of(part.collection).copies && suits(part);
  }

  /** The statement that answers for the next batch; to be run before the rows are written. null: not now. */
  question(part: LogPart): Statement | null {
    const known = this.#of(part.collection);
    if (known.copies || !suits(part)) return null;
    known.rest -= 1;
    return known.rest >= 0 ? null : samplePresence(part);
  }

  answer({ collection }: LogPart, anyPresent: boolean): void {
    this.#known.set(collection.collection, { copies: !anyPresent, rest: REST_AFTER_FOUND });
  }

  failed({ collection }: LogPart): void {
    this.#known.set(collection.collection, { copies: false, rest: REST_AFTER_FAILED });
  }

  #of({ collection }: CatalogCollection): { copies: boolean; rest: number } {
    let known = this.#known.get(collection);
    if (known === undefined) {
      known = { copies: false, rest: 0 };
      this.#known.set(collection, known);
    }
    return known;
  }
}

function suits({ collection, changes }: LogPart): boolean {
  const { root, children } = collection;
  return (
    changes.length >= ROWS_MIN &&
    children.length === 0 &&
    (root.kind === 'r' || root.kind === 'p') &&
    changes.every(({ value }) => value !== null)
  );
}
