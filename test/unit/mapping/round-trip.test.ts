import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ColumnKind, mapColumn, type StoredColumn } from '../../../src/mapping/index.ts';
import { floatText } from '../../../src/mapping/number-text.ts';

type Spelling = StoredColumn['spelling'];

/** A column and texts as its store prints them. */
interface Sample {
  readonly column: StoredColumn;
  readonly texts: fc.Arbitrary<string>;
}

const make = (
  spelling: Spelling,
  kind: ColumnKind,
  texts: fc.Arbitrary<string>,
  parts: Partial<StoredColumn> = {},
): Sample => ({ column: { kind, spelling, declared: kind, nullable: true, ...parts }, texts });

const integers = (bits: number, unsigned: boolean): fc.Arbitrary<string> => {
  const span = 2n ** BigInt(bits);
  const range = unsigned ? { min: 0n, max: span - 1n } : { min: -span / 2n, max: span / 2n - 1n };
  return fc.bigInt(range).map(String);
};
const decimals = (precision: number, scale: number): fc.Arbitrary<string> =>
  fc
    .bigInt({ min: -(10n ** BigInt(precision)) + 1n, max: 10n ** BigInt(precision) - 1n })
    .map((value) => {
      const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0');
      const whole = digits.slice(0, digits.length - scale);
      const sign = value < 0n ? '-' : '';
      return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-scale)}`;
    });
const floats = (bits: 32 | 64, spelling: Spelling): fc.Arbitrary<string> => {
  const any =
    bits === 64
      ? fc.double({ noNaN: spelling === 'mysql', noDefaultInfinity: spelling === 'mysql' })
      : fc.float({ noNaN: spelling === 'mysql', noDefaultInfinity: spelling === 'mysql' });
  return any
    .filter((value) => spelling !== 'mysql' || !Object.is(value, -0))
    .map((value) => floatText(value, bits, spelling));
};
const two = (value: number): string => String(value).padStart(2, '0');
const fraction = (digits: number, spelling: Spelling): fc.Arbitrary<string> =>
  fc.nat({ max: 10 ** digits - 1 }).map((value) => {
    const text = digits === 0 ? '' : String(value).padStart(digits, '0');
    const cut = spelling === 'mysql' ? text : text.replace(/0+$/, '');
    return cut === '' ? '' : `.${cut}`;
  });
const moments = (
  digits: number,
  spelling: Spelling,
  suffix = '',
  from = '1000-01-01',
  to = '9999-12-30',
) =>
  fc
    .tuple(
      fc.date({ min: new Date(from), max: new Date(to), noInvalidDate: true }),
      fraction(digits, spelling),
    )
    .map(([date, part]) => `${date.toISOString().slice(0, 19).replace('T', ' ')}${part}${suffix}`);
const dates = fc
  .date({ min: new Date('1000-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
  .map((date) => date.toISOString().slice(0, 10));
const clocks = (hours: number, digits: number, spelling: Spelling, signed: boolean) =>
  fc
    .tuple(
      fc.nat({ max: hours }),
      fc.nat({ max: 59 }),
      fc.nat({ max: 59 }),
      fraction(digits, spelling),
      fc.boolean(),
    )
    .map(([h, m, s, part, minus]) => {
      const clock = `${two(h)}:${two(m)}:${two(s)}${part}`;
      return signed && minus && /[1-9]/.test(clock) ? `-${clock}` : clock;
    });
const hex = (min: number, max: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: min, maxLength: max })
    .map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`);
const bits = (count: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom('0', '1'), { minLength: count, maxLength: count })
    .map((all) => all.join(''));
const words = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => !text.includes('\0'));
const labels = ['klein', 'groß', "it's", 'a b'];
const ipAddress = fc.uuid();

