import type { Spelling } from './column-type.ts';

const FLOAT = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/** A decimal number in its parts: value = sign 0.whole.fraction; null: not a number. */
export interface Digits {
  readonly negative: boolean;
  /** Without leading zeros; '' for none. */
  readonly whole: string;
  /** As written, trailing zeros included. */
  readonly fraction: string;
}

/** `1.50`, `1e+20`, `-3` … without exponent; null: NaN, infinity, or no number. */
export function digitsOf(text: string): Digits | null {
  const match = FLOAT.exec(text);
  if (match === null) return null;
  const [, sign, before = '', after = '', exponent] = match;
  const shift = exponent === undefined ? 0 : Number(exponent);
  // Nothing that a column can hold is longer; a text from elsewhere must not fill the memory.
  if (Math.abs(shift) > 20_000) return null;
  let [whole, fraction] = [before, after];
  if (shift > 0) {
    const moved = fraction.padEnd(shift, '0');
    [whole, fraction] = [whole + moved.slice(0, shift), moved.slice(shift)];
  } else if (shift < 0) {
    const moved = whole.padStart(-shift, '0');
    [whole, fraction] = [moved.slice(0, moved.length + shift), moved.slice(shift) + fraction];
  }
  return { negative: sign === '-', whole: whole.replace(/^0+/, ''), fraction };
}

export const withoutZeros = (fraction: string): string => fraction.replace(/0+$/, '');

/** The decimal text with exactly so many digits behind the point; there must be room for those that count. */
export function decimalText({ negative, whole, fraction }: Digits, scale: number): string {
  const digits = fraction.slice(0, scale).padEnd(scale, '0');
  const zero = whole === '' && withoutZeros(digits) === '';
  return `${negative && !zero ? '-' : ''}${whole || '0'}${scale > 0 ? `.${digits}` : ''}`;
}

/** Shortest decimal digits of a number and the exponent of the first: 120 → '12', 2. `bits` 32: shortest that give the same float. */
function shortest(
  value: number,
  bits: 32 | 64,
): { readonly digits: string; readonly exponent: number } {
  let text = value.toExponential();
  if (bits === 32) {
    for (let precision = 0; precision <= 8; precision += 1) {
      text = value.toExponential(precision);
      if (Math.fround(Number(text)) === value) break;
    }
  }
  const [mantissa = '0', exponent = '0'] = text.split('e');
  return { digits: withoutZeros(mantissa.replace('.', '')) || '0', exponent: Number(exponent) };
}

/**
 * A float as the engine prints it. PostgreSQL: with exponent below 1e-4 and from 1e15 on (float4: 1e6), at least two digits of it. MySQL's canonical text is
 * that of JavaScript.
 */
export function floatText(value: number, bits: 32 | 64, spelling: Spelling): string {
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
  }
  const rounded = bits === 32 ? Math.fround(value) : value;
  const sign = rounded < 0 || Object.is(rounded, -0) ? '-' : '';
  const { digits, exponent } = shortest(Math.abs(rounded), bits);
  if (spelling === 'mysql') {
    const text = String(Number(`${digits[0]}.${digits.slice(1) || '0'}e${exponent}`));
    return `${sign}${text}`;
  }
  const limit = bits === 32 ? 6 : 15;
  if (exponent < -4 || exponent >= limit) {
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const power = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0]}${rest}e${exponent < 0 ? '-' : '+'}${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return `${sign}${digits.padEnd(exponent + 1, '0')}`;
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}
