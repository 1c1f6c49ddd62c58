import type { Shape } from '../migration/index.ts';
import type { ChunkTicket, CopiedText, DoorContext } from '../store/index.ts';
import type { BackfillScope } from './backfill-scope.ts';

/** Copies chunks without making records of their rows. */
export interface PassThrough {
  /** Whether a chunk may be ended where `rowsMax` says. */
  readonly endsAnywhere: boolean;
  /** @param rowsMax where `endsAnywhere`: at most so many rows from the beginning of the range; null: all of them */
  copy(ticket: ChunkTicket, context: DoorContext, rowsMax: number | null): Promise<CopiedText>;
}

/**
 * Rows are passed through only where nothing would be changed on the way: bytes between stores of one engine, text between others whose
 * mapping leaves the text of every value alone. null: records have to be made.
 */
export function passThrough({
  collection,
  authority,
  follower,
}: Pick<BackfillScope, 'collection' | 'authority' | 'follower'>): PassThrough | null {
  const { copyChunk, copyText } = follower.door;
  const sameEngine =
    authority.engine === follower.engine &&
    authority.capabilities.supportsCopyStream &&
    follower.capabilities.supportsCopyStream;
  if (copyChunk && sameEngine && collection.identity && sameShape(collection)) {
    const from = { engine: authority.engine, collection: collection.name, store: authority };
    return {
      endsAnywhere: false,
      copy: async (ticket, context) => ({
        ...(await copyChunk(ticket, from, context)),
        last: null,
      }),
    };
  }
  const { text } = authority;
  if (
    copyText &&
    text &&
    collection.passesText &&
    follower.side === 'target' &&
    isFlat(collection)
  ) {
    return {
      endsAnywhere: true,
      copy: (ticket, context, rowsMax) => copyText(ticket, text, context, rowsMax),
    };
  }
  return null;
}

const isFlat = ({ source, target }: { readonly source: Shape; readonly target: Shape }): boolean =>
  [source, target].every(({ children }) => Object.keys(children ?? {}).length === 0);

/** Same columns under the same names; the tables may be called differently. */
function sameShape({
  source,
  target,
}: {
  readonly source: Shape;
  readonly target: Shape;
}): boolean {
  const form = (shape: Shape): string =>
    JSON.stringify([
      shape.key,
      shape.columns ?? null,
      Object.entries(shape.children ?? {})
        .map(([name, child]) => [name, child.key, child.parent, child.columns ?? null])
        .sort(),
    ]);
  return form(source) === form(target);
}
