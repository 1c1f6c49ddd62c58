import type { ColumnOverride } from './column-override.ts';
import type { StoredColumn } from './column-type.ts';
import { type Digits, decimalText, digitsOf, floatText, withoutZeros } from './number-text.ts';
import { type Convert, chain, type Rule, type RuleResult, refuse } from './rule.ts';

const TRUTHS: Readonly<Record<string, '0' | '1'>> = {
  t: '1',
  true: '1',
  f: '0',
  false: '0',
};

/** Room of an integer column, both ends included. */
function rangeOf({ bits = 64, unsigned = false }: StoredColumn): readonly [bigint, bigint] {
  const span = 2n ** BigInt(bits);
  return unsigned ? [0n, span - 1n] : [-span / 2n, span / 2n - 1n];
}

const INTEGER = /^-?\d+$/;

const roundHint = 'set "digits" of the column to "round", or give the column more digits';

/** Whole numbers within the range of `to`. What is no integer text goes on. */
function checkRange(to: StoredColumn): Convert {
  const [min, max] = rangeOf(to);
  // As many digits as are always in range: nearly every value is decided by its length.
  const sure = String(max).length - 1;
  return (text) => {
    const negative = text.charCodeAt(0) === 45;
    if (text.length - (negative ? 1 : 0) <= sure && (!negative || min < 0n)) return text;
    if (!INTEGER.test(text)) return text;
    const value = BigInt(text);
    if (value < min || value > max) refuse(`A number is beyond the range of ${to.declared}`);
    return text;
  };
}

const within = (from: StoredColumn, to: StoredColumn): boolean => {
  const [[fromMin, fromMax], [toMin, toMax]] = [rangeOf(from), rangeOf(to)];
  return fromMin >= toMin && fromMax <= toMax;
};

const beyond = (to: StoredColumn): string => `numbers beyond the range of ${to.declared}`;

export const integerToInteger: Rule = (from, to) =>
  within(from, to)
    ? { convert: null }
    : { convert: checkRange(to), keeps: true, refuses: [beyond(to)] };

/** Also `t` and `true`: the application's transform may have them from the other side. */
export const anyToInteger = (to: StoredColumn): Convert => {
  const check = checkRange(to);
  return (text) => check(TRUTHS[text] ?? text);
};

/** `5`, `5.00` and `5e0` as 5; fractions are refused, or go on. */
export function toWhole(to: StoredColumn, how: ColumnOverride): Convert {
  const check = checkRange(to);
  return (text) => {
    if (INTEGER.test(text)) return check(text);
    const digits = digitsOf(text);
    if (digits === null) {
      if (/^[+-]?(nan|inf(inity)?)$/i.test(text)) refuse('NaN and infinity are no whole numbers');
      return text;
    }
    if (withoutZeros(digits.fraction) !== '') {
      if (how.digits === 'round') return text;
      refuse('A number has digits behind the point, for which there is no room', roundHint);
    }
    return check(decimalText(digits, 0));
  };
}

const fractions = (how: ColumnOverride): Pick<RuleResult, 'loses' | 'refuses'> =>
  how.digits === 'round'
    ? { loses: ['digits behind the point (rounded)'] }
    : { refuses: ['digits behind the point for which there is no room'] };

/** What PostgreSQL's numbers can hold, and MySQL's never. */
export const NOT_FINITE = 'NaN and infinity';

export const decimalToInteger: Rule = (from, to, how) => {
  const cut = (from.scale ?? 1) > 0 ? fractions(how) : {};
  const fits = from.precision !== undefined && digitsFit(from, to);
  return {
    convert: toWhole(to, how),
    keeps: from.precision !== undefined && from.scale === 0,
    loses: [...(cut.loses ?? []), ...anyDigits(from)],
    refuses: [...(cut.refuses ?? []), ...(fits ? [] : [beyond(to)]), ...nonFinite(from)],
  };
};

function digitsFit({ precision = 0, scale = 0 }: StoredColumn, to: StoredColumn): boolean {
  const [min, max] = rangeOf(to);
  const most = 10n ** BigInt(Math.max(0, precision - scale)) - 1n;
  return most <= max && -most >= min;
}

/** `numeric` without bounds keeps `1.0` and `1.00` apart. */
const anyDigits = (from: StoredColumn): readonly string[] =>
  from.precision === undefined && from.kind === 'decimal' ? ['zeros at the end of a number'] : [];

const nonFinite = (from: StoredColumn): readonly string[] =>
  from.spelling === 'postgres' && (from.kind === 'float' || from.precision === undefined)
    ? [NOT_FINITE]
    : [];

