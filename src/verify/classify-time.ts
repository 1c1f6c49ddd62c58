/** A moment as a text spells it. */
interface Moment {
  /** Nanoseconds since 1970, or since midnight; the offset taken into account where there is one. */
  readonly ns: bigint;
  /** The same without the offset. */
  readonly wallNs: bigint;
  readonly shape: 'date' | 'date-time' | 'time';
  readonly zoned: boolean;
  /** Digits of the second behind the point, zeros at the end left out. */
  readonly fraction: number;
}

const SECOND = 1_000_000_000n;
const QUARTER_HOUR = 900n * SECOND;
const DAY = 86_400n * SECOND;
/** No zone is further from UTC. */
const ZONE_MAX = 14n * 3_600n * SECOND;

const PATTERN =
  /^(?:(\d{4,6})-(\d\d)-(\d\d))?(?:[ T]?(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(?:(Z)|([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?)?$/;

function parseMoment(text: string): Moment | null {
  const match = PATTERN.exec(text);
  if (!match) return null;
  const [, year, month, day, hour, minute, second, digits = '', utc, sign, ...offset] = match;
  const dated = year !== undefined;
  const timed = hour !== undefined;
  if (!dated && !timed) return null;
  // `2020-01-01-05` and the like are no dates.
  if (!timed && (utc !== undefined || sign !== undefined)) return null;
  const dayNs = dated ? dayOf(Number(year), Number(month), Number(day)) : 0n;
  if (dayNs === null || Number(hour ?? 0) > 24 || Number(minute ?? 0) > 59) return null;
  const seconds = Number(hour ?? 0) * 3_600 + Number(minute ?? 0) * 60 + Number(second ?? 0);
  const wallNs = dayNs + BigInt(seconds) * SECOND + BigInt(digits.padEnd(9, '0'));
  const [hours = '0', minutes = '0', rest = '0'] = offset.map((one) => one ?? '0');
  const away = BigInt(Number(hours) * 3_600 + Number(minutes) * 60 + Number(rest)) * SECOND;
  return {
    ns: sign === '-' ? wallNs + away : wallNs - away,
    wallNs,
    shape: dated ? (timed ? 'date-time' : 'date') : 'time',
    zoned: utc !== undefined || sign !== undefined,
    fraction: digits.replace(/0+$/, '').length,
  };
}

function dayOf(year: number, month: number, day: number): bigint | null {
  if (month < 1 || month > 12 || day < 1 || day > 31) return null;
  const ms = new Date(0).setUTCFullYear(year, month - 1, day);
  return Number.isNaN(ms) ? null : BigInt(ms) * 1_000_000n;
}

/**
 * What happened to a time: it is a whole number of quarters of an hour away (at most 14 hours), or has lost digits of its second or its time of
 * day; null: neither, or both at once.
 */
export function classifyTime(a: string, b: string): 'time-zone' | 'timestamp-precision' | null {
  const [one, other] = [parseMoment(a), parseMoment(b)];
  if (!one || !other) return null;
  if ((one.shape === 'time') !== (other.shape === 'time')) return null;
  if (one.shape === 'date' && other.shape === 'date') return null;
  // Where only one side says its zone, the digits are all there is to compare.
  const zoned = one.zoned && other.zoned;
  const [x, y] = zoned ? [one.ns, other.ns] : [one.wallNs, other.wallNs];
  if (x === y)
    return one.zoned === other.zoned && one.wallNs === other.wallNs
      ? 'timestamp-precision'
      : 'time-zone';
  if (one.shape === other.shape && isZoneAway(x - y, one.shape === 'time')) return 'time-zone';
  return isCoarser(one, x, other, y) || isCoarser(other, y, one, x) ? 'timestamp-precision' : null;
}

function isZoneAway(difference: bigint, clock: boolean): boolean {
  const away = difference < 0n ? -difference : difference;
  if (away % QUARTER_HOUR !== 0n) return false;
  // The hands of a clock come round again.
  return (clock && away > DAY / 2n ? DAY - away : away) <= ZONE_MAX;
}

/** `y` is `x` cut or rounded at the digits that `coarse` has. */
function isCoarser(fine: Moment, x: bigint, coarse: Moment, y: bigint): boolean {
  if (coarse.fraction < fine.fraction) {
    const unit = 10n ** BigInt(9 - coarse.fraction);
    const cut = x - (((x % unit) + unit) % unit);
    if (y === cut || (y === cut + unit && (x - cut) * 2n >= unit)) return true;
  }
  // A date in between: the time of day is gone.
  return coarse.shape !== 'time' && y % DAY === 0n && x - y > 0n && x - y < DAY;
}

/** True when `actual` is an earlier moment than `expected`, and both say as much of their zone. */
export function isEarlier(actual: string, expected: string): boolean {
  const [one, other] = [parseMoment(actual), parseMoment(expected)];
  return (
    one !== null &&
    other !== null &&
    one.shape === 'date-time' &&
    other.shape === 'date-time' &&
    one.zoned === other.zoned &&
    one.ns < other.ns &&
    classifyTime(actual, expected) === null
  );
}
