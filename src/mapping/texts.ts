import type { ColumnOverride } from './column-override.ts';
import type { StoredColumn } from './column-type.ts';
import { boundOf, type Convert, chain, type Rule, refuse } from './rule.ts';

/** Characters that a repertoire lacks; repertoires that are not here are left to the store. MySQL's latin1 is Windows-1252. */
const OUTSIDE: Readonly<Record<string, RegExp>> = {
  utf8mb3: /[\u{10000}-\u{10ffff}]/u,
  ascii: /[^\0-\x7f]/,
  latin1:
    /[^\0-\xff\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]/u,
};

const wide = new Set(['utf8', 'utf8mb4']);
const charsetOf = ({ charset = 'utf8' }: StoredColumn): string =>
  wide.has(charset) ? 'utf8' : charset;

/** NUL characters are refused or removed. */
function withoutNul(how: ColumnOverride): Convert {
  return (text) => {
    if (!text.includes('\0')) return text;
    if (how.nul === 'remove') return text.replaceAll('\0', '');
    return refuse(
      'Text in PostgreSQL cannot hold the NUL character',
      'set "nul" of the column to "remove", or correct the row',
    );
  };
}

function withinLength(length: number, to: StoredColumn): Convert {
  return (text) => {
    if (text.length > length && [...text].length > length && trimmedLength(text) > length)
      refuse(`A text is longer than ${to.declared}`);
    return text;
  };
}

/** Blanks at the end never make a text too long. */
const trimmedLength = (text: string): number => [...text.replace(/ +$/, '')].length;

/** Trailing blanks of PostgreSQL's `char(n)` are filling, and MySQL does not print its own. */
const trimmed: Convert = (text) => (text.endsWith(' ') ? text.replace(/ +$/, '') : text);

/** As PostgreSQL prints `char(n)`. */
function padded(length: number): Convert {
  return (text) => {
    const characters = text.length < length ? text.length : [...text].length;
    return characters < length ? text + ' '.repeat(length - characters) : text;
  };
}

/** Into text, whatever the characters come from. */
export function toText(to: StoredColumn, how: ColumnOverride): Convert | null {
  const charset = OUTSIDE[charsetOf(to)];
  const { length } = to;
  const check: Convert | null = charset
    ? (text) =>
        charset.test(text) ? refuse(`A text has characters that are not in ${to.charset}`) : text
    : null;
  const fit = length === undefined ? null : withinLength(length, to);
  const fill =
    to.padded && to.spelling === 'postgres' && length !== undefined ? padded(length) : null;
  const nul = to.spelling === 'postgres' ? withoutNul(how) : null;
  return chain(chain(nul, check), chain(fit, fill));
}

const shorter = (from: StoredColumn, to: StoredColumn): boolean => boundOf(from) > boundOf(to);

/** What MySQL's texts can hold, and PostgreSQL's never. */
export const NUL_TEXTS = 'texts with NUL characters';

const nulWords = (from: StoredColumn, to: StoredColumn, how: ColumnOverride) => {
  if (from.spelling !== 'mysql' || to.spelling !== 'postgres') return {};
  return how.nul === 'remove' ? { loses: ['NUL characters (removed)'] } : { refuses: [NUL_TEXTS] };
};

export const textToText: Rule = (from, to, how) => {
  const alike = from.spelling === to.spelling && charsetOf(from) === charsetOf(to);
  if (alike && !shorter(from, to) && (from.padded ?? false) === (to.padded ?? false)) {
    if (!from.padded || from.length === to.length) return { convert: null };
  }
  const nul = nulWords(from, to, how);
  const narrow = charsetOf(to) !== 'utf8' && charsetOf(to) !== charsetOf(from);
  const strips = from.padded && from.spelling === 'postgres';
  const convert = toText(
    {
      ...to,
      charset: narrow ? charsetOf(to) : 'utf8',
      ...(shorter(from, to) || to.padded ? {} : { length: undefined as never }),
    },
    how,
  );
  return {
    convert: chain(strips ? trimmed : null, convert),
    keeps: !strips && !to.padded && how.nul !== 'remove',
    loses: [
      ...(nul.loses ?? []),
      ...(to.padded && !from.padded ? ['blanks at the end of a text'] : []),
    ],
    refuses: [
      ...(nul.refuses ?? []),
      ...(shorter(from, to) ? [`texts longer than ${to.declared}`] : []),
      ...(narrow ? [`characters that are not in ${to.charset}`] : []),
    ],
  };
};

/** Text of a kind that has no NUL, in a text column. */
export const plainToText: Rule = (_from, to, how) => ({
  convert: toText(to, how),
  keeps: !to.padded,
  ...(to.length === undefined ? {} : { refuses: [`texts longer than ${to.declared}`] }),
});

const known = (to: StoredColumn): Convert | null => {
  const { labels } = to;
  if (labels === undefined) return null;
  const allowed = new Set(labels);
  return (text) =>
    allowed.has(text) ? text : refuse(`A value is none of the labels of ${to.declared}`);
};

const missingLabels = (from: StoredColumn, to: StoredColumn): readonly string[] => {
  const allowed = new Set(to.labels ?? []);
  return (from.labels ?? []).filter((label) => !allowed.has(label));
};

