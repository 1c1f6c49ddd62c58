/** Type, texts that come back as they are, and [given, comes back as]. */
const exact: readonly (readonly [
  type: string,
  ...texts: (string | readonly [string, string])[],
])[] = [
  ['int8', '9223372036854775807', '-9223372036854775808', '0'],
  [
    'numeric',
    '1.10',
    '0.000',
    'NaN',
    'Infinity',
    `1${'0'.repeat(200)}.5`,
    '-0.0000000000000000000000001',
  ],
  ['numeric(12,2)', ['1.005', '1.01'], '-1.10', ['3', '3.00']],
  ['float8', '0.1', '1e+300', '-0', 'NaN', '-Infinity', '0.30000000000000004'],
  ['float4', '0.1', '1.1754944e-38'],
  [
    'timestamptz',
    '2024-02-29 23:59:59.999999+00',
    'infinity',
    '-infinity',
    '4713-01-01 00:00:00+00 BC',
    ['2024-06-01T12:00:00.123456+05:30', '2024-06-01 06:30:00.123456+00'],
  ],
  ['timestamp', '0044-03-15 12:00:00.000001 BC', '294276-12-31 23:59:59.999999', 'infinity'],
  ['timestamp(3)', ['2024-01-01 00:00:00.1236', '2024-01-01 00:00:00.124']],
  ['date', '0001-01-01 BC', 'infinity', '9999-12-31'],
  ['time', '24:00:00', '23:59:59.999999'],
  ['timetz', '12:00:00.000001+05:45'],
  ['interval', '1 year 2 mons -3 days +04:05:06.789', '-00:00:00.000001'],
  ['jsonb', '{"a": 1.10, "b": [null, "ą"]}', 'null', ['{"b":1,"a":2}', '{"a": 2, "b": 1}']],
  ['json', '{"b":1,  "a":2, "a":3}'],
  ['bytea', '\\x00ff5c', '\\x'],
  ['text[]', '{a,"b \\"c\\" \\\\ d",NULL,"NULL",""}', '{}', '{{a,b},{c,d}}', '[0:1]={x,y}'],
  ['int8[]', '{9223372036854775807,NULL}'],
  ['mood', 'so-so', 'sehr gut'],
  ['mood[]', '{so-so,NULL,"sehr gut"}'],
  ['uuid', ['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']],
  ['short_name', 'abcde', ''],
  ['text', '😀👩‍👩‍👧‍👦 ', '', 'a\tb\nc\\d\'"', 'é', 'é', 'null', 'NULL'],
  ['varchar(3)', 'ab ', '日本語'],
  ['char(3)', ['a', 'a  ']],
  ['bit(3)', '101'],
  ['varbit(5)', '1', ''],
  ['inet', '192.168.1.1', '10.0.0.1/8', '::1'],
  ['cidr', '10.0.0.0/8'],
  ['macaddr', '08:00:2b:01:02:03'],
  ['int4range', '[1,10)', 'empty', ['[1,9]', '[1,10)'], '(,)'],
  ['tstzrange', '["2024-01-01 00:00:00+00",infinity)'],
  ['int4multirange', '{[1,3),[5,7)}'],
  ['bool', 't', ['false', 'f']],
  ['money', '$1,234.56'],
  ['point', '(1.5,-2)'],
  ['tsvector', "'a' 'b':2A"],
  ['xml', '<a>1</a>'],
  ['pair', '(1,"a b")', '(,)'],
  ['"char"', 'x'],
  ['oid', '4294967295'],
  ['hstoreish', '{"x": 1}'],
];

/** One row for each text: its type and column, what is given, and what the store then holds. */
export const awkwardRows = exact.flatMap(([type, ...texts], column) =>
  texts.map((text) => ({
    type,
    column: `c${column}`,
    given: typeof text === 'string' ? text : (text[0] as string),
    stored: typeof text === 'string' ? text : (text[1] as string),
  })),
);

/** Types and a table with `id` and one column for each type, `c0` …. */
export function awkwardDdl(table: string): string {
  return `CREATE TYPE mood AS ENUM ('sehr gut', 'so-so');
    CREATE DOMAIN short_name AS varchar(5);
    CREATE DOMAIN hstoreish AS jsonb CHECK (VALUE ? 'x');
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE ${table} (id int PRIMARY KEY, ${exact.map(([type], index) => `c${index} ${type}`).join(', ')})`;
}
