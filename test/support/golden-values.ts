/** A text that comes back as it is, or [given, comes back as]. */
export type GoldenText = string | readonly [given: string, stored: string];

/** A declared type and texts of its values. */
export type GoldenType = readonly [type: string, ...texts: GoldenText[]];

const emoji = 'Łódź 😀 é "quoted" \\ back\ttab\nline';

/** What stands only in PostgreSQL, beside what `typePairs` has. */
export const postgresValues: readonly GoldenType[] = [
  ['int8', '-9223372036854775808'],
  ['numeric', '1.10', '0.000', 'NaN', 'Infinity', `1${'0'.repeat(200)}.5`],
  ['float8', '1e+300', '-0', 'NaN', '-Infinity', '1e-05', '100000', '1e+15', '123456789012345'],
  ['float4', '1.1754944e-38', '1e+06', '100000', '0.0001', '1e-05'],
  ['timestamptz', 'infinity', '4713-01-01 00:00:00+00 BC', '12024-06-01 06:30:00.123456+00'],
  ['timestamp', '0044-03-15 12:00:00.000001 BC', '-infinity'],
  ['date', '0001-01-01 BC', 'infinity', '10000-01-01'],
  ['time', '24:00:00', '23:59:59.999999'],
  ['timetz', '12:00:00.000001+05:45'],
  ['interval', '1 year 2 mons -3 days +04:05:06.789', '-00:00:00.000001'],
  ['jsonb', '{"a": 1.10, "b": [null, "ą"]}', ['{"b":1,"a":2}', '{"a": 2, "b": 1}']],
  ['text[]', '{a,"b \\"c\\" \\\\ d",NULL,"NULL",""}', '{}', '{{a,b},{c,d}}'],
  ['int8[]', '{9223372036854775807,NULL}'],
  ['varbit(5)', '1', ''],
  ['inet', '10.0.0.1/8'],
  ['int4range', '[1,10)', 'empty'],
  ['money', '$1,234.56'],
  ['"char"', 'x'],
  ['text', 'x'.repeat(20_000)],
];

/** What stands only in MySQL and MariaDB. */
export const mysqlValues: readonly GoldenType[] = [
  ['tinyint(1)', '2', '-128'],
  ['bigint unsigned', '9223372036854775808'],
  ['date', '0000-00-00', '2024-00-00'],
  ['datetime(3)', '0000-00-00 00:00:00.000'],
  ['time(2)', '-838:59:59.00', '838:59:59.00', '24:00:01.50'],
  ['char(5)', ['ab  ', 'ab']],
  ['binary(4)', ['\\x01', '\\x01000000']],
  ["set('a','b','c')", '', 'a,c'],
  ['varchar(20) CHARACTER SET latin1', 'é€ü'],
  ['text', 'x'.repeat(20_000)],
];

/** Types of the two engines that go together, and values: [in MySQL, in PostgreSQL]. */
export interface TypePair {
  readonly mysql: string;
  readonly postgres: string;
  /** One text: the same in both. */
  readonly values: readonly (string | readonly [mysql: string, postgres: string])[];
  /** Values of the one side that the other one cannot hold. */
  readonly mysqlOnly?: readonly string[];
  readonly postgresOnly?: readonly string[];
}

const pair = (
  mysql: string,
  postgres: string,
  values: TypePair['values'],
  only: Pick<TypePair, 'mysqlOnly' | 'postgresOnly'> = {},
): TypePair => ({ mysql, postgres, values, ...only });

const point = '0101000000000000000000f03f0000000000000040';
const uuid = '550e8400-e29b-41d4-a716-446655440000';

