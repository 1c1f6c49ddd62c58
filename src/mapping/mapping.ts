import type { ColumnOverride } from './column-override.ts';
import type { StoredColumn } from './column-type.ts';
import { mappingTable } from './mapping-table.ts';
import { NOT_FINITE } from './numbers.ts';
import type { Convert } from './rule.ts';
import { NUL_TEXTS } from './texts.ts';
import { ODD_DATES } from './times.ts';

/** What becomes of the values of one column in another one. */
export interface ColumnMapping {
  readonly from: StoredColumn;
  readonly to: StoredColumn;
  /** The same text on both sides, whatever the value: nothing has to be called, bytes may be passed through. */
  readonly identity: boolean;
  /** What is not refused keeps its text: what a key needs, because keys go by their text. */
  readonly keeps: boolean;
  /** Pure. Not called for NULL. Throws MAPPING_REFUSED, without the value, for what the other column cannot hold. */
  readonly convert: Convert;
  /** What is not refused comes back with the same text through the mapping of the opposite direction. */
  readonly exact: boolean;
  /** What is changed without a word, in words. Empty when `exact`. */
  readonly loses: readonly string[];
  /** What is refused and waits as a dead letter, in words. */
  readonly refuses: readonly string[];
}

/** Reasons to refuse that lie in the engines and not in the columns: rare values that no declaration of the column would save. */
export const engineLimits: ReadonlySet<string> = new Set([NUL_TEXTS, ODD_DATES, NOT_FINITE]);

const itself: Convert = (text) => text;

/** The mapping between two columns; null: their kinds have nothing in common, only a transform can say what is meant. */
export function mapColumn(
  from: StoredColumn,
  to: StoredColumn,
  override: ColumnOverride = {},
): ColumnMapping | null {
  const rule = override.convert === false ? null : mappingTable[from.kind][to.kind];
  if (rule === null && override.convert !== false) return null;
  const {
    convert,
    keeps = false,
    loses = [],
    refuses = [],
  } = rule?.(from, to, override) ?? {
    convert: null,
    loses: ['whatever the store changes: nothing is converted or checked'],
  };
  return {
    from,
    to,
    identity: convert === null,
    keeps: convert === null || keeps,
    convert: convert ?? itself,
    exact: loses.length === 0,
    loses,
    refuses: [...refuses, ...(from.nullable && !to.nullable ? ['NULL'] : [])],
  };
}
