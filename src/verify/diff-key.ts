import type { MigrationContext, MismatchKind } from '../control/index.ts';
import type { Side } from '../migration/index.ts';
import type { DataRecord, FieldDifference, Key, MismatchClass } from '../record/index.ts';
import { createComparator } from './comparator.ts';
import { queuedAs, type Standing, standingsOf } from './queue-standing.ts';
import { type ScopeOptions, verifyScope } from './verify-scope.ts';

/** One key, side by side, as it is at this moment: no recheck, so a change under way shows as a difference. Holds values: redact before showing. */
export interface KeyDiff {
  readonly collection: string;
  readonly key: Key;
  readonly authority: Side;
  readonly follower: Side;
  /** null: they agree. */
  readonly kind: MismatchKind | null;
  /** Why; null: they agree. */
  readonly class: MismatchClass | null;
  readonly fields: readonly FieldDifference[];
  /** What the follower should hold, in its own spelling; null: nothing. */
  readonly expected: DataRecord | null;
  readonly actual: DataRecord | null;
  /** Whether a queued change explains it. */
  readonly standing: Standing;
  readonly note: string;
}

/** Compares one key field by field. Throws COLLECTION_UNKNOWN and store errors. */
export async function diffKey(
  context: MigrationContext,
  collection: string,
  key: Key,
  options: ScopeOptions,
): Promise<KeyDiff> {
  const scope = verifyScope(context, collection, options, new AbortController().signal);
  const [held] = await scope.authority.records.read(collection, [key]);
  const [other] = await scope.follower.records.read(collection, [key]);
  const pair = { key, authority: held?.record ?? null, follower: other?.record ?? null };
  const [difference] = await createComparator(scope).compare([pair]);
  const { standings } = await standingsOf(
    scope,
    [queuedAs(scope, key, pair.authority)],
    undefined,
    [key],
  );
  return {
    collection,
    key,
    authority: scope.authority.side,
    follower: scope.follower.side,
    kind: difference?.kind ?? null,
    class: difference?.class ?? null,
    fields: difference?.fields ?? [],
    expected: difference ? difference.expected : pair.follower,
    actual: pair.follower,
    standing: standings[0] ?? 'unknown',
    note: difference?.note ?? '',
  };
}
