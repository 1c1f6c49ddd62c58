import { describe, expect, test } from 'vitest';
import {
  acceptFor,
  type ColumnKind,
  type ColumnOverride,
  compileConverter,
  mapColumn,
  mappingTable,
  type StoredColumn,
} from '../../../src/mapping/index.ts';

type Parts = Partial<Omit<StoredColumn, 'kind' | 'spelling'>>;
const column =
  (spelling: StoredColumn['spelling']) =>
  (kind: ColumnKind, parts: Parts = {}): StoredColumn => ({
    kind,
    spelling,
    declared: kind,
    nullable: true,
    ...parts,
  });
const pg = column('postgres');
const my = column('mysql');

const REFUSED = 'refused';

function convert(
  from: StoredColumn,
  to: StoredColumn,
  text: string,
  how: ColumnOverride = {},
): string | null {
  const mapping = mapColumn(from, to, how);
  if (mapping === null) throw new Error(`no mapping ${from.kind} → ${to.kind}`);
  try {
    return mapping.convert(text);
  } catch (error) {
    expect(error).toMatchObject({ code: 'MAPPING_REFUSED' });
    if (/\d\d/.test(text)) expect(String(error)).not.toContain(text);
    return REFUSED;
  }
}

type Case = readonly [
  from: StoredColumn,
  to: StoredColumn,
  text: string,
  expected: string | null,
  how?: ColumnOverride,
];

const tiny = my('integer', { bits: 8, declared: 'tinyint(1)' });
const bigUnsigned = my('integer', { bits: 64, unsigned: true });
const money = (spelling: typeof pg) => spelling('decimal', { precision: 10, scale: 2 });
const moment = (digits: number): StoredColumn => my('date-time', { fraction: digits });
const stored = (digits: number): StoredColumn => my('instant', { fraction: digits });
const big = '18446744073709551615';

