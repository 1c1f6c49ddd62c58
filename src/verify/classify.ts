import type { ColumnType } from '../mapping/index.ts';
import {
  type DataRecord,
  type FieldDifference,
  type MismatchClass,
  mostTelling,
  type Scalar,
} from '../record/index.ts';
import { jsonDifference } from './classify-json.ts';
import { isNumericPrecision } from './classify-number.ts';
import { isFoldedEqual, isPadded, isRecoded, isSameTruth } from './classify-text.ts';
import { classifyTime, isEarlier } from './classify-time.ts';

/**
 * Why two values of one field differ, from the values alone: `expected` is the authority's in the follower's spelling, `actual` what the follower
 * holds. The checks go from what explains a difference exactly to what explains it loosely; the first that holds names it. `unknown` when none does:
 * a value that was changed by more than a class permits is never given its name. Pure; `type` of the follower's column makes it sharper where it is known.
 */
export function classifyValues(
  expected: Scalar,
  actual: Scalar,
  type: Pick<ColumnType, 'kind'> | null = null,
): MismatchClass {
  if (expected === null || actual === null) return classifyNull(expected, actual);
  if (expected === '' || actual === '')
    return isRecoded(expected, actual)
      ? 'text-encoding'
      : isPadded(expected, actual)
        ? 'padding'
        : 'unknown';
  const kind = type?.kind ?? null;
  if (isSameTruth(expected, actual, kind === 'boolean')) return 'boolean-number';
  const json = jsonDifference(expected, actual);
  // Spaces at the end are what a column of fixed length does to any text; whoever writes JSON anew changes more than that.
  if (json !== undefined)
    return kind !== 'json' && isPadded(expected, actual) ? 'padding' : classifyJson(json);
  if (kind === null || !numberKinds.has(kind)) {
    const time = classifyTime(expected, actual);
    if (time !== null) return time;
  }
  if (isPadded(expected, actual)) return 'padding';
  if (isNumericPrecision(expected, actual)) return 'numeric-precision';
  if (isRecoded(expected, actual)) return 'text-encoding';
  return isFoldedEqual(expected, actual) ? 'collation' : 'unknown';
}

const numberKinds: ReadonlySet<string> = new Set(['integer', 'decimal', 'float', 'year', 'bits']);

/** MySQL's way to say that there is no date. */
const ZERO_DATE = /^0000-00-00(?: 00:00:00(?:\.0+)?)?$/;

function classifyNull(expected: Scalar, actual: Scalar): MismatchClass {
  const other = expected ?? actual ?? '';
  if (other === '' || ZERO_DATE.test(other)) return 'null-versus-empty';
  // The other way round the follower has a value that nobody wrote on the authority: a default, a trigger, a foreign writer.
  return actual === null ? 'field-missing' : 'unknown';
}

/** One class for all texts inside that differ, or none. */
function classifyJson(difference: ReturnType<typeof jsonDifference>): MismatchClass {
  if (!difference) return 'unknown';
  const [first, ...rest] = new Set(
    difference.map(([expected, actual]) => classifyValues(expected, actual)),
  );
  if (first === undefined) return 'json-shape';
  return rest.length === 0 ? first : 'unknown';
}

/** Column names by which records commonly say when, or how often, they were changed. */
const CHANGE_MARK =
  /^(?:updated|modified|changed|last_?(?:update|updated|modified|change|changed))(?:_?(?:at|on|date|time|ts))?$|^(?:lock_?|row_?|record_?)?(?:version|revision)$/i;

/** What is known of a record that differs, beside its fields. */
export interface RecordLook {
  readonly kind: 'missing' | 'extra' | 'different';
  /** The differing fields, each with its class. */
  readonly fields: readonly FieldDifference[];
  /** The field by which the record says when it was changed; absent: one of the common names. */
  readonly changeMark?: string | null;
}

/**
 * The class of a record: `missing` and `extra` as the kind says; `stale` when the record's own change mark is among the differing fields and earlier
 * on the follower; else the first of the fields' classes in the order of `mismatchClasses`.
 */
export function classifyRecord({ kind, fields, changeMark }: RecordLook): MismatchClass {
  if (kind !== 'different') return kind;
  const isMark = (field: string): boolean =>
    changeMark ? field === changeMark : CHANGE_MARK.test(field);
  const marks = fields.filter(({ field }) => isMark(field));
  if (marks.length > 0 && marks.every(({ expected, actual }) => isOlder(expected, actual)))
    return 'stale';
  return mostTelling(fields.map((field) => field.class ?? 'unknown'));
}

function isOlder(expected: Scalar, actual: Scalar): boolean {
  if (expected === null || actual === null) return false;
  const counter = /^\d{1,18}$/;
  if (counter.test(expected) && counter.test(actual)) return BigInt(actual) < BigInt(expected);
  return isEarlier(actual, expected);
}

/**
 * The fields with their classes, and with what the authority itself holds under that name where it spells it otherwise. A child row that is there on one side
 * only is `missing` or `extra`.
 */
export function classifyFields(
  fields: readonly FieldDifference[],
  authority: DataRecord | null,
  typeOf: (field: string) => Pick<ColumnType, 'kind'> | null = () => null,
): readonly FieldDifference[] {
  return fields.map((one) => {
    if (isWholeRow(one.field))
      return { ...one, class: one.expected === null ? 'extra' : 'missing' };
    const raw = authority?.[one.field];
    const told = typeof raw === 'string' && raw !== one.expected ? { raw } : {};
    return { ...one, ...told, class: classifyValues(one.expected, one.actual, typeOf(one.field)) };
  });
}

/** `child[key]` without a column. */
const isWholeRow = (field: string): boolean => field.endsWith(']') && field.includes('[');
