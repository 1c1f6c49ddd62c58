import { describe, expect, test } from 'vitest';
import { serverDouble } from '../../src/adapters/mysql/binlog-json.ts';
import { createMysqlCatalog } from '../../src/adapters/mysql/mysql-catalog.ts';
import { createMysqlPresence } from '../../src/adapters/mysql/mysql-presence.ts';
import { createMysqlRecordStore } from '../../src/adapters/mysql/mysql-record-store.ts';
import type { LogChange, LogValue } from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import { seededRandom } from '../../src/runtime/index.ts';
import { checkpointAt, collect, type MysqlLog, openMysqlLog } from '../support/mysql-log.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const random = seededRandom(20_261_121);
const digits = (count: number): string =>
  Array.from({ length: count }, () => Math.floor(random.next() * 10)).join('');
const fractions = [1, 2, 3, 4, 5, 6];

/** Decimals of every width of the incomplete groups, on both sides of the point. */
const decimals: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 19, 30].flatMap((scale, at) =>
    [1, 3, 9, 10, 18, 20, 35].flatMap((whole, index) => {
      if ((at + index) % 4 !== 0) return [];
      const one = `${digits(whole)}${scale > 0 ? `.${digits(scale)}` : ''}`;
      const small = scale > 0 ? `0.${'0'.repeat(scale - 1)}1` : '1';
      return [[`decimal(${whole + scale},${scale})`, [one, `-${one}`, small, `-${small}`, '0']]];
    }),
  ),
);

