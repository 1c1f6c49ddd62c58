/** Marks on an axis, ascending, and the range that they span. */
export interface Axis {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly { readonly at: number; readonly label: string }[];
}

/** From zero to a round number at or above the largest value: 1, 2 or 5 times a power of ten a step, 5 steps at most. */
export function axisFromZero(values: readonly number[]): Axis {
  const largest = largestOf(values);
  // Below, powers of ten end; nothing that is measured is so small.
  if (!(largest > 1e-290)) return { low: 0, high: 1, ticks: [tick(0), tick(1)] };
  const raw = largest / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((times) => times * power >= raw * (1 - 1e-9)) ?? 10) * power;
  const count = Math.max(1, Math.ceil(largest / step - 1e-9));
  const ticks = Array.from({ length: count + 1 }, (_, index) => tick(index * step));
  return { low: 0, high: count * step, ticks };
}

/** A share near 1 by its nines: 0.9 → 1, 0.999 → 3. 1 is not reached by a bound; 16 nines are what a number can tell. */
export const nines = (share: number): number =>
  share >= 1 ? 16 : Math.min(16, Math.max(0, -Math.log10(1 - share)));

/** From 0 % to one nine more than there is: 0 %, 90 %, 99 %, … */
export function axisOfNines(shares: readonly number[]): Axis {
  const high = Math.max(1, Math.ceil(largestOf(shares.map(nines)) - 1e-9));
  const ticks = Array.from({ length: high + 1 }, (_, count) => ({
    at: count,
    label: count === 0 ? '0 %' : `${ninesText(count)} %`,
  }));
  return { low: 0, high, ticks };
}

const ninesText = (count: number): string =>
  count <= 2 ? '9'.repeat(count).padEnd(2, '0') : `99.${'9'.repeat(count - 2)}`;

/** Minutes between marks of a time axis. */
const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 7_200, 14_400, 43_200];

/** Epoch minutes as a time axis, UTC: 7 marks at most, days named where the range is longer than one. A single minute gets one on each side. */
export function axisOfMinutes(minutes: readonly number[]): Axis {
  if (minutes.length === 0) return { low: 0, high: 1, ticks: [] };
  const first = smallestOf(minutes);
  const last = largestOf(minutes);
  const low = first === last ? first - 1 : first;
  const high = first === last ? last + 1 : last;
  const width = high - low;
  const step = steps.find((minutes) => width / minutes <= 6) ?? Math.ceil(width / 6);
  const ticks: { at: number; label: string }[] = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step)
    ticks.push({ at, label: timeLabel(at, width) });
  return { low, high, ticks };
}

function timeLabel(minute: number, width: number): string {
  const text = new Date(minute * 60_000).toISOString();
  if (width > 6 * 1_440) return text.slice(5, 10);
  return width > 1_440 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(11, 16);
}

const tick = (at: number) => ({ at: Number(at.toPrecision(12)), label: numberLabel(at) });

/** `0.2`, `1 500`, `2e+9`. */
export function numberLabel(value: number): string {
  if (value !== 0 && (Math.abs(value) >= 1e9 || Math.abs(value) < 1e-3))
    return String(Number(value.toPrecision(3)));
  const text = String(Number(value.toPrecision(4)));
  return /^\d{5,}$/.test(text) ? text.replace(/\B(?=(\d{3})+(?!\d))/g, '\u00a0') : text;
}

// Not by spreading: a long list would be too many arguments.
const largestOf = (values: readonly number[]): number =>
  values.reduce((largest, value) => Math.max(largest, value), Number.NEGATIVE_INFINITY);
const smallestOf = (values: readonly number[]): number =>
  values.reduce((smallest, value) => Math.min(smallest, value), Number.POSITIVE_INFINITY);
