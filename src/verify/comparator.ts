import type { MismatchKind } from '../control/index.ts';
import { isChangeoverError, messageOf } from '../errors/index.ts';
import { toFollower } from '../migration/index.ts';
import {
  type ChildKeys,
  type DataRecord,
  differences,
  type FieldDifference,
  type Key,
  type MismatchClass,
} from '../record/index.ts';
import { classifyFields, classifyRecord } from './classify.ts';
import type { VerifyScope } from './verify-scope.ts';

/** One key as both stores hold it. `expected` comes from the authority, in its own shape. */
export interface Pair {
  readonly key: Key;
  readonly authority: DataRecord | null;
  readonly follower: DataRecord | null;
}

/** How the two sides of a pair differ. */
export interface PairDifference {
  readonly kind: MismatchKind;
  /** Why, as the values tell it; absent: nobody has looked. */
  readonly class?: MismatchClass;
  /** Empty for `missing` and `extra`. */
  readonly fields: readonly FieldDifference[];
  /** Why the comparison could not be made as it should, e.g. the transform threw; '' otherwise. */
  readonly note: string;
  /** What the follower should hold, spelled as the follower spells it. */
  readonly expected: DataRecord | null;
}

/** Compares pairs of one collection in one direction. Answers in order; null: they agree. */
export interface Comparator {
  compare(pairs: readonly Pair[]): Promise<readonly (PairDifference | null)[]>;
}

/**
 * A comparator for the follower of `scope`. Text that differs is only a suspicion (`1.50` and `1.5` may be one number): before it is
 * believed the follower's own store spells the expected value.
 */
export function createComparator(scope: VerifyScope): Comparator {
  const { collection, follower } = scope;
  const shape = collection[follower.side];
  const childKeys: ChildKeys = Object.fromEntries(
    Object.entries(shape.children ?? {}).map(([name, child]) => [name, child.key]),
  );
  const ignored = ignoredFields(scope);
  const fieldsOf = (expected: DataRecord, actual: DataRecord): readonly FieldDifference[] =>
    differences(expected, actual, childKeys, ignored);

  const firstLook = (pair: Pair): PairDifference | null => {
    let expected: DataRecord | null;
    try {
      expected = toFollower(collection, follower.side, pair.authority);
    } catch (error) {
      const kind = pair.follower === null ? 'missing' : 'different';
      return { kind, fields: [], note: messageOf(error), expected: null };
    }
    const actual = pair.follower;
    if (expected === null)
      return actual === null ? null : { kind: 'extra', fields: [], note: '', expected };
    if (actual === null) return { kind: 'missing', fields: [], note: '', expected };
    if (sameRoot(expected, actual)) return null;
    const fields = fieldsOf(expected, actual);
    return fields.length === 0 ? null : { kind: 'different', fields, note: '', expected };
  };

  const changeMark = collection.modified?.[follower.side] ?? null;
  // Only what really differs is classified: a scan of equal records pays nothing for it.
  const classed = (difference: PairDifference | null, pair: Pair): PairDifference | null => {
    if (difference === null) return null;
    const fields = classifyFields(difference.fields, pair.authority);
    return {
      ...difference,
      fields,
      class: classifyRecord({ kind: difference.kind, fields, changeMark }),
    };
  };

  return {
    async compare(pairs) {
      const found = pairs.map(firstLook);
      const doubtful = found.flatMap((difference, index) =>
        difference?.kind === 'different' && difference.expected !== null
          ? [{ index, expected: difference.expected }]
          : [],
      );
      if (doubtful.length === 0)
        return found.map((one, index) => classed(one, pairs[index] as Pair));
      const spelled = await canonical(
        scope,
        doubtful.map(({ expected }) => expected),
      );
      doubtful.forEach(({ index }, position) => {
        const actual = pairs[index]?.follower;
        const answer = spelled[position];
        if (!actual || !answer) return;
        if ('note' in answer) {
          found[index] = { ...(found[index] as PairDifference), note: answer.note };
          return;
        }
        const fields = fieldsOf(answer.record, actual);
        found[index] =
          fields.length === 0
            ? null
            : { kind: 'different', fields, note: '', expected: answer.record };
      });
      return found.map((one, index) => classed(one, pairs[index] as Pair));
    },
  };
}

/** Cheap proof of equality for records without children, which nearly all are: no allocation. */
function sameRoot(expected: DataRecord, actual: DataRecord): boolean {
  for (const field in expected) {
    const value = expected[field];
    if (value !== (actual[field] ?? null)) return false;
  }
  return true;
}

type Spelled = { readonly record: DataRecord } | { readonly note: string };

/** The records as the follower spells them; one that it refuses must not hide the others. */
async function canonical(
  scope: VerifyScope,
  records: readonly DataRecord[],
): Promise<readonly Spelled[]> {
  try {
    const spelled = await scope.follower.records.canonicalise(scope.collection.name, records);
    return spelled.map((record) => ({ record }));
  } catch (error) {
    if (!isChangeoverError(error, 'STORE_REJECTED', 'VALUE_INVALID')) throw error;
    if (records.length === 1) return [{ note: `the follower refuses it: ${messageOf(error)}` }];
    const middle = Math.ceil(records.length / 2);
    return [
      ...(await canonical(scope, records.slice(0, middle))),
      ...(await canonical(scope, records.slice(middle))),
    ];
  }
}

/** The fields whose exemption has not expired. */
export function ignoredFields(scope: VerifyScope): ReadonlySet<string> {
  const nowMs = scope.context.runtime.clock.now();
  return new Set(
    Object.entries(scope.collection.ignore).flatMap(([field, { until }]) =>
      Date.parse(until) > nowMs ? [field] : [],
    ),
  );
}
