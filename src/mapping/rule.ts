import { ChangeoverError } from '../errors/index.ts';
import type { ColumnOverride } from './column-override.ts';
import type { StoredColumn } from './column-type.ts';

/** A value of one column as the other column writes it; null: NULL. Throws MAPPING_REFUSED. Text that it does not know goes on as it is: the store decides. */
export type Convert = (text: string) => string | null;

/** What becomes of values between two columns. */
export interface RuleResult {
  /** null: the text stays the same, whatever it is. */
  readonly convert: Convert | null;
  /** `convert` refuses, but never changes a text as the store prints it. */
  readonly keeps?: boolean;
  /** What is changed without a word, in words. */
  readonly loses?: readonly string[];
  /** What is refused, in words. */
  readonly refuses?: readonly string[];
}

/** One cell of the table: from kind, to kind. */
export type Rule = (from: StoredColumn, to: StoredColumn, how: ColumnOverride) => RuleResult;

/** The text stays as it is and nothing is lost. */
export const same: Rule = () => ({ convert: null });

/** A value that the other column cannot hold. `why` has no values in it; the caller adds the column. */
export function refuse(why: string, fix = ''): never {
  const told = fix === '' ? `${why}.` : `${why}: ${fix}.`;
  throw new ChangeoverError('MAPPING_REFUSED', told, { data: { told } });
}

/** A gigabyte is more than one value can have in PostgreSQL: such a bound is none. */
const UNBOUNDED = 2 ** 30;

/** Most characters or bytes of a column. */
export const boundOf = ({ length = UNBOUNDED }: StoredColumn): number =>
  length >= UNBOUNDED ? Number.POSITIVE_INFINITY : length;

/** Conversions one after the other. */
export function chain(first: Convert | null, second: Convert | null): Convert | null {
  if (first === null) return second;
  if (second === null) return first;
  return (text) => {
    const between = first(text);
    return between === null ? null : second(between);
  };
}