export const typePairs: readonly TypePair[] = [
  pair(
    'tinyint(1)',
    'boolean',
    [
      ['1', 't'],
      ['0', 'f'],
    ],
    { mysqlOnly: ['2'] },
  ),
  pair('tinyint', 'smallint', ['-128', '127'], { postgresOnly: ['128'] }),
  pair('smallint', 'smallint', ['-32768', '32767']),
  pair('smallint unsigned', 'integer', ['65535', '0'], { postgresOnly: ['-1', '65536'] }),
  pair('mediumint', 'integer', ['-8388608'], { postgresOnly: ['8388608'] }),
  pair('int', 'integer', ['-2147483648', '2147483647']),
  pair('int unsigned', 'bigint', ['4294967295']),
  pair('bigint', 'bigint', ['9223372036854775807', '-9223372036854775808']),
  pair('bigint unsigned', 'numeric(20)', ['18446744073709551615', '0'], { postgresOnly: ['-1'] }),
  pair('bigint unsigned', 'bigint', ['9223372036854775807'], {
    mysqlOnly: ['9223372036854775808'],
  }),
  pair('decimal(12,2)', 'numeric(12,2)', ['1234567890.12', '-0.10', '0.00']),
  pair('decimal(40,10)', 'numeric', ['123456789012345678901234567890.0123456789'], {
    postgresOnly: ['NaN', '0.12345678901'],
  }),
  pair('float', 'real', ['0.1', '-1.5', ['1000000', '1e+06'], ['1e-10', '1e-10']]),
  pair(
    'double',
    'double precision',
    ['0.1', '0.30000000000000004', '1e+300', ['1e-7', '1e-07'], ['100000000000000000000', '1e+20']],
    {
      postgresOnly: ['NaN', 'Infinity'],
    },
  ),
  pair('bit(1)', 'boolean', [
    ['1', 't'],
    ['0', 'f'],
  ]),
  pair('bit(12)', 'bit(12)', ['000000000101', '111111111111']),
  pair('year', 'smallint', ['2024', ['0000', '0']], { postgresOnly: ['1900'] }),
  pair('date', 'date', ['2024-02-29', '9999-12-31', '1000-01-01'], {
    mysqlOnly: ['0000-00-00'],
    postgresOnly: ['infinity', '0044-03-15 BC'],
  }),
  pair(
    'time(6)',
    'interval',
    [
      ['26:00:00.500000', '26:00:00.5'],
      ['-838:59:59.000000', '-838:59:59'],
      ['09:08:07.000000', '09:08:07'],
    ],
    {
      postgresOnly: ['1 mon'],
    },
  ),
  pair('time', 'time', ['23:59:59', '00:00:00'], {
    mysqlOnly: ['25:00:00', '-01:00:00'],
    postgresOnly: ['12:00:00.5'],
  }),
  pair('datetime', 'timestamp', ['2024-01-02 03:04:05'], {
    mysqlOnly: ['0000-00-00 00:00:00'],
    postgresOnly: ['2024-01-02 03:04:05.5', 'infinity'],
  }),
  pair('datetime(6)', 'timestamp', [['2024-01-02 03:04:05.120000', '2024-01-02 03:04:05.12']]),
  pair(
    'timestamp(6) NULL',
    'timestamptz',
    [
      ['2024-01-02 03:04:05.000001', '2024-01-02 03:04:05.000001+00'],
      ['2038-01-19 03:14:07.000000', '2038-01-19 03:14:07+00'],
    ],
    {
      postgresOnly: ['1969-12-31 23:59:59+00'],
    },
  ),
  pair('char(5)', 'char(5)', [['ab', 'ab   '], 'abcde', ['', '     ']]),
  pair('varchar(40)', 'varchar(40)', [emoji, '', ' blanks ']),
  pair('longtext', 'text', [emoji, 'null', 'y'.repeat(5_000)]),
  pair('varchar(20) CHARACTER SET latin1', 'varchar(20)', ['é€ü'], { postgresOnly: ['ł'] }),
  pair('binary(16)', 'uuid', [[`\\x${uuid.replaceAll('-', '')}`, uuid]]),
  pair('char(36)', 'uuid', [uuid]),
  pair('binary(4)', 'bytea', ['\\x00ff0100'], { postgresOnly: ['\\x0011223344'] }),
  pair('varbinary(10)', 'bytea', ['\\x', '\\x00', '\\xdeadbeef']),
  pair('longblob', 'bytea', [`\\x${'00ff'.repeat(3_000)}`]),
  pair("enum('so so','gut','l''été')", 'text', ['so so', "l'été"]),
  pair(
    "set('a','b c','ü')",
    'text[]',
    [
      ['a,b c', '{a,"b c"}'],
      ['', '{}'],
    ],
    { postgresOnly: ['{d}', '{NULL}'] },
  ),
  pair("set('a','b')", 'text', ['a,b', '']),
  pair('json', 'json', ['{"b":1,  "a":[null,"ü"]}']),
  pair('point', 'bytea', [
    `\\x${point}`,
    [`SRID=4326;\\x${point}`, `\\x0101000020e6100000${point.slice(10)}`],
  ]),
];
