import {
  bytesToPostgis,
  bytesToUuidText,
  fromEwkb,
  toBits,
  toBytes,
  toEwkb,
  uuidToBytesText,
} from './bytes.ts';
import type { ColumnOverride } from './column-override.ts';
import type { ColumnKind, StoredColumn } from './column-type.ts';
import { anyToInteger, toDecimal, toTruth } from './numbers.ts';
import { type Convert, chain } from './rule.ts';
import { toLabelSet, toText } from './texts.ts';
import { toDate, toStamp, toTime } from './times.ts';

type Accept = (to: StoredColumn, how: ColumnOverride) => Convert | null;

const nothing: Accept = () => null;

const table: Readonly<Record<ColumnKind, Accept>> = {
  boolean: toTruth,
  integer: anyToInteger,
  decimal: toDecimal,
  float: nothing,
  text: ({ spelling, declared, kind, nullable }, how) =>
    toText({ spelling, declared, kind, nullable }, how),
  bytes: (to, how) => chain(to.length === 16 ? uuidToBytesText(how) : null, toBytes(to)),
  bits: toBits,
  date: toDate,
  time: toTime,
  'date-time': toStamp,
  instant: toStamp,
  interval: toTime,
  year: nothing,
  uuid: (_to, how) => bytesToUuidText(how),
  json: nothing,
  label: nothing,
  'label-set': toLabelSet,
  geometry: ({ spelling }) =>
    spelling === 'mysql' ? fromEwkb : (text) => bytesToPostgis(toEwkb(text) as string),
  other: nothing,
};

/**
 * Brings what a transform returned for a column to that column's own spelling, where it is written as the other engine (or JavaScript) writes values of
 * this kind: `t` and `true` for a tinyint(1), `2024-01-01 12:00:00+00` for a datetime, `\x` and 16 bytes for a uuid. What it does not know goes on as
 * it is. null: there is nothing to do. Refuses what the column can never hold (NUL characters, zero dates, numbers beyond its range).
 */
export function acceptFor(to: StoredColumn, override: ColumnOverride = {}): Convert | null {
  if (override.convert === false) return null;
  return table[to.kind](to, { digits: 'round', ...override });
}
