import { encodeKey, type Key } from '../record/index.ts';
import { persistently } from './pages.ts';
import type { RepairedKey } from './repair-options.ts';
import type { VerifyScope } from './verify-scope.ts';

const OPEN_MAX = 10_000;

/** Encoded key → when the ledger's line had last been seen, before anything is read. A line that is seen later stays: what was read does not answer that. */
export type SeenBefore = ReadonlyMap<string, number>;

/** `open`: what is confirmed and not explained. */
export async function seenBefore(
  { context, collection: { name } }: VerifyScope,
  keys: readonly Key[] | 'open',
  mode: 'propose' | 'apply',
): Promise<SeenBefore> {
  const { control, migration } = context;
  if (keys === 'open') {
    const filter = { status: 'unexplained', collection: name, limit: OPEN_MAX } as const;
    const open = await control.mismatches.list(migration.name, filter);
    return new Map(open.map(({ key, lastSeenMs }) => [key, lastSeenMs]));
  }
  const seen = new Map<string, number>();
  if (mode === 'apply')
    for (const key of keys.map(encodeKey)) {
      const line = await control.mismatches.find(migration.name, { collection: name, key });
      if (line !== null) seen.set(key, line.lastSeenMs);
    }
  return seen;
}

/** Those that are repaired. `nowMs`: when the recheck began. */
export async function markRepaired(
  scope: VerifyScope,
  results: readonly RepairedKey[],
  nowMs: number,
  seen: SeenBefore,
): Promise<void> {
  const { context, collection } = scope;
  const repaired = results.filter(({ outcome }) => outcome === 'repaired');
  const lines = repaired.map(({ key, kind, fields }) => ({
    collection: collection.name,
    key: encodeKey(key),
    kind: kind ?? ('different' as const),
    status: 'repaired' as const,
    detector: 'repair',
    differences: fields,
    firstSeenMs: nowMs,
    // By a clock that is behind the ledger's the line would be one that was seen since.
    lastSeenMs: Math.max(nowMs, seen.get(encodeKey(key)) ?? nowMs),
    rechecks: 1,
    note: `repaired by ${context.instance}`,
  }));
  if (lines.length > 0)
    await persistently(scope, () =>
      context.control.mismatches.record(context.migration.name, lines),
    );
  for (const { kind } of lines)
    context.events.emit({
      type: 'mismatch',
      collection: collection.name,
      kind,
      status: 'repaired',
    });
}

/** Mismatches that have gone by themselves leave the ledger. */
export async function forget(
  scope: VerifyScope,
  settled: readonly RepairedKey[],
  seen: SeenBefore,
): Promise<void> {
  const { control, migration } = scope.context;
  const gone = settled
    .filter(({ outcome }) => outcome === 'equal')
    .flatMap(({ key }) => {
      const seenMs = seen.get(encodeKey(key));
      const place = { collection: scope.collection.name, key: encodeKey(key) };
      return seenMs === undefined ? [] : [{ ...place, seenMs }];
    });
  if (gone.length > 0)
    await persistently(scope, () => control.mismatches.gone(migration.name, gone));
}
