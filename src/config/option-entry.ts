import * as v from 'valibot';

/** One option: how it is checked, and what the reference says about it. */
export interface OptionEntry<T> {
  readonly default: T;
  readonly unit: string;
  /** In words: `100 … 60000`, `a | b`. */
  readonly range: string;
  readonly effect: string;
  readonly schema: v.GenericSchema<unknown, T>;
}

interface NumberOption {
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  readonly default: number;
  readonly effect: string;
}

const rangeOf = (min: number, max: number): string => `${min} … ${max}`;

/** A whole number. */
export function whole(option: NumberOption): OptionEntry<number> {
  const { min, max } = option;
  const range = rangeOf(min, max);
  return {
    default: option.default,
    unit: option.unit,
    range,
    effect: option.effect,
    schema: v.pipe(
      v.number(`has to be a number (${option.unit}, ${range})`),
      v.integer(`has to be a whole number (${option.unit}, ${range})`),
      v.minValue(min, `has to be at least ${min} (${option.unit})`),
      v.maxValue(max, `may be at most ${max} (${option.unit})`),
    ),
  };
}

/** A time in milliseconds. */
export const ms = (
  fallback: number,
  min: number,
  max: number,
  effect: string,
): OptionEntry<number> => whole({ unit: 'milliseconds', default: fallback, min, max, effect });

/** A share, or another number with a fraction; bounds included. */
export function share(option: NumberOption): OptionEntry<number> {
  const { min, max } = option;
  const range = rangeOf(min, max);
  return {
    default: option.default,
    unit: option.unit,
    range,
    effect: option.effect,
    schema: v.pipe(
      v.number(`has to be a number (${option.unit}, ${range})`),
      v.minValue(min, `has to be at least ${min} (${option.unit})`),
      v.maxValue(max, `may be at most ${max} (${option.unit})`),
    ),
  };
}

/** One of several words. */
export function choice<const T extends string>(option: {
  readonly values: readonly T[];
  readonly default: NoInfer<T>;
  readonly effect: string;
}): OptionEntry<T> {
  const { values } = option;
  return {
    default: option.default,
    unit: '–',
    range: values.join(' | '),
    effect: option.effect,
    schema: v.picklist(values, `has to be one of ${values.join(', ')}`),
  };
}

/** A text, or null for none. */
export function textOrNone(option: {
  readonly unit: string;
  readonly effect: string;
}): OptionEntry<string | null> {
  return {
    default: null,
    unit: option.unit,
    range: 'text | null',
    effect: option.effect,
    schema: v.nullable(v.pipe(v.string('has to be a text'), v.minLength(1, 'may not be empty'))),
  };
}
