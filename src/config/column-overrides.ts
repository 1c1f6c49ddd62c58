import * as v from 'valibot';
import type { ColumnOverride } from '../mapping/index.ts';
import { choice, type OptionEntry } from './option-entry.ts';

const label = v.string('has to be a text');

/** Options of one column in `collections.<name>.columns`. What is left out is as the default says. */
export const columnOverrides: {
  readonly [K in keyof Required<ColumnOverride>]: OptionEntry<unknown>;
} = {
  zeroDate: choice({
    values: ['refuse', 'null'],
    default: 'refuse',
    effect:
      'Dates with a year, month or day 0, on their way to PostgreSQL. `refuse`: a dead letter. `null`: NULL, which the column has to allow.',
  }),
  nul: choice({
    values: ['refuse', 'remove'],
    default: 'refuse',
    effect: 'NUL characters, which text in PostgreSQL cannot hold.',
  }),
  digits: choice({
    values: ['refuse', 'round'],
    default: 'refuse',
    effect:
      'Digits behind the point, of numbers and of seconds, for which the other column has no room. `round`: the store rounds.',
  }),
  truth: {
    default: null,
    unit: '–',
    range: "{ true: 'Y', false: 'N' }",
    effect: 'What a text or an enum holds for a boolean of the other side.',
    schema: v.strictObject({ true: label, false: label }),
  },
  offset: {
    default: '+00:00',
    unit: '±hh:mm',
    range: '-15:59 … +15:59',
    effect: 'Where the clock of a date and time without zone stands, whose other side has a zone.',
    schema: v.pipe(
      v.string('has to be an offset, for example +02:00'),
      v.regex(/^[+-](0\d|1[0-5]):[0-5]\d$/, 'has to be an offset, for example +02:00'),
    ),
  },
  uuid: choice({
    values: ['plain', 'swapped'],
    default: 'plain',
    effect:
      'Order of the 16 bytes of a uuid. `swapped`: as MySQL’s `UUID_TO_BIN(uuid, 1)` writes them.',
  }),
  convert: {
    default: true,
    unit: '–',
    range: 'true | false',
    effect:
      '`false`: the text goes over as it is, neither converted nor checked; the store decides.',
    schema: v.boolean('has to be true or false'),
  },
};
