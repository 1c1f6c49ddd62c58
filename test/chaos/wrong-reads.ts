import type { History } from '../../src/demo/judge.ts';
import type { StoreSnapshot } from '../../src/demo/store-snapshot.ts';

/** Reads that gave what nobody wrote, or what the writer was told had not been written, one line each. */
export function describeWrongReads(before: StoreSnapshot, history: History): readonly string[] {
  const lines: string[] = [];
  for (const read of history.reads) {
    const { seen, id } = read;
    const initial = before.get(id);
    const at = `customer ${id} at ${Math.round(read.at)}`;
    if (seen === null) {
      const mayBeGone = (history.byId.get(id) ?? []).some(
        ({ digest, outcome, from }) => digest === null && outcome !== 'rejected' && from <= read.at,
      );
      if (initial && !mayBeGone) lines.push(`wrong read: ${at} was absent, and nobody deleted it`);
      continue;
    }
    if (seen.digest === initial?.digest) continue;
    const author = history.writes.get(seen.revision);
    if (author === undefined)
      lines.push(`wrong read: ${at} has revision ${seen.revision} of nobody`);
    else if (author.digest !== seen.digest)
      lines.push(
        `wrong read: ${at} has revision ${seen.revision} (${author.outcome}), but not its fields`,
      );
    else if (author.outcome === 'rejected')
      lines.push(
        `wrong read: ${at} has revision ${seen.revision}, begun at ${Math.round(author.from)}, which its writer was told is rejected`,
      );
  }
  return lines;
}
