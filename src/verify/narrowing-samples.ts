import type { ColumnKind } from '../mapping/index.ts';
import type { EncodedColumn } from '../store/index.ts';

const UUID = '00112233-4455-6677-8899-aabbccddeeff';
const HEX = UUID.replaceAll('-', '');

type Samples = (from: EncodedColumn, to: EncodedColumn) => readonly string[];

const none: Samples = () => [];

/** `.5`, with as many digits as the store prints. */
function fraction({ type, spelling }: EncodedColumn): string {
  const digits = type.fraction ?? 6;
  if (digits === 0) return '';
  return spelling === 'mysql' ? `.${'5'.padEnd(digits, '0')}` : '.5';
}

/** With a fraction, which the other column may have no room for, and without. */
const times = (from: EncodedColumn, time: string, zone = ''): readonly string[] => {
  const zeros =
    from.spelling === 'mysql' && (from.type.fraction ?? 0) > 0
      ? `.${'0'.repeat(from.type.fraction ?? 0)}`
      : '';
  return [...new Set([`${time}${zeros}${zone}`, `${time}${fraction(from)}${zone}`])];
};

const stamp = '2024-02-29 12:34:56';

/** Values as the authority spells them, which any mapping of options would change. */
const table: Readonly<Record<ColumnKind, Samples>> = {
  boolean: () => ['t', 'f'],
  integer: () => ['1', '0'],
  year: () => ['2024'],
  decimal: ({ type: { scale, precision } }) =>
    (precision === undefined ? ['1.5', '1'] : ['0', '1']).map((text) =>
      precision === undefined || (scale ?? 0) === 0 ? text : `${text}.${'0'.repeat(scale ?? 0)}`,
    ),
  float: () => ['1.5'],
  // One that PostgreSQL would fill up is filled up by it.
  text: ({ type, spelling }, to) => {
    const fill = (text: string): string =>
      type.padded && spelling === 'postgres' ? text.padEnd(type.length ?? 1) : text;
    const uuid = to.type.kind === 'uuid' ? [UUID] : [];
    const label = to.type.labels?.[0];
    const json = to.type.kind === 'json' ? ['{"b": 1}'] : [];
    return [...uuid, ...json, ...(label === undefined ? [] : [fill(label)]), fill('A')];
  },
  label: ({ type }) => (type.labels ?? []).slice(0, 2),
  'label-set': none,
  bytes: ({ type }, to) => {
    if (to.type.kind === 'uuid') return [`\\x${HEX}`];
    const digits = 2 * Math.min(type.length ?? 16, type.padded ? 1_000 : 16);
    return [`\\x${HEX.repeat(Math.ceil(digits / HEX.length)).slice(0, digits)}`];
  },
  uuid: () => [UUID],
  bits: ({ type }) => ['1'.padStart(type.bits ?? 1, '0')],
  date: () => ['2024-02-29'],
  time: (from) => times(from, '12:34:56'),
  interval: (from) => times(from, '12:34:56'),
  'date-time': (from) => times(from, stamp),
  instant: (from) => times(from, stamp, from.spelling === 'postgres' ? '+00' : ''),
  json: () => ['{"b": 1}'],
  geometry: none,
  other: none,
};

/** Values of the authority's column with which a mapping can be tried. Empty: none are known. */
export function samplesOf(from: EncodedColumn, to: EncodedColumn): readonly string[] {
  return table[from.type.kind](from, to);
}