const cases: readonly Case[] = [
  [tiny, pg('boolean'), '1', 't'],
  [tiny, pg('boolean'), '0', 'f'],
  [tiny, pg('boolean'), '2', REFUSED],
  [pg('boolean'), tiny, 't', '1'],
  [my('boolean'), pg('boolean'), '1', 't'],
  [pg('boolean'), my('boolean'), 'f', '0'],
  [my('boolean'), pg('integer', { bits: 16 }), '7', '7'],
  [pg('boolean'), my('text'), 't', 'Y', { truth: { true: 'Y', false: 'N' } }],
  [my('text'), pg('boolean'), 'N', 'f', { truth: { true: 'Y', false: 'N' } }],
  [bigUnsigned, pg('integer', { bits: 64 }), '9223372036854775807', '9223372036854775807'],
  [bigUnsigned, pg('integer', { bits: 64 }), '9223372036854775808', REFUSED],
  [bigUnsigned, pg('decimal', { precision: 20, scale: 0 }), big, big],
  [pg('integer', { bits: 64 }), bigUnsigned, '-1', REFUSED],
  [pg('integer', { bits: 32 }), my('integer', { bits: 16 }), '32768', REFUSED],
  [pg('integer', { bits: 32 }), my('integer', { bits: 16 }), '-32768', '-32768'],
  [pg('integer', { bits: 32 }), my('integer', { bits: 16 }), '-32769', REFUSED],
  [pg('integer', { bits: 32 }), money(my), '5', '5.00'],
  [money(pg), my('integer', { bits: 32 }), '5.00', '5'],
  [money(pg), my('integer', { bits: 32 }), '5.01', REFUSED],
  [money(pg), my('integer', { bits: 32 }), '5.01', '5.01', { digits: 'round' }],
  [pg('decimal'), money(my), '1.5', '1.50'],
  [pg('decimal'), money(my), '1.505', REFUSED],
  [pg('decimal'), money(my), '1.500', '1.50'],
  [pg('decimal'), money(my), '123456789.00', REFUSED],
  [pg('decimal'), money(my), 'NaN', REFUSED],
  [money(my), pg('decimal'), '-0.10', '-0.10'],
  [pg('float', { bits: 64 }), my('float', { bits: 64 }), '1e+20', '100000000000000000000'],
  [pg('float', { bits: 64 }), my('float', { bits: 64 }), 'NaN', REFUSED],
  [my('float', { bits: 64 }), pg('float', { bits: 64 }), '1e-7', '1e-07'],
  [my('float', { bits: 64 }), pg('float', { bits: 64 }), '0.00001', '1e-05'],
  [my('float', { bits: 32 }), pg('float', { bits: 32 }), '1234567', '1.234567e+06'],
  [my('float', { bits: 64 }), pg('float', { bits: 32 }), '0.1', '0.1'],
  [my('float', { bits: 64 }), pg('float', { bits: 32 }), '0.123456789', REFUSED],
  [pg('integer', { bits: 64 }), my('float', { bits: 64 }), '9007199254740993', REFUSED],
  [
    pg('float', { bits: 64 }),
    my('decimal', { precision: 30, scale: 2 }),
    '1e+20',
    '100000000000000000000.00',
  ],
  [my('bits', { bits: 1 }), pg('boolean'), '1', 't'],
  [pg('boolean'), my('bits', { bits: 1 }), 'f', '0'],
  [my('bits', { bits: 8 }), pg('bits', { bits: 8 }), '00000101', '00000101'],
  [my('bits', { bits: 8 }), pg('bits', { bits: 4 }), '00000101', '0101'],
  [my('bits', { bits: 8 }), pg('bits', { bits: 4 }), '00010101', REFUSED],
  [my('bits', { bits: 64 }), pg('integer', { bits: 64 }), '1'.repeat(64), REFUSED],
  [my('bits', { bits: 4 }), pg('integer', { bits: 16 }), '0101', '5'],
  [pg('integer', { bits: 16 }), my('bits', { bits: 4 }), '5', '0101'],
  [my('year'), pg('integer', { bits: 16 }), '0000', '0'],
  [pg('integer', { bits: 16 }), my('year'), '0', '0000'],
  [pg('integer', { bits: 16 }), my('year'), '1900', REFUSED],
  [my('date'), pg('date'), '0000-00-00', REFUSED],
  [my('date'), pg('date'), '2024-00-10', null, { zeroDate: 'null' }],
  [my('date'), pg('date', { nullable: false }), '0000-00-00', REFUSED, { zeroDate: 'null' }],
  [my('date'), pg('date'), '2024-02-29', '2024-02-29'],
  [pg('date'), my('date'), 'infinity', REFUSED],
  [pg('date'), my('date'), '0044-03-15 BC', REFUSED],
  [pg('date'), my('date'), '10000-01-01', REFUSED],
  [moment(6), pg('date-time'), '2024-01-02 03:04:05.120000', '2024-01-02 03:04:05.12'],
  [moment(0), pg('date-time'), '2024-01-02 03:04:05', '2024-01-02 03:04:05'],
  [moment(0), pg('date-time'), '0000-00-00 00:00:00', REFUSED],
  [pg('date-time'), moment(6), '2024-01-02 03:04:05.12', '2024-01-02 03:04:05.120000'],
  [pg('date-time'), moment(0), '2024-01-02 03:04:05.12', REFUSED],
  [
    pg('date-time'),
    moment(0),
    '2024-01-02 03:04:05.12',
    '2024-01-02 03:04:05.12',
    { digits: 'round' },
  ],
  [pg('date-time'), moment(0), '294276-12-31 23:59:59', REFUSED],
  [pg('date-time'), moment(0), '0044-03-15 12:00:00 BC', REFUSED],
  [stored(3), pg('instant'), '2024-01-02 03:04:05.500', '2024-01-02 03:04:05.5+00'],
  [pg('instant'), stored(3), '2024-01-02 03:04:05.5+00', '2024-01-02 03:04:05.500'],
  [pg('instant'), stored(0), '1969-12-31 23:59:59+00', REFUSED],
  [pg('instant'), moment(6), '1969-12-31 23:59:59+00', '1969-12-31 23:59:59.000000'],
  [moment(0), pg('instant'), '2024-01-01 00:30:00', '2023-12-31 22:30:00+00', { offset: '+02:00' }],
  [pg('instant'), moment(0), '2023-12-31 22:30:00+00', '2024-01-01 00:30:00', { offset: '+02:00' }],
  [pg('date-time'), moment(3), '2024-06-01T12:00:00.123Z', '2024-06-01 12:00:00.123'],
  [my('date'), pg('instant'), '2024-06-01', '2024-06-01 00:00:00+00'],
  [pg('date'), moment(0), '2024-06-01', '2024-06-01 00:00:00'],
  [moment(0), pg('date'), '2024-06-01 00:00:00', '2024-06-01'],
  [moment(0), pg('date'), '2024-06-01 00:00:01', REFUSED],
  [my('time', { fraction: 0 }), pg('time'), '23:59:59', '23:59:59'],
  [my('time', { fraction: 0 }), pg('time'), '24:00:00', '24:00:00'],
  [my('time', { fraction: 0 }), pg('time'), '24:00:01', REFUSED],
  [my('time', { fraction: 0 }), pg('time'), '-00:00:01', REFUSED],
  [my('time', { fraction: 3 }), pg('interval'), '-838:59:59.500', '-838:59:59.5'],
  [pg('interval'), my('time', { fraction: 3 }), '-838:59:59.5', '-838:59:59.500'],
  [pg('interval'), my('time', { fraction: 0 }), '34 days 23:00:00', REFUSED],
  [pg('interval'), my('time', { fraction: 0 }), '1 day 02:00:00', '26:00:00'],
  [pg('interval'), my('time', { fraction: 0 }), '-1 days +02:00:00', '-22:00:00'],
  [pg('interval'), my('time', { fraction: 0 }), '1 mon', REFUSED],
  [pg('interval'), my('time', { fraction: 0 }), '3 days', '72:00:00'],
  [my('text'), pg('text'), 'a\0b', REFUSED],
  [my('text'), pg('text'), 'a\0b', 'ab', { nul: 'remove' }],
  [pg('text'), my('text', { charset: 'latin1' }), 'é€', 'é€'],
  [pg('text'), my('text', { charset: 'latin1' }), 'ł', REFUSED],
  [pg('text'), my('text', { charset: 'utf8mb3' }), '😀', REFUSED],
  [pg('text'), my('text', { length: 2 }), '😀😀', '😀😀'],
  [pg('text'), my('text', { length: 2 }), 'abc', REFUSED],
  [pg('text', { padded: true, length: 4 }), my('text', { padded: true, length: 4 }), 'ab  ', 'ab'],
  [my('text', { padded: true, length: 4 }), pg('text', { padded: true, length: 4 }), 'ab', 'ab  '],
  [my('label', { labels: ['a', 'b'] }), pg('label', { labels: ['a'] }), 'b', REFUSED],
  [my('label', { labels: ['a', 'b'] }), pg('text'), 'b', 'b'],
  [my('label-set', { labels: ['a', 'b c'] }), pg('label-set'), 'a,b c', '{a,"b c"}'],
  [my('label-set', { labels: ['a'] }), pg('label-set'), '', '{}'],
  [pg('label-set'), my('label-set', { labels: ['a', 'b c'] }), '{"b c",a,a}', 'a,b c'],
  [pg('label-set'), my('label-set', { labels: ['a', 'b c'] }), '{a,NULL}', REFUSED],
  [my('label-set', { labels: ['a'] }), pg('text'), 'a', 'a'],
  [my('label-set', { labels: ['a', 'b'] }), pg('json'), 'a,b', '["a","b"]'],
  [
    my('bytes', { length: 16, padded: true }),
    pg('uuid'),
    '\\x550e8400e29b41d4a716446655440000',
    '550e8400-e29b-41d4-a716-446655440000',
  ],
  [
    pg('uuid'),
    my('bytes', { length: 16, padded: true }),
    '550e8400-e29b-41d4-a716-446655440000',
    '\\x550e8400e29b41d4a716446655440000',
  ],
  [
    pg('uuid'),
    my('bytes', { length: 16, padded: true }),
    '6ccd780c-baba-1026-9564-5b8c656024db',
    '\\x1026baba6ccd780c95645b8c656024db',
    { uuid: 'swapped' },
  ],
  [
    my('text', { length: 36 }),
    pg('uuid'),
    '550E8400-E29B-41D4-A716-446655440000',
    '550e8400-e29b-41d4-a716-446655440000',
  ],
  [pg('bytes'), my('bytes', { length: 3, padded: true }), '\\x0102', '\\x010200'],
  [pg('bytes'), my('bytes', { length: 1 }), '\\x0102', REFUSED],
  [
    my('geometry'),
    pg('bytes'),
    `SRID=4326;\\x0101000000${'00'.repeat(16)}`,
    `\\x0101000020e6100000${'00'.repeat(16)}`,
  ],
  [
    pg('bytes'),
    my('geometry'),
    `\\x0101000020e6100000${'00'.repeat(16)}`,
    `SRID=4326;\\x0101000000${'00'.repeat(16)}`,
  ],
  [
    my('geometry'),
    pg('geometry'),
    `\\x0101000000${'00'.repeat(16)}`,
    `0101000000${'00'.repeat(16)}`,
  ],
];

