import type { ColumnOverride } from './column-override.ts';
import type { StoredColumn } from './column-type.ts';
import { type Convert, type Rule, refuse } from './rule.ts';

const SECOND_DIGITS = 6;

const zeroHint =
  'set "zeroDate" of the column to "null" (the column on the other side has to allow NULL), or correct the row';

/** `0000-00-00`, a month or day 00, or the year 0: what PostgreSQL does not have. `text` begins with a date. */
function isZero(text: string): boolean {
  return text.startsWith('0000-') || text.startsWith('00', 5) || text.startsWith('00', 8);
}

function zeroDate(to: StoredColumn, how: ColumnOverride): null {
  if (how.zeroDate !== 'null') refuse(`${to.declared} has no zero dates`, zeroHint);
  if (!to.nullable) refuse('A zero date is to be NULL, but the column is NOT NULL');
  return null;
}

const ODD = /^-?infinity$| BC$|^\d{5,}-/i;

/** What MySQL's dates cannot hold. */
function oddDate(text: string, to: StoredColumn): string {
  if (to.spelling === 'mysql' && ODD.test(text))
    refuse(`${to.declared} has no infinity, no years before 0 and none beyond 9999`);
  return text;
}

/** `.5` → what `to` prints: MySQL all its digits, PostgreSQL none that are 0. null: no room for them, and the store may round. */
function fractionText(digits: string, to: StoredColumn, how: ColumnOverride): string | null {
  const room = to.fraction ?? (to.spelling === 'mysql' ? 0 : SECOND_DIGITS);
  let end = digits.length;
  while (end > 0 && digits.charCodeAt(end - 1) === 48) end -= 1;
  if (end > room) {
    if (how.digits === 'round') return null;
    refuse(
      `A time has more than ${room} digits of the second`,
      'set "digits" of the column to "round", or give the column more digits',
    );
  }
  if (to.spelling === 'mysql')
    return room === 0 ? '' : `.${digits.slice(0, end).padEnd(room, '0')}`;
  return end === 0 ? '' : `.${digits.slice(0, end)}`;
}