/** Writes digits as `numeric(precision, scale)` prints them. */
function fitDecimal(
  to: StoredColumn,
  how: ColumnOverride,
): (digits: Digits, text: string) => string {
  const { precision, scale = 0 } = to;
  return (digits, text) => {
    if (to.unsigned && digits.negative) refuse(`${to.declared} has no negative numbers`);
    if (precision === undefined) {
      return decimalText(digits, digits.fraction.length);
    }
    if (digits.whole.length > precision - scale)
      refuse(`A number is beyond the range of ${to.declared}`);
    if (digits.fraction.length <= scale) return decimalText(digits, scale);
    if (withoutZeros(digits.fraction.slice(scale)) === '') return decimalText(digits, scale);
    if (how.digits === 'round') return text;
    refuse(`A number has more than ${scale} digits behind the point`, roundHint);
  };
}

/** Into `decimal`, from any number. */
export function toDecimal(to: StoredColumn, how: ColumnOverride): Convert {
  const fitted = fitDecimal(to, how);
  const special = to.spelling === 'postgres' && to.precision === undefined;
  return (text) => {
    const digits = digitsOf(TRUTHS[text] ?? text);
    if (digits !== null) return fitted(digits, text);
    if (!special && /^[+-]?(nan|inf(inity)?)$/i.test(text))
      refuse(`${to.declared} has no NaN and no infinity`);
    return text;
  };
}

export const decimalToDecimal: Rule = (from, to, how) => {
  const alike = from.precision === to.precision && from.scale === to.scale;
  const wider = to.precision === undefined && from.precision !== undefined;
  const signed = to.unsigned === true && from.unsigned !== true;
  const same = alike && (from.spelling === to.spelling || from.precision !== undefined);
  if (!signed && (wider || same)) return { convert: null };
  const room = (column: StoredColumn): number => (column.precision ?? 1e6) - (column.scale ?? 0);
  const cut = (from.scale ?? 1e6) > (to.scale ?? 1e6) || from.precision === undefined;
  const { loses = [], refuses = [] } = cut ? fractions(how) : {};
  return {
    convert: toDecimal(to, how),
    loses: [...loses, ...anyDigits(from)],
    refuses: [
      ...refuses,
      ...(signed || room(from) > room(to) ? [beyond(to)] : []),
      ...(to.precision === undefined ? [] : nonFinite(from)),
    ],
  };
};

export const integerToDecimal: Rule = (from, to, how) => {
  if (to.precision === undefined) return { convert: null };
  const [min, max] = rangeOf(from);
  const most = 10n ** BigInt(to.precision - (to.scale ?? 0)) - 1n;
  const fits = max <= most && min >= (to.unsigned ? 0n : -most);
  if (fits && (to.scale ?? 0) === 0) return { convert: null };
  const keeps = (to.scale ?? 0) === 0;
  return { convert: toDecimal(to, how), keeps, refuses: fits ? [] : [beyond(to)] };
};

const bitsOf = ({ bits }: StoredColumn): 32 | 64 => (bits === 32 ? 32 : 64);

/** Into `float`, from any number. Values that the float would change are refused, unless they may be rounded. */
export function toFloat(to: StoredColumn, how: ColumnOverride): Convert {
  const bits = bitsOf(to);
  return (text) => {
    const digits = digitsOf(text);
    if (digits === null) {
      const special = /^([+-]?)(nan|inf(?:inity)?)$/i.exec(text);
      if (special !== null && to.spelling === 'mysql')
        refuse(`${to.declared} has no NaN and no infinity`);
      return text;
    }
    if (to.unsigned && digits.negative) refuse(`${to.declared} has no negative numbers`);
    const value = bits === 32 ? Math.fround(Number(text)) : Number(text);
    if (!Number.isFinite(value)) refuse(`A number is beyond the range of ${to.declared}`);
    const written = floatText(value, bits, to.spelling);
    if (how.digits === 'round') return written;
    const back = digitsOf(written) as Digits;
    const kept =
      back.whole === digits.whole && withoutZeros(back.fraction) === withoutZeros(digits.fraction);
    if (!kept) refuse(`A number has more digits than ${to.declared} keeps`, roundHint);
    return written;
  };
}

const floatDigits = (how: ColumnOverride): Pick<RuleResult, 'loses' | 'refuses'> =>
  how.digits === 'round'
    ? { loses: ['digits that a float does not keep'] }
    : { refuses: ['numbers with more digits than a float keeps'] };

export const integerToFloat: Rule = (from, to, how) => {
  const sure = (from.bits ?? 64) <= (bitsOf(to) === 32 ? 24 : 53);
  return { convert: toFloat(to, how), ...(sure ? {} : floatDigits(how)) };
};