describe('a value becomes what the other column prints', () => {
  for (const [from, to, text, expected, how] of cases) {
    const said = `${from.spelling} ${from.kind} ${text.slice(0, 40)} → ${to.spelling} ${to.kind} ${expected}`;
    test(`${said} ${JSON.stringify(how ?? '')}`, () => {
      expect(convert(from, to, text, how)).toBe(expected);
    });
  }
});

test('each kind has an answer for each kind, and text takes everything but bytes', () => {
  const kinds = Object.keys(mappingTable) as ColumnKind[];
  for (const from of kinds) {
    expect(Object.keys(mappingTable[from]).sort()).toEqual([...kinds].sort());
    expect(mappingTable[from].text === null).toBe(from === 'bytes');
    if (from !== 'geometry')
      expect(mapColumn(my(from), my(from))).toMatchObject({ identity: true, exact: true });
  }
});

test('columns of the same kind and engine need no conversion at all', () => {
  for (const kind of Object.keys(mappingTable) as ColumnKind[]) {
    expect(mapColumn(pg(kind), pg(kind))).toMatchObject({ identity: true, loses: [], refuses: [] });
  }
});

test('what a transform returns is brought to the spelling of its column', () => {
  const accepted: readonly (readonly [StoredColumn, string, string])[] = [
    [tiny, 't', '1'],
    [tiny, 'true', '1'],
    [pg('boolean'), '1', 't'],
    [moment(0), '2024-06-01T12:00:00.000Z', '2024-06-01 12:00:00'],
    [stored(6), '2024-06-01 12:00:00.5+00', '2024-06-01 12:00:00.500000'],
    [pg('instant'), '2024-06-01 12:00:00.500000', '2024-06-01 12:00:00.5+00'],
    [pg('uuid'), '\\x550e8400e29b41d4a716446655440000', '550e8400-e29b-41d4-a716-446655440000'],
    [my('label-set', { labels: ['a', 'b'] }), '{a,b}', 'a,b'],
    [my('date'), 'tomorrow', 'tomorrow'],
  ];
  for (const [to, text, expected] of accepted) expect(acceptFor(to)?.(text) ?? text).toBe(expected);
});

test('a record is converted column by column, children too, and what is not there stays away', () => {
  const upper = (text: string): string => text.toUpperCase();
  const converter = compileConverter(
    new Map([['a', upper]]),
    new Map([['rows', new Map([['b', upper]])]]),
  );
  const record = { a: 'x', c: 'y', rows: [{ b: 'z', d: null }, { b: null }] };
  expect(converter?.(record)).toEqual({ a: 'X', c: 'y', rows: [{ b: 'Z', d: null }, { b: null }] });
  expect(record.a).toBe('x');
  expect(converter?.({ c: null })).toEqual({ c: null });
  expect(compileConverter(new Map())).toBeNull();
});

test('a refused value is told by its column', () => {
  const mapping = mapColumn(my('text'), pg('text'));
  const converter = compileConverter(
    new Map(),
    new Map([['rows', new Map([['b', mapping!.convert]])]]),
  );
  expect(() => converter?.({ rows: [{ b: 'a\0' }] })).toThrow(
    /Column "rows\.b": Text in PostgreSQL/,
  );
});