const samples: readonly Sample[] = [
  make('postgres', 'boolean', fc.constantFrom('t', 'f')),
  ...(['postgres', 'mysql'] as const).flatMap((spelling) => [
    ...[16, 32, 64].map((size) =>
      make(spelling, 'integer', integers(size, false), { bits: size, declared: `int${size}` }),
    ),
    make(spelling, 'decimal', decimals(10, 2), {
      precision: 10,
      scale: 2,
      declared: 'decimal(10,2)',
    }),
    make(spelling, 'decimal', decimals(20, 0), {
      precision: 20,
      scale: 0,
      declared: 'decimal(20)',
    }),
    make(spelling, 'decimal', decimals(30, 10), {
      precision: 30,
      scale: 10,
      declared: 'decimal(30,10)',
    }),
    make(spelling, 'float', floats(32, spelling), { bits: 32, declared: 'float32' }),
    make(spelling, 'float', floats(64, spelling), { bits: 64, declared: 'float64' }),
    make(spelling, 'text', words),
    make(spelling, 'text', words, { length: 20, declared: 'varchar(20)' }),
    make(spelling, 'bytes', hex(0, 20)),
    make(spelling, 'bytes', hex(16, 16), { length: 16, padded: true, declared: 'binary(16)' }),
    make(spelling, 'bits', bits(1), { bits: 1, declared: 'bit(1)' }),
    make(spelling, 'bits', bits(12), { bits: 12, declared: 'bit(12)' }),
    make(spelling, 'date', dates),
    ...[0, 3, 6].map((digits) =>
      make(spelling, 'date-time', moments(digits, spelling), {
        fraction: digits,
        declared: `datetime(${digits})`,
      }),
    ),
    make(spelling, 'uuid', ipAddress),
    make(spelling, 'label', fc.constantFrom(...labels), { labels }),
    make(spelling, 'json', fc.json()),
  ]),
  make('mysql', 'integer', integers(8, false), { bits: 8, declared: 'tinyint' }),
  make('mysql', 'integer', integers(24, true), {
    bits: 24,
    unsigned: true,
    declared: 'mediumint unsigned',
  }),
  make('mysql', 'integer', integers(64, true), {
    bits: 64,
    unsigned: true,
    declared: 'bigint unsigned',
  }),
  make(
    'mysql',
    'year',
    fc.oneof(fc.constant('0000'), fc.integer({ min: 1901, max: 2155 }).map(String)),
  ),
  make('mysql', 'instant', moments(6, 'mysql', '', '1970-01-02', '2038-01-18'), {
    fraction: 6,
    declared: 'timestamp(6)',
  }),
  make('postgres', 'instant', moments(6, 'postgres', '+00'), {
    fraction: 6,
    declared: 'timestamptz',
  }),
  make('mysql', 'time', clocks(838, 6, 'mysql', true), { fraction: 6, declared: 'time(6)' }),
  make('mysql', 'time', clocks(838, 0, 'mysql', true), { fraction: 0, declared: 'time' }),
  make('postgres', 'time', clocks(23, 6, 'postgres', false), { fraction: 6 }),
  make('postgres', 'interval', clocks(838, 6, 'postgres', true), { fraction: 6 }),
  make(
    'mysql',
    'label-set',
    fc.subarray(labels).map((some) => some.join(',')),
    { labels },
  ),
  make(
    'postgres',
    'label-set',
    fc.constantFrom('{}', '{klein,groß}', '{"a b"}', '{"it\'s",klein}'),
    {},
  ),
];

const name = ({ column }: Sample): string => `${column.spelling} ${column.declared}`;

/** null: refused. */
function attempt(convert: (text: string) => string | null, text: string): string | null {
  try {
    return convert(text);
  } catch (error) {
    expect(error).toMatchObject({ code: 'MAPPING_REFUSED' });
    return null;
  }
}

const crossing = samples.flatMap((from) =>
  samples
    .filter((to) => to.column.spelling !== from.column.spelling)
    .flatMap((to) => {
      const there = mapColumn(from.column, to.column);
      const back = mapColumn(to.column, from.column);
      return there && back ? [{ from, to, there, back }] : [];
    }),
);

test('between the engines an exact mapping brings every value back that it does not refuse', () => {
  expect(crossing.filter(({ there }) => there.exact).length).toBeGreaterThan(100);
  const failures: string[] = [];
  for (const { from, to, there, back } of crossing.filter((one) => one.there.exact)) {
    let passed = 0;
    const report = fc.check(
      fc.property(from.texts, (text) => {
        const over = attempt(there.convert, text);
        if (over === null) return;
        passed += 1;
        const again = attempt(back.convert, over);
        if (again !== text) {
          throw new Error(`${name(from)} → ${name(to)}: ${JSON.stringify([text, over, again])}`);
        }
      }),
      { numRuns: 60 },
    );
    if (report.failed) failures.push(`${report.errorInstance} (seed ${report.seed})`);
    if (there.refuses.length === 0 && passed < 60)
      failures.push(`${name(from)} → ${name(to)} refused what it does not announce`);
  }
  expect(failures).toEqual([]);
});

test('converting a value twice changes it once', () => {
  for (const { from, to, there } of crossing.filter(
    (one) => one.from.column.kind === one.to.column.kind,
  )) {
    fc.assert(
      fc.property(from.texts, (text) => {
        const over = attempt(there.convert, text);
        if (over === null) return;
        if (attempt(there.convert, over) !== over)
          throw new Error(`${name(from)} → ${name(to)}: ${text} → ${over}`);
      }),
      { numRuns: 30 },
    );
  }
});
