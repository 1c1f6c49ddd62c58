import type { MismatchClass } from '../../src/record/index.ts';
import type { Random } from '../../src/runtime/index.ts';

/** A column of the follower, as far as a corruption has to know it. */
export interface Column {
  readonly name: string;
  /** As PostgreSQL spells it: `character varying(40)`. */
  readonly type: string;
  readonly nullable: boolean;
  /** Most characters; null: no bound. */
  readonly room: number | null;
}

/** What one value becomes; undefined: this value cannot be corrupted so. */
type Spoil = (value: string | null, column: Column, random: Random) => string | null | undefined;

/** One way to spoil a single value, and what it has to be called afterwards. */
export interface Corruption {
  readonly class: MismatchClass;
  readonly spoil: Spoil;
}

const isText = ({ type }: Column): boolean => /^(text|character varying)/.test(type);
const isTime = ({ type }: Column): boolean => /^timestamp/.test(type);
const letters = 'abcdefghijklmnopqrstuvwxyz';

/** A text in, a text out; left alone where it does not fit or changes nothing. */
const text =
  (change: (value: string, random: Random) => string): Spoil =>
  (value, column, random) => {
    if (value === null || !isText(column)) return undefined;
    const made = change(value, random);
    const fits = column.room === null || [...made].length <= column.room;
    return made !== value && fits ? made : undefined;
  };

const pick = (random: Random, count: number): number => Math.floor(random.next() * count);

const moved: Spoil = (value, column, random) => {
  if (value === null || !isTime(column) || isMark(column)) return undefined;
  const match = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(.*)$/.exec(value);
  if (!match) return undefined;
  const quarters = (1 + pick(random, 52)) * (random.next() < 0.5 ? -1 : 1);
  const ms = Date.parse(`${match[1]?.replace(' ', 'T')}Z`) + quarters * 900_000;
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}${match[2]}`;
};

/** A column by which the record says when it was changed: its own corruption is `stale`. */
export const isMark = ({ name }: Column): boolean => /^(last_update|updated_at)$/.test(name);

/** Every class that one value can have. `missing`, `extra` and `stale` are done to rows. */
export const corruptions: Readonly<Record<string, Corruption>> = {
  precision: {
    class: 'timestamp-precision',
    spoil: (value, column) =>
      value !== null && isTime(column) && !isMark(column) && /\.\d*[1-9]/.test(value)
        ? value.replace(/\.\d+/, '')
        : undefined,
  },
  zone: { class: 'time-zone', spoil: moved },
  numeric: {
    class: 'numeric-precision',
    spoil: (value, { type }) =>
      value !== null && /^numeric/.test(type) && /\.\d*[1-9]/.test(value)
        ? value.replace(/0*$/, '').slice(0, -1)
        : undefined,
  },
  mojibake: {
    class: 'text-encoding',
    spoil: text((value) =>
      /[^\u0000-\u007f]/.test(value) ? Buffer.from(value, 'utf8').toString('latin1') : value,
    ),
  },
  nfd: { class: 'text-encoding', spoil: text((value) => value.normalize('NFD')) },
  'cut emoji': {
    class: 'text-encoding',
    spoil: text((value, random) =>
      value.replace(/[\u{10000}-\u{10ffff}]/gu, ['', '?', '\ufffd', '????'][pick(random, 4)] ?? ''),
    ),
  },
  padding: {
    class: 'padding',
    spoil: text((value, random) =>
      value === '' ? value : value + ' '.repeat(1 + pick(random, 3)),
    ),
  },
  empty: {
    class: 'null-versus-empty',
    spoil: (value, column) =>
      !isText(column) || !column.nullable
        ? undefined
        : value === null
          ? ''
          : value === ''
            ? null
            : undefined,
  },
  lost: {
    class: 'field-missing',
    spoil: (value, column) =>
      value === null || value === '' || !column.nullable || isMark(column) ? undefined : null,
  },
  boolean: {
    class: 'boolean-number',
    spoil: text((value) => (value === 'true' ? '1' : value === 'false' ? '0' : value)),
  },
  json: {
    class: 'json-shape',
    spoil: text((value) => {
      if (!value.startsWith('{')) return value;
      const turned = Object.entries(JSON.parse(value) as object).reverse();
      return JSON.stringify(Object.fromEntries(turned), null, 1);
    }),
  },
  case: {
    class: 'collation',
    spoil: text((value) =>
      /[a-z]{2}/.test(value) && !/^(true|false)$|^\{/.test(value) ? value.toUpperCase() : value,
    ),
  },
  random: {
    class: 'unknown',
    spoil(value, column, random) {
      if (isText(column)) {
        const length = Math.min(column.room ?? 12, 12);
        if (length < 4) return undefined;
        const made = Array.from({ length }, () => letters[pick(random, 26)]).join('');
        return made === value ? undefined : made;
      }
      if (value === null || column.type !== 'integer') return undefined;
      return String(Number(value) + 2 + pick(random, 1_000));
    },
  },
};