/** Minutes of `+05:30`, `-08`, `Z`. */
export function offsetMinutes(offset: string): number {
  const match = /^([+-])(\d\d)(?::?(\d\d))?/.exec(offset);
  if (match === null) return 0;
  const [, sign, hours = '0', minutes = '0'] = match;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

/** `YYYY-MM-DD HH:MM:SS`, so many minutes later. */
function later(stamp: string, minutes: number): string {
  if (minutes === 0) return stamp;
  const date = new Date(`${stamp.replace(' ', 'T')}Z`);
  if (Number.isNaN(date.getTime())) refuse('A date does not exist');
  const moved = new Date(date.getTime() + minutes * 60_000).toISOString();
  if (moved.length !== 24) refuse('A date is beyond the year 9999 in the other time zone');
  return moved.slice(0, 19).replace('T', ' ');
}

const ZONE = /(?:Z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)$/;

/**
 * Into `date-time` or `instant`, from any engine's text of one. `minutes` is the offset of the time without zone among the two: a text without zone
 * stands for UTC otherwise, as both engines' sessions are set.
 */
export function toStamp(
  to: StoredColumn,
  how: ColumnOverride,
  between: 'alike' | 'gains zone' | 'loses zone' = 'alike',
): Convert {
  const minutes = offsetMinutes(how.offset ?? '');
  const shift = between === 'gains zone' ? -minutes : between === 'loses zone' ? minutes : 0;
  const suffix = to.kind === 'instant' && to.spelling === 'postgres' ? '+00' : '';
  const bounded = to.kind === 'instant' && to.spelling === 'mysql';
  return (text) => {
    const joint = text.charCodeAt(10);
    if (text.length < 19 || text.charCodeAt(4) !== 45 || (joint !== 32 && joint !== 84)) {
      return oddDate(text, to);
    }
    if (text.endsWith('C')) return oddDate(text, to);
    if (to.spelling === 'postgres' && isZero(text)) return zeroDate(to, how);
    let head = joint === 32 ? text.slice(0, 19) : `${text.slice(0, 10)} ${text.slice(11, 19)}`;
    let moved = shift;
    let digits = '';
    if (text.length > 19) {
      const tail = text.slice(19);
      const zone = tail === '+00' ? '+00' : (ZONE.exec(tail)?.[0] ?? '');
      const rest = tail.slice(0, tail.length - zone.length);
      if (rest !== '' && !/^\.\d+$/.test(rest)) return text;
      digits = rest.slice(1);
      if (zone !== '' && zone !== 'Z' && zone !== '+00') moved -= offsetMinutes(zone);
    }
    if (moved !== 0 && !isZero(head)) head = later(head, moved);
    if (bounded && !isZero(head) && (head < '1970-01-01 00:00:01' || head > '2106-02-07 06:28:15'))
      refuse(
        `A time is beyond the range of ${to.declared} (1970 … 2038)`,
        'declare it datetime(6)',
      );
    const fraction = fractionText(digits, to, how);
    return fraction === null ? `${head}.${digits}${suffix}` : `${head}${fraction}${suffix}`;
  };
}

/** Into `date`. */
export function toDate(to: StoredColumn, how: ColumnOverride): Convert {
  return (text) => {
    if (text.length < 10 || text.charCodeAt(4) !== 45) return oddDate(text, to);
    if (text.endsWith('C')) return oddDate(text, to);
    if (to.spelling === 'postgres' && isZero(text)) return zeroDate(to, how);
    if (text.length === 10) return text;
    if (!/^[ T]00:00:00(\.0*)?(Z|\+00(:00)?)?$/.test(text.slice(10))) {
      if (how.digits === 'round') return text;
      refuse('A time of day has no room in a date', 'set "digits" of the column to "round"');
    }
    return text.slice(0, 10);
  };
}

const zeros = (from: StoredColumn, to: StoredColumn, how: ColumnOverride) => {
  if (from.spelling !== 'mysql' || to.spelling !== 'postgres') return {};
  return how.zeroDate === 'null'
    ? { loses: ['zero dates (they become NULL)'] }
    : { refuses: ['zero dates (0000-00-00)'] };
};

/** What PostgreSQL's dates can hold, and MySQL's never. */
export const ODD_DATES = 'infinity, and years before 1 or beyond 9999';

const odd = (from: StoredColumn, to: StoredColumn): readonly string[] =>
  from.spelling === 'postgres' && to.spelling === 'mysql' ? [ODD_DATES] : [];

const finer = (from: StoredColumn, to: StoredColumn, how: ColumnOverride) => {
  if ((from.fraction ?? SECOND_DIGITS) <= (to.fraction ?? (to.spelling === 'mysql' ? 0 : 6)))
    return {};
  return how.digits === 'round'
    ? { loses: ['digits of the second (rounded)'] }
    : { refuses: [`times with more than ${to.fraction ?? 0} digits of the second`] };
};

const bounds = (from: StoredColumn, to: StoredColumn): readonly string[] =>
  to.kind === 'instant' &&
  to.spelling === 'mysql' &&
  !(from.kind === 'instant' && from.spelling === 'mysql')
    ? ['times before 1970 or after 2038']
    : [];

const zoneWords = (from: StoredColumn, to: StoredColumn, how: ColumnOverride): readonly string[] =>
  from.kind !== to.kind && how.offset === undefined
    ? ['the zone: times without one are taken as UTC (state "offset" otherwise)']
    : [];

/** `date-time` and `instant`, each to each. */
export const stampToStamp: Rule = (from, to, how) => {
  const zoned =
    from.kind === to.kind ? 'alike' : to.kind === 'instant' ? 'gains zone' : 'loses zone';
  const alike =
    zoned === 'alike' &&
    from.spelling === to.spelling &&
    (from.fraction ?? 6) <= (to.fraction ?? 6);
  if (alike && (from.spelling === 'postgres' || from.fraction === to.fraction))
    return { convert: null };
  const [zero, fine] = [zeros(from, to, how), finer(from, to, how)];
  const whole = Math.min(from.fraction ?? SECOND_DIGITS, to.fraction ?? SECOND_DIGITS) === 0;
  return {
    convert: toStamp(to, how, zoned),
    keeps: whole && from.kind === 'date-time' && to.kind === 'date-time' && how.zeroDate !== 'null',
    loses: [...(zero.loses ?? []), ...(fine.loses ?? []), ...zoneWords(from, to, how)],
    refuses: [
      ...(zero.refuses ?? []),
      ...(fine.refuses ?? []),
      ...odd(from, to),
      ...bounds(from, to),
    ],
  };
};

export const dateToDate: Rule = (from, to, how) =>
  from.spelling === to.spelling
    ? { convert: null }
    : {
        convert: toDate(to, how),
        keeps: how.zeroDate !== 'null',
        ...joined(zeros(from, to, how), odd(from, to)),
      };

const joined = (
  zero: { readonly loses?: readonly string[]; readonly refuses?: readonly string[] },
  more: readonly string[],
) => ({ loses: zero.loses ?? [], refuses: [...(zero.refuses ?? []), ...more] });

export const dateToStamp: Rule = (from, to, how) => {
  const convert = toStamp(to, how, to.kind === 'instant' ? 'gains zone' : 'alike');
  return {
    convert: (text) => (text.length === 10 ? convert(`${text} 00:00:00`) : oddDate(text, to)),
    ...joined(zeros(from, to, how), [...odd(from, to), ...bounds(from, to)]),
  };
};

export const stampToDate: Rule = (from, to, how) => {
  const zero = zeros(from, to, how);
  const local = from.kind === 'instant' ? offsetMinutes(how.offset ?? '') : 0;
  const here = toStamp({ ...to, kind: 'date-time', fraction: SECOND_DIGITS }, how, 'loses zone');
  const convert = toDate(to, how);
  const time =
    how.digits === 'round'
      ? { loses: ['the time of day'] }
      : { refuses: ['times of day other than 00:00:00'] };
  return {
    convert:
      local === 0
        ? convert
        : (text) => {
            const stamp = here(text);
            return stamp === null ? null : convert(stamp);
          },
    loses: [...(zero.loses ?? []), ...(time.loses ?? [])],
    refuses: [...(zero.refuses ?? []), ...(time.refuses ?? []), ...odd(from, to)],
  };
};

const CLOCK = /^(-?)(\d{2,}):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/;
const DAYS = /^(?:([+-]?\d+) days? ?)?(?:([+-]?)(\d{2,}):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/;

/** PostgreSQL's `1 day 02:00:00` as MySQL's `26:00:00`; years and months have no length in hours. */
function hoursOf(text: string, to: StoredColumn, how: ColumnOverride): string {
  const match = DAYS.exec(text);
  if (match === null || text === '') {
    if (/year|mon|infinity/.test(text))
      refuse(`${to.declared} has no years and months, and no infinity`);
    return text;
  }
  const [, days = '0', sign = '', hours = '0', minutes = '0', seconds = '0', digits = ''] = match;
  const time = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  const micros =
    BigInt(days) * 86_400_000_000n +
    (sign === '-' ? -1n : 1n) * (BigInt(time) * 1_000_000n + BigInt(digits.padEnd(6, '0')));
  const size = micros < 0n ? -micros : micros;
  if (size >= 3_020_400_000_000n)
    refuse(`A time is beyond the range of ${to.declared} (838:59:59)`);
  const two = (value: bigint): string => String(value).padStart(2, '0');
  const whole = size / 1_000_000n;
  const clock = `${two(whole / 3600n)}:${two((whole / 60n) % 60n)}:${two(whole % 60n)}`;
  const rest = String(size % 1_000_000n).padStart(6, '0');
  const fraction = fractionText(rest, to, how) ?? `.${rest}`;
  return `${micros < 0n ? '-' : ''}${clock}${fraction}`;
}

/** Into `time` or `interval`, from any engine's text of one. */
export function toTime(to: StoredColumn, how: ColumnOverride): Convert {
  const daytime = to.kind === 'time' && to.spelling === 'postgres';
  return (text) => {
    const match = CLOCK.exec(text);
    if (match === null) return to.spelling === 'mysql' ? hoursOf(text, to, how) : text;
    const [, sign = '', hours = '', minutes = '', seconds = '', digits = ''] = match;
    if (
      daytime &&
      (sign !== '' || Number(hours) > 24 || (hours === '24' && text !== DAY_END(text)))
    )
      refuse(
        'A time is negative or beyond 24 hours',
        `declare the column interval, not ${to.declared}`,
      );
    if (to.spelling === 'mysql' && Number(hours) > 838)
      refuse(`A time is beyond the range of ${to.declared} (838:59:59)`);
    const fraction = fractionText(digits, to, how) ?? `.${digits}`;
    return `${sign}${hours}:${minutes}:${seconds}${fraction}`;
  };
}

/** 24:00:00 is a time of PostgreSQL, anything behind it is not. */
const DAY_END = (text: string): string => (/^24:00:00(\.0+)?$/.test(text) ? text : '');

/** `time` and `interval`, each to each. MySQL's time is a duration; PostgreSQL's is a time of day. */
export const timeToTime: Rule = (from, to, how) => {
  const alike = from.kind === to.kind && from.spelling === to.spelling;
  if (
    alike &&
    (from.spelling === 'postgres'
      ? (from.fraction ?? 6) <= (to.fraction ?? 6)
      : from.fraction === to.fraction)
  ) {
    return { convert: null };
  }
  const fine = finer(from, to, how);
  const interval = from.kind === 'interval' && to.spelling === 'mysql';
  const duration = from.spelling === 'mysql' && to.spelling === 'postgres' && to.kind === 'time';
  return {
    convert: toTime(to, how),
    loses: [...(fine.loses ?? []), ...(interval ? ['days (they become 24 hours)'] : [])],
    refuses: [
      ...(fine.refuses ?? []),
      ...(interval ? ['years and months, and more than 838 hours'] : []),
      ...(duration ? ['times of day beyond 24 hours and negative ones'] : []),
    ],
  };
};