/** Type of a column → literals in SQL. */
const types: Readonly<Record<string, readonly string[]>> = {
  ...decimals,
  'tinyint(1)': ['TRUE', '-128', '127'],
  'tinyint unsigned': ['255', '0'],
  'smallint zerofill': ['42', '65535'],
  smallint: ['-32768', '32767'],
  mediumint: ['-8388608', '8388607'],
  'mediumint unsigned': ['16777215'],
  int: ['-2147483648', '2147483647', '0'],
  'int unsigned': ['4294967295'],
  bigint: ['-9223372036854775808', '9223372036854775807', '-1', '-9007199254740993', '4294967296'],
  'bigint unsigned': ['18446744073709551615', '9223372036854775808', '9007199254740993', '0'],
  'decimal(7,2) unsigned zerofill': ['3.5', '0'],
  'decimal(65,30)': ['12345678901234567890123456789012345.123456789012345678901234567891'],
  float: [
    '0.1',
    '-0.3333333',
    '16777216',
    '3.4028234e38',
    '1.4e-45',
    '1.17549435e-38',
    '1e10',
    '0',
    '123456.7',
  ],
  'float(7,4)': ['999.00009'],
  double: [
    '0.1',
    '1e300',
    '-2.2250738585072014e-308',
    '5e-324',
    '9007199254740993',
    '1e21',
    '1e-7',
    '-0e0',
    '0',
  ],
  'double(10,3)': ['1.0005', '123456.789'],
  ...Object.fromEntries(
    [1, 7, 8, 9, 31, 33, 63, 64].map((bits) => [
      `bit(${bits})`,
      ["b'1'", "b'0'", `(1 << ${bits - 1})`],
    ]),
  ),
  "enum('new','it''s','a,b','2','Ä','x\\\\y') character set latin1": [
    "'new'",
    "'it''s'",
    "'a,b'",
    "'2'",
    "'Ä'",
    "'none'",
    "'x\\\\y'",
  ],
  [`enum(${Array.from({ length: 300 }, (_, index) => `'l${index}'`).join(',')})`]: [
    "'l0'",
    "'l254'",
    "'l255'",
    "'l299'",
  ],
  "set('a','b','7','é')": ["''", "'b,a'", "'é'", "'a,b,7,é'"],
  [`set(${Array.from({ length: 64 }, (_, index) => `'s${index}'`).join(',')})`]: [
    "'s0,s63'",
    "'s31,s32'",
  ],
  year: ['2024', '0', '1901', '2155'],
  date: ["'2024-02-29'", "'0000-00-00'", "'2024-00-00'", "'9999-12-31'", "'0001-01-01'"],
  time: ["'838:59:59'", "'-838:59:59'", "'-00:00:01'", "'00:00:00'"],
  datetime: [
    "'2024-02-29 23:59:59'",
    "'0000-00-00 00:00:00'",
    "'9999-12-31 23:59:59'",
    "'2024-00-05 01:02:03'",
  ],
  timestamp: [
    "'2024-06-30 12:00:00'",
    "'0000-00-00 00:00:00'",
    "'1970-01-01 05:30:01'",
    "'2038-01-19 08:44:07'",
  ],
  ...Object.fromEntries(
    fractions.flatMap((count) => [
      [
        `time(${count})`,
        [
          "'-12:34:56.999999'",
          "'838:59:59'",
          "'-00:00:00.1'",
          "'-838:59:58.000001'",
          "'00:00:01.000009'",
        ],
      ],
      [
        `datetime(${count})`,
        ["'2024-02-29 23:59:58.987654'", "'1000-01-01 00:00:00.000001'", "'0000-00-00 00:00:00'"],
      ],
      [`timestamp(${count})`, ["'2024-06-30 12:00:00.123456'", "'0000-00-00 00:00:00'"]],
    ]),
  ),
  json: [`'{"b": 1, "a":  [1.0, "é"]}'`, "'null'"],
  point: ["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(1 2)', 4326)"],
  geometry: [
    "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))', 3857)",
    "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')",
  ],
  linestring: ["ST_GeomFromText('LINESTRING(0 0,1 1)')"],
  'char(5) character set utf8mb4': ["'a  '", "' é😀'", "''"],
  'char(200) character set utf8mb4': ["REPEAT('😀', 200)", "'x'"],
  'char(255) character set latin1': ["REPEAT('é', 255)", "'€'"],
  'varchar(30) character set utf8mb4': ["'a  '", "'tab\\tline\\nnul\\0back\\\\quote'''", "''"],
  'varchar(300) character set utf8mb4': ["REPEAT('é', 300)", "'short'"],
  tinytext: ["REPEAT('x', 255)"],
  'text character set utf8mb3': ["'漢字'"],
  'mediumtext character set latin1': ["REPEAT('ü', 70000)"],
  longtext: ["REPEAT('ä', 20000)", "''"],
  'binary(4)': ["X'00ff'", "X'ff000000'", "X'00000000'"],
  'binary(255)': ["X'01'"],
  'varbinary(4)': ["X'00ff'", "''", "X'00000000'"],
  'varbinary(300)': ["REPEAT(X'00ff', 150)"],
  tinyblob: ["X'5c27'", "''"],
  blob: ["REPEAT(X'00ff', 1000)"],
  longblob: ["REPEAT(X'00ff', 40000)"],
  uuid: [
    "'AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee'",
    "'00000000-0000-0000-0000-000000000000'",
    "'123e4567-e89b-12d3-a456-426655440000'",
    'UUID()',
    "'018f3b5e-7c00-7abc-8def-0123456789ab'",
  ],
  inet4: ["'10.0.0.255'", "'0.0.0.0'"],
  inet6: [
    "'2001:DB8::1'",
    "'::'",
    "'::1'",
    "'::ffff:1.2.3.4'",
    "'1:0:0:2::3'",
    "'::1.2.3.4'",
    "'1:2:3:4:5:6:7:8'",
    "'1:0:3:4:5:6:7:8'",
    "'fe80::'",
    "'::ffff:0:1'",
    "'0:0:1::'",
    "'::ffff'",
  ],
  'varchar(500) COMPRESSED': ["REPEAT('é', 400)", "'short'", "''"],
  'text COMPRESSED': ["REPEAT('abc', 1000)", "'x'"],
  'blob COMPRESSED': ["REPEAT(X'00ff', 1000)", "X'00'"],
};