export const decimalToFloat: Rule = (from, to, how) => {
  const { loses = [], refuses = [] } = floatDigits(how);
  return {
    convert: toFloat(to, how),
    loses: [...loses, 'zeros at the end of a number'],
    refuses: [...refuses, ...(to.spelling === 'mysql' ? nonFinite(from) : [])],
  };
};

export const floatToFloat: Rule = (from, to, how) => {
  const narrower = bitsOf(from) > bitsOf(to);
  if (from.spelling === to.spelling && bitsOf(from) === bitsOf(to)) return { convert: null };
  const { loses = [], refuses = [] } = narrower ? floatDigits(how) : {};
  return {
    convert: toFloat(to, how),
    loses,
    refuses: [...refuses, ...(to.spelling === 'mysql' ? nonFinite(from) : [])],
  };
};

export const floatToInteger: Rule = (from, to, how) => {
  const { loses = [], refuses = [] } = fractions(how);
  return {
    convert: toWhole(to, how),
    loses: [...loses, 'the sign of zero'],
    refuses: [...refuses, beyond(to), ...nonFinite(from)],
  };
};

export const floatToDecimal: Rule = (from, to, how) => {
  const { loses = [], refuses = [] } = to.precision === undefined ? {} : fractions(how);
  return {
    convert: toDecimal(to, how),
    loses: [...loses, 'the sign of zero'],
    refuses: [...refuses, ...(to.precision === undefined ? [] : [beyond(to), ...nonFinite(from)])],
  };
};

/** As `to` writes a boolean. */
export function toTruth(to: StoredColumn, how: ColumnOverride): Convert {
  const [yes, no] = to.spelling === 'postgres' ? ['t', 'f'] : ['1', '0'];
  const { truth } = how;
  return (text) => {
    if (truth !== undefined) {
      if (text === truth.true) return yes as string;
      if (text === truth.false) return no as string;
    }
    const known = TRUTHS[text] ?? text;
    if (known === '1') return yes as string;
    if (known === '0') return no as string;
    const digits = to.spelling === 'postgres' ? digitsOf(known) : null;
    if (digits === null) return text;
    if (withoutZeros(digits.fraction) === '') {
      if (digits.whole === '1' && !digits.negative) return 't';
      if (digits.whole === '') return 'f';
    }
    // A tinyint(1) holds other numbers as well.
    refuse('A number other than 0 and 1 is no boolean', 'map the column to smallint instead');
  };
}

const others = 'numbers other than 0 and 1';

export const booleanToBoolean: Rule = (from, to, how) =>
  from.spelling === to.spelling
    ? { convert: null }
    : { convert: toTruth(to, how), refuses: from.spelling === 'mysql' ? [others] : [] };

export const numberToBoolean: Rule = (_from, to, how) => ({
  convert: toTruth(to, how),
  refuses: [others],
});

/** `1` and `0`; what MySQL keeps in a tinyint(1) beside them stays a number. */
const truthNumber: Convert = (text) => TRUTHS[text] ?? text;

export const booleanToInteger: Rule = (from, to) =>
  from.spelling === 'postgres'
    ? { convert: truthNumber }
    : { ...integerToInteger({ ...from, kind: 'integer', bits: 8 }, to, {}) };

export const booleanToDecimal: Rule = (from, to, how) => ({
  convert: chain(from.spelling === 'postgres' ? truthNumber : null, toDecimal(to, how)),
});

export const booleanToFloat: Rule = (from, to, how) => ({
  convert: chain(from.spelling === 'postgres' ? truthNumber : null, toFloat(to, how)),
});

/** A year as MySQL prints it: `2024`, `0000`. */
export function toYear(to: StoredColumn): Convert {
  return (text) => {
    if (!INTEGER.test(text)) return text;
    const value = Number(text);
    if (value !== 0 && (value < 1901 || value > 2155))
      refuse(`A number is beyond the range of ${to.declared} (0, 1901 … 2155)`);
    return String(value).padStart(4, '0');
  };
}

export const integerToYear: Rule = (_from, to) => ({
  convert: toYear(to),
  refuses: ['numbers other than 0 and 1901 … 2155'],
});

export const yearToInteger: Rule = (_from, to) => ({
  convert: (text) => (/^\d{4}$/.test(text) ? String(Number(text)) : text),
  ...(within({ ..._from, bits: 12, unsigned: true }, to) ? {} : { refuses: [beyond(to)] }),
});

/** Text that stands for a number of the given column; other text goes on and is refused by the store. */
export const textToNumber =
  (convert: (to: StoredColumn, how: ColumnOverride) => Convert): Rule =>
  (_from, to, how) => ({
    convert: chain((text) => text.trim().replace(/^\+/, ''), convert(to, how)),
    loses: ['how a number is spelled (blanks, signs, zeros)'],
    refuses: ['texts that are no numbers'],
  });
