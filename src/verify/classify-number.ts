/** A decimal number, exact: `digits · 10^-scale`; without zeros at the end. */
interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

/** Beyond it a number is not written out: `1e400000` would be a text of so many digits. */
const EXPONENT_MAX = 400;
/** From here on a float32 does not hold each whole number. */
const FLOAT32_WHOLE = 2 ** 24;
/** Digits with which stores spell a float32. */
const FLOAT32_DIGITS = [6, 7, 8, 9] as const;

/** The number that a text spells, or null. No spaces, no thousands, no zeros in front but one. */
function parseDecimal(text: string): Decimal | null {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,6}))?$/.exec(text);
  if (!match) return null;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  if (whole.length + fraction.length === 0 || whole.length + fraction.length > EXPONENT_MAX)
    return null;
  const shift = Number(exponent);
  if (Math.abs(shift) > EXPONENT_MAX) return null;
  let digits = BigInt(`${whole}${fraction}`);
  let scale = fraction.length - shift;
  if (scale < 0) {
    digits *= 10n ** BigInt(-scale);
    scale = 0;
  }
  while (scale > 0 && digits % 10n === 0n) {
    digits /= 10n;
    scale -= 1;
  }
  return { digits: sign === '-' ? -digits : digits, scale };
}

/** One spelling for each number, and only for it; null for what is no number. */
export function decimalText(text: string): string | null {
  const found = parseDecimal(text);
  return found && `${found.digits}e-${found.scale}`;
}

/**
 * True when both are numbers and one is what became of the other: the same number spelled otherwise, rounded or cut at the digits that the coarser
 * one has behind the point, or what a float32 or float64 makes of it.
 */
export function isNumericPrecision(a: string, b: string): boolean {
  const [one, other] = [parseDecimal(a), parseDecimal(b)];
  if (!one || !other) return false;
  if (one.scale === other.scale && one.digits === other.digits) return true;
  const [fine, coarse] = one.scale >= other.scale ? [one, other] : [other, one];
  if (fine.scale > coarse.scale && isRounded(fine, coarse)) return true;
  return becomes(a, other) || becomes(b, one);
}

function isRounded(fine: Decimal, coarse: Decimal): boolean {
  // A sign that turns is no rounding, unless nothing is left to have one.
  if (coarse.digits !== 0n && fine.digits < 0n !== coarse.digits < 0n) return false;
  const unit = 10n ** BigInt(fine.scale - coarse.scale);
  const magnitude = fine.digits < 0n ? -fine.digits : fine.digits;
  const left = coarse.digits < 0n ? -coarse.digits : coarse.digits;
  const cut = magnitude / unit;
  const rest = magnitude % unit;
  // Half up and half to even, as stores do it: a rest of exactly one half may have gone either way.
  return left === cut || (left === cut + 1n && rest * 2n >= unit);
}

/** `other` is what a float makes of the number that `text` spells. */
function becomes(text: string, other: Decimal): boolean {
  const value = Number(text);
  if (!Number.isFinite(value)) return false;
  const candidates = [exactText(value), String(value)];
  if (Math.abs(value) >= FLOAT32_WHOLE || !Number.isInteger(value)) {
    const single = Math.fround(value);
    candidates.push(exactText(single));
    if (Number.isFinite(single))
      candidates.push(...FLOAT32_DIGITS.map((digits) => single.toPrecision(digits)));
  }
  return candidates.some((candidate) => {
    const made = parseDecimal(candidate);
    return made !== null && made.digits === other.digits && made.scale === other.scale;
  });
}

/** A whole float in all its digits; others as they are spelled. */
const exactText = (value: number): string =>
  Number.isInteger(value) ? String(BigInt(value)) : String(value);