const entries = Object.entries(types);
const shapes: readonly Shape[] = entries.map((_, index) => ({ table: `v${index}`, key: ['id'] }));

type Rows = Map<string, LogValue>;

describe.skipIf(missingMariadb())('values in the log of MariaDB', () => {
  // The server's zone must not matter.
  const databases = withMariadb(1, { settings: { default_time_zone: '+05:30' } });
  const lenient = async (statements: readonly string[]): Promise<void> => {
    await databases.query(0, `BEGIN NOT ATOMIC SET sql_mode = ''; ${statements.join('; ')}; END`);
  };

  /** What the record store reads, by table and key. */
  async function read({ session, layout }: MysqlLog): Promise<Map<string, Rows>> {
    const presence = createMysqlPresence(session, layout);
    const catalog = createMysqlCatalog(session, new Map(shapes.map((one) => [one.table, one])));
    const parts = { session, catalog, layout, presence, logged: new Set<string>() };
    const records = createMysqlRecordStore(parts);
    const found = new Map<string, Rows>();
    for (const { table } of shapes) {
      const rows = await records.scan(table, { after: null, until: null }, 100);
      found.set(
        table,
        new Map(rows.map(({ key, record }) => [key[0] ?? '', record['v'] as LogValue])),
      );
    }
    return found;
  }

  const byTable = (changes: readonly LogChange[], image: 'before' | 'after'): Map<string, Rows> => {
    const found = new Map<string, Rows>(shapes.map(({ table }) => [table, new Map()]));
    for (const change of changes) {
      const [id, value = null] = change[image] ?? [];
      found.get(change.table.name)?.set(String(id), value);
    }
    return found;
  };

  test.for([
    ['NO_LOG', 'OFF'],
    ['MINIMAL', 'OFF'],
    ['FULL', 'ON'],
  ])(
    'are the texts that are read from the tables: binlog_row_metadata %s, log_bin_compress %s',
    async ([metadata, compress]) => {
      await databases.server.query(`SET GLOBAL binlog_row_metadata = '${metadata}'`);
      await databases.server.query(
        `SET GLOBAL log_bin_compress = ${compress}, GLOBAL log_bin_compress_min_len = 10`,
      );
      await lenient(
        entries.flatMap(([type], index) => [
          `DROP TABLE IF EXISTS v${index}`,
          `CREATE TABLE v${index} (id int PRIMARY KEY, v ${type} NULL)`,
        ]),
      );
      const log = openMysqlLog(
        databases.url(0),
        shapes,
        `values_${String(metadata).toLowerCase()}`,
      );
      try {
        const start = await log.source.install('values', 5_000);
        await lenient(
          entries.map(([, literals], index) => {
            const rows = literals.map((literal, id) => `(${id}, ${literal})`);
            return `INSERT INTO v${index} VALUES ${rows.join(', ')}, (99, NULL)`;
          }),
        );
        const stream = await log.source.open({
          stream: 'values',
          from: checkpointAt(start),
          changesMax: 1_000,
          bytesMax: 1_000_000,
          whole: false,
        });
        try {
          const inserted = await collect(log, stream);
          const expected = await read(log);
          const names = new Map(entries.map(([type], index) => [`v${index}`, type]));
          for (const [table, rows] of byTable(inserted.changes, 'after'))
            expect(rows, names.get(table)).toEqual(expected.get(table));
          await lenient(entries.map((_, index) => `UPDATE v${index} SET id = id + 1000`));
          const moved = await collect(log, stream);
          const later = await read(log);
          for (const [table, rows] of byTable(moved.changes, 'after'))
            expect(rows, names.get(table)).toEqual(later.get(table));
          await lenient(entries.map((_, index) => `DELETE FROM v${index}`));
          const deleted = await collect(log, stream);
          for (const [table, rows] of byTable(deleted.changes, 'before'))
            expect(rows, names.get(table)).toEqual(later.get(table));
        } finally {
          await stream.close();
        }
      } finally {
        await log.close();
      }
    },
  );

  test('numbers in JSON of MySQL are printed as a server prints doubles', async () => {
    const values = [
      0,
      1,
      0.1,
      -2.5,
      1e14,
      1e15,
      123456789012345,
      1234567890123456,
      1.5e-15,
      1e-15,
      1e-16,
      5e-324,
      1.7976931348623157e308,
      2 ** 53,
      1 / 3,
    ];
    for (let exponent = -30; exponent <= 30; exponent++)
      values.push(1.2345 * 10 ** exponent, 10 ** exponent);
    await lenient(['CREATE TABLE doubles (id int PRIMARY KEY, v double)']);
    await lenient([
      `INSERT INTO doubles VALUES ${values.map((value, id) => `(${id}, ${value.toExponential()})`).join(', ')}`,
    ]);
    const rows = await databases.query<{ v: string }>(
      0,
      'SELECT CAST(v AS char) AS v FROM doubles ORDER BY id',
    );
    expect(values.map(serverDouble)).toEqual(rows.map(({ v }) => v));
  });

  test('are Unicode whatever character set the column has, character for character', async () => {
    const charsets = await databases.query<{ name: string; bytes: string }>(
      0,
      "SELECT CHARACTER_SET_NAME AS name, MAXLEN AS bytes FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME <> 'binary'",
    );
    expect(charsets.length).toBeGreaterThan(30);
    const tables = charsets.map(({ name }) => ({ table: `c_${name}`, key: ['id'] }));
    await lenient(
      tables.map(
        ({ table }) =>
          `CREATE TABLE ${table} (id int PRIMARY KEY, v text CHARACTER SET ${table.slice(2)})`,
      ),
    );
    const log = openMysqlLog(databases.url(0), tables, 'charsets');
    const start = await log.source.install('charsets', 5_000);
    // All of the BMP that is not control or surrogate, a row per 256; what a set does not have becomes a question mark.
    const planes = Array.from({ length: 0x100 }, (_, high) => high).filter(
      (high) => high < 0xd8 || high > 0xdf,
    );
    for (const { table } of tables) {
      const rows = planes.map((high) => {
        const text = Array.from({ length: 0x100 }, (_, low) =>
          String.fromCharCode(high * 256 + low),
        );
        const hex = Buffer.from(text.join('').replace(/[\0-\x1f]/g, ''), 'utf16le')
          .swap16()
          .toString('hex');
        return `(${high}, CONVERT(X'${hex}' USING utf16))`;
      });
      await lenient([`INSERT INTO ${table} VALUES ${rows.join(', ')}`]);
    }
    const stream = await log.source.open({
      stream: 'charsets',
      from: checkpointAt(start),
      changesMax: 10_000,
      bytesMax: 100_000_000,
      whole: false,
    });
    const { changes } = await collect(log, stream);
    await stream.close();
    const wrong: string[] = [];
    for (const { table } of tables) {
      const { rows } = await log.session.query(`SELECT id, v FROM ${table}`);
      const expected = new Map(rows.map(([id, text]) => [id, text]));
      expect(expected.size).toBe(planes.length);
      for (const {
        table: { name },
        after,
      } of changes) {
        if (name !== table) continue;
        const [id, text] = after ?? [];
        const wanted = expected.get(String(id)) ?? '';
        if (text !== wanted)
          wrong.push(`${table} ${String(id)}: ${firstDifference(String(text), wanted)}`);
      }
    }
    await log.close();
    expect(wrong).toEqual([]);
    expect(changes.length).toBe(tables.length * planes.length);
  });
});

function firstDifference(text: string, wanted: string): string {
  const at = [...wanted].findIndex((one, index) => [...text][index] !== one);
  return `${at} ${[...text][at]?.codePointAt(0)?.toString(16)} ≠ ${[...wanted][at]?.codePointAt(0)?.toString(16)}`;
}
