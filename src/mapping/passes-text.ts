import type { ColumnOverride } from './column-override.ts';
import type { StoredColumn } from './column-type.ts';
import type { ColumnMapping } from './mapping.ts';

const FULL_FRACTION = 6;

/**
 * True when the other store makes the same value of the unconverted text as of the converted one, and refuses each text that the conversion
 * refuses: then rows may be passed through as text (`store/text-source.ts`), and what is refused goes the long way, where it is told why. Known for
 * MySQL to PostgreSQL; PostgreSQL's session is in UTC.
 */
export function passesText(
  { from, to, identity }: ColumnMapping,
  how: ColumnOverride = {},
): boolean {
  if (identity) return true;
  if (how.convert === false || from.spelling !== 'mysql' || to.spelling !== 'postgres')
    return false;
  // `1` and `0` are taken for `t` and `f`, and other numbers for nothing.
  if (to.kind === 'boolean' && from.kind === 'integer') return how.truth === undefined;
  if (from.kind !== to.kind) return false;
  switch (from.kind) {
    case 'integer':
      // Only a check of the range.
      return true;
    case 'boolean':
      return how.truth === undefined;
    case 'text':
      // NUL, too long (blanks at the end aside) and filling up: the server does the same.
      return how.nul !== 'remove';
    case 'date':
      return how.zeroDate !== 'null';
    case 'date-time':
    case 'instant':
      // What the server would round is refused by the conversion.
      return how.zeroDate !== 'null' && how.offset === undefined && digitsOf(from) <= digitsOf(to);
    default:
      return false;
  }
}

const digitsOf = ({ fraction = FULL_FRACTION }: StoredColumn): number => fraction;