/** `enum` and `set`'s members. MySQL keeps an empty text for a value that was not allowed once. */
export const labelToLabel: Rule = (from, to) => {
  if (to.labels === undefined) return { convert: null };
  const missing = missingLabels(from, to);
  const empty = from.spelling === 'mysql' && !to.labels.includes('');
  return {
    convert: missing.length === 0 && !empty ? null : known(to),
    keeps: true,
    refuses: [
      ...(missing.length > 0 ? [`labels that ${to.declared} lacks: ${missing.join(', ')}`] : []),
      ...(empty ? ['the empty text that MySQL keeps for labels that were not allowed'] : []),
    ],
  };
};

export const textToLabel: Rule = (_from, to) => ({
  convert: known(to),
  keeps: true,
  refuses: [`texts that are no label of ${to.declared}`],
});

const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** Any spelling of a uuid as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`. */
export const spellUuid: Convert = (text) => {
  const bare = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  if (!UUID.test(bare)) return text;
  const hex = bare.replaceAll('-', '').toLowerCase();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

/** A uuid always has 36 characters. */
export const uuidToText: Rule = (_from, to) =>
  (to.length ?? 36) < 36
    ? { convert: toText(to, {}), refuses: ['every value: 36 characters are needed'] }
    : { convert: to.padded ? toText(to, {}) : null, keeps: to.length === 36 };

export const textToUuid: Rule = () => ({
  convert: spellUuid,
  loses: ['how a uuid is spelled (upper case, braces)'],
  refuses: ['texts that are no uuid'],
});

/** Whether the store rewrites json: PostgreSQL's jsonb and MySQL's json do, PostgreSQL's json and MariaDB keep the text. */
const rewrites = ({ declared, spelling }: StoredColumn): boolean =>
  declared === 'jsonb' || (declared === 'json' && spelling === 'mysql');

const jsonLosses = (to: StoredColumn): readonly string[] => {
  if (!rewrites(to)) return [];
  return to.spelling === 'mysql'
    ? ['the form of json (blanks, order, repeated names), and digits beyond those of a double']
    : ['the form of json (blanks, order, repeated names)'];
};

export const jsonToJson: Rule = (from, to) => ({
  convert: null,
  loses: rewrites(from) && from.declared === to.declared ? [] : jsonLosses(to),
  refuses: to.declared === 'jsonb' ? ['json that holds \\u0000'] : [],
});

export const textToJson: Rule = (_from, to) => ({
  convert: null,
  loses: jsonLosses(to),
  refuses: ['texts that are no json'],
});

/** The members of `{a,"b,c",NULL}`; null: not a flat array of texts. */
function arrayMembers(text: string): readonly string[] | null {
  if (!text.startsWith('{') || !text.endsWith('}')) return null;
  if (text === '{}') return [];
  const members: string[] = [];
  const pattern = /(?:"((?:[^"\\]|\\.)*)"|([^{},"\\]+))(,|\}$)/gsy;
  pattern.lastIndex = 1;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) return null;
    const [, quoted, bare] = match;
    if (quoted === undefined && bare?.toUpperCase() === 'NULL') return null;
    members.push(quoted === undefined ? (bare as string) : quoted.replace(/\\(.)/gs, '$1'));
  }
  return members;
}

const BARE = /^[^{}",\\\s]+$/;
const arrayText = (members: readonly string[]): string =>
  `{${members
    .map((one) =>
      BARE.test(one) && one.toUpperCase() !== 'NULL' ? one : `"${one.replace(/["\\]/g, '\\$&')}"`,
    )
    .join(',')}}`;

/** Into a MySQL set or a PostgreSQL array, from either. */
export function toLabelSet(to: StoredColumn): Convert {
  if (to.spelling === 'postgres') {
    return (text) => (text.startsWith('{') ? text : arrayText(text === '' ? [] : text.split(',')));
  }
  const allowed =
    to.labels === undefined ? null : new Map(to.labels.map((label, at) => [label, at]));
  return (text) => {
    if (!text.startsWith('{')) return text;
    const members = arrayMembers(text);
    if (members === null) refuse('An array with NULL or with arrays in it is no set');
    if (members.some((one) => one.includes(',') || (allowed !== null && !allowed.has(one))))
      refuse(`A value is none of the labels of ${to.declared}`);
    // As the server gives it back: each once, in the order of the declaration.
    const once = [...new Set(members)];
    if (allowed) once.sort((a, b) => (allowed.get(a) as number) - (allowed.get(b) as number));
    return once.join(',');
  };
}

export const setToSet: Rule = (from, to) => {
  if (from.spelling === to.spelling) return labelToLabel({ ...from, spelling: 'postgres' }, to, {});
  const intoSet = to.spelling === 'mysql';
  return {
    convert: toLabelSet(to),
    loses: intoSet ? ['order and repetition of the members'] : [],
    refuses: intoSet ? ['members that the set lacks, NULL members, arrays in arrays'] : [],
  };
};

export const setToJson: Rule = (from, to) => ({
  convert:
    from.spelling === 'mysql'
      ? (text) => JSON.stringify(text === '' ? [] : text.split(','))
      : (text) => {
          const members = arrayMembers(text);
          return members === null
            ? refuse('An array with NULL or with arrays in it has to be mapped by a transform')
            : JSON.stringify(members);
        },
  loses: jsonLosses(to),
});

export const jsonToSet: Rule = (_from, to) => ({
  convert: (text) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return text;
    }
    if (!Array.isArray(value) || value.some((one) => typeof one !== 'string'))
      return refuse('Only a json array of texts is a set');
    return toLabelSet(to)(arrayText(value as string[]));
  },
  loses: [
    'the form of json (blanks)',
    ...(to.spelling === 'mysql' ? ['order and repetition of the members'] : []),
  ],
  refuses: ['json that is not an array of texts'],
});
