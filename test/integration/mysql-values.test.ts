import { describe, expect, test } from 'vitest';
import { createMysqlCatalog } from '../../src/adapters/mysql/mysql-catalog.ts';
import { createMysqlPresence } from '../../src/adapters/mysql/mysql-presence.ts';
import { createMysqlRecordStore } from '../../src/adapters/mysql/mysql-record-store.ts';
import { mysqlLayout } from '../../src/adapters/mysql/mysql-schema.ts';
import { openMysqlSession } from '../../src/adapters/mysql/mysql-session.ts';
import type { Shape } from '../../src/migration/index.ts';
import type { DataRecord, Key, Scalar } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { RecordStore, Written } from '../../src/store/index.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

/** Column of the type → literals in SQL, and the text that each has to be read as. */
const types: Readonly<Record<string, readonly (readonly [string, Scalar])[]>> = {
  'tinyint(1)': [
    ['TRUE', '1'],
    ['-128', '-128'],
  ],
  'tinyint unsigned': [['255', '255']],
  'smallint(5) unsigned zerofill': [
    ['42', '42'],
    ['0', '0'],
  ],
  mediumint: [['-8388608', '-8388608']],
  'int(10) unsigned zerofill': [['7', '7']],
  bigint: [['-9223372036854775808', '-9223372036854775808']],
  'bigint unsigned': [['18446744073709551615', '18446744073709551615']],
  'decimal(65,30)': [
    [
      '12345678901234567890123456789012345.123456789012345678901234567890',
      '12345678901234567890123456789012345.123456789012345678901234567890',
    ],
    ['-0.5', '-0.500000000000000000000000000000'],
  ],
  'decimal(7,2) unsigned zerofill': [
    ['3.5', '3.50'],
    ['0', '0.00'],
  ],
  'decimal(5,0)': [['-12', '-12']],
  float: [
    ['0.1', '0.1'],
    ['16777216', '16777216'],
    ['3.4028234e38', '3.4028235e+38'],
    ['-1.17549435e-38', '-1.1754944e-38'],
    ['0', '0'],
    ['1234567.5', '1234567.5'],
  ],
  'float(7,4)': [['999.00009', '999.0001']],
  'float unsigned zerofill': [['2.5', '2.5']],
  double: [
    ['0.1', '0.1'],
    ['1e300', '1e+300'],
    ['-2.2250738585072014e-308', '-2.2250738585072014e-308'],
    ['9007199254740993', '9007199254740992'],
  ],
  'double(10,3)': [
    ['1.0005', '1'],
    ['1.5', '1.5'],
  ],
  'bit(1)': [
    ["b'1'", '1'],
    ["b'0'", '0'],
  ],
  'bit(11)': [["b'101'", '00000000101']],
  'bit(64)': [
    [
      "b'1000000000000000000000000000000000000000000000000000000000000001'",
      '1000000000000000000000000000000000000000000000000000000000000001',
    ],
  ],
  "enum('new','it''s','a,b','2','Ä')": [
    ["'new'", 'new'],
    ["'it''s'", "it's"],
    ["'a,b'", 'a,b'],
    ["'2'", '2'],
    ["'Ä'", 'Ä'],
  ],
  "set('a','b','7')": [
    ["''", ''],
    ["'b,a'", 'a,b'],
    ["'7'", '7'],
  ],
  year: [
    ['2024', '2024'],
    ['0', '0000'],
    ['1901', '1901'],
    ['2155', '2155'],
  ],
  date: [
    ["'2024-02-29'", '2024-02-29'],
    ["'0000-00-00'", '0000-00-00'],
    ["'2024-00-00'", '2024-00-00'],
    ["'9999-12-31'", '9999-12-31'],
  ],
  time: [
    ["'838:59:59'", '838:59:59'],
    ["'-838:59:59'", '-838:59:59'],
    ["'-00:00:01'", '-00:00:01'],
    ["'25:00:00'", '25:00:00'],
  ],
  'time(6)': [
    ["'-12:34:56.000001'", '-12:34:56.000001'],
    ["'100:00:00.5'", '100:00:00.500000'],
  ],
  datetime: [
    ["'2024-02-29 23:59:59'", '2024-02-29 23:59:59'],
    ["'0000-00-00 00:00:00'", '0000-00-00 00:00:00'],
  ],
  'datetime(6)': [
    ["'2024-02-29 23:59:59.000001'", '2024-02-29 23:59:59.000001'],
    ["'1000-01-01 00:00:00'", '1000-01-01 00:00:00.000000'],
  ],
  'datetime(3)': [["'2024-02-29 23:59:59.12'", '2024-02-29 23:59:59.120']],
  // The server's zone is +05:30; values are instants.
  timestamp: [
    ["'2024-06-30 12:00:00'", '2024-06-30 06:30:00'],
    ["'0000-00-00 00:00:00'", '0000-00-00 00:00:00'],
  ],
  'timestamp(6)': [["'2024-06-30 12:00:00.000001'", '2024-06-30 06:30:00.000001']],
  json: [[`'{"b": 1, "a":  [1.0, "é"]}'`, '{"b": 1, "a":  [1.0, "é"]}']],
  point: [
    ["ST_GeomFromText('POINT(1 2)')", '\\x0101000000000000000000f03f0000000000000040'],
    [
      "ST_GeomFromText('POINT(1 2)', 4326)",
      'SRID=4326;\\x0101000000000000000000f03f0000000000000040',
    ],
  ],
  geometry: [
    [
      "ST_GeomFromText('LINESTRING(0 0,1 1)')",
      '\\x0102000000020000000000000000000000000000000000000000000000000' + '0f03f000000000000f03f',
    ],
  ],
  'char(5) character set utf8mb4': [
    ["'a  '", 'a'],
    ["' é😀'", ' é😀'],
  ],
  'varchar(30) character set utf8mb4': [
    ["'a  '", 'a  '],
    ["'tab\\tline\\nnul\\0back\\\\quote'''", "tab\tline\nnul\0back\\quote'"],
    ["''", ''],
  ],
  'varchar(20) character set latin1': [["'Fußgänger €'", 'Fußgänger €']],
  'varchar(20) character set utf16 collate utf16_bin': [["'é😀'", 'é😀']],
  'varchar(20) character set sjis': [["'日本'", '日本']],
  'text character set utf8mb3': [["'漢字'", '漢字']],
  'longtext character set utf8mb4': [["REPEAT('ä', 100000)", 'ä'.repeat(100_000)]],
  'binary(4)': [["X'00ff'", '\\x00ff0000']],
  'varbinary(4)': [
    ["X'00ff'", '\\x00ff'],
    ["''", '\\x'],
  ],
  tinyblob: [["X'5c27'", '\\x5c27']],
  longblob: [["REPEAT(X'00ff', 100000)", `\\x${'00ff'.repeat(100_000)}`]],
  uuid: [["'AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee'", 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee']],
  inet6: [["'2001:DB8::1'", '2001:db8::1']],
};

const LENIENT = "SET sql_mode = ''";

describe.skipIf(missingMariadb())('values of MariaDB', () => {
  const databases = withMariadb(1, { settings: { default_time_zone: '+05:30' } });

  async function withRecords<Result>(
    shapes: Readonly<Record<string, Shape>>,
    body: (records: RecordStore) => Promise<Result>,
  ): Promise<Result> {
    const session = openMysqlSession({ url: databases.url(0) }, systemRuntime);
    const layout = mysqlLayout('values', 'source');
    const presence = createMysqlPresence(session, layout);
    const catalog = createMysqlCatalog(session, new Map(Object.entries(shapes)));
    const parts = { session, catalog, layout, presence, logged: new Set<string>() };
    try {
      return await body(createMysqlRecordStore(parts));
    } finally {
      await session.close();
    }
  }

  const put = (
    records: RecordStore,
    collection: string,
    key: Key,
    record: DataRecord,
  ): Promise<Written> =>
    records.write({
      collection,
      key,
      action: 'put',
      record,
      epoch: 1,
      journal: 'none',
      graceMs: 0,
      timeoutMs: 20_000,
    });

  const run = (...statements: readonly string[]): Promise<unknown> =>
    databases.query(0, `BEGIN NOT ATOMIC ${statements.join('; ')}; END`);

  test.for(Object.entries(types))(
    '%s is read, written and spelled exactly',
    async ([type, values]) => {
      const columns = `(id int PRIMARY KEY, v ${type} NULL)`;
      await run(
        LENIENT,
        'DROP TABLE IF EXISTS one, two',
        `CREATE TABLE one ${columns}`,
        `CREATE TABLE two ${columns}`,
      );
      const rows = values.map(([sql], index) => `(${index}, ${sql})`);
      await run(LENIENT, `INSERT INTO one VALUES ${rows.join(', ')}, (${values.length}, NULL)`);
      const expected = [...values.map(([, text]) => text), null].map((v, id) => ({
        id: String(id),
        v,
      }));
      const shapes = { one: { table: 'one', key: ['id'] }, two: { table: 'two', key: ['id'] } };
      await withRecords(shapes, async (records) => {
        const scanned = await records.scan('one', { after: null, until: null }, 100);
        expect(scanned.map(({ record }) => record)).toEqual(expected);
        const keys = expected.map(({ id }) => [id]);
        const read = await records.read('one', keys);
        expect(read.map(({ record }) => record)).toEqual(expected);
        for (const record of expected) {
          const written = await put(records, 'two', [record.id], record);
          expect(written.record).toEqual(record);
        }
        expect(await records.canonicalise('two', expected)).toEqual(expected);
      });
      const [sums] = await Promise.all([
        databases.query<{ Checksum: string }>(0, 'CHECKSUM TABLE one, two'),
      ]);
      expect(sums[0]?.Checksum).toBe(sums[1]?.Checksum);
    },
  );

  test('a row with a blob, text and numbers is the same after every way of reading', async () => {
    await run(
      'DROP TABLE IF EXISTS root, child',
      'CREATE TABLE root (a varchar(9) CHARACTER SET latin1 NOT NULL, b bigint unsigned NOT NULL, v blob, PRIMARY KEY (a, b))',
      'CREATE TABLE child (a varchar(9) CHARACTER SET latin1 NOT NULL, b bigint unsigned NOT NULL, n int NOT NULL, f float, PRIMARY KEY (a, b, n))',
      `INSERT INTO root VALUES ('Ä', 18446744073709551615, X'00'), ('b', 2, NULL)`,
      `INSERT INTO child VALUES ('ä', 18446744073709551615, 2, 0.1), ('Ä', 18446744073709551615, 1, NULL)`,
    );
    const children = { rows: { table: 'child', key: ['a', 'b', 'n'], parent: ['a', 'b'] } };
    await withRecords({ root: { table: 'root', key: ['a', 'b'], children } }, async (records) => {
      const max = '18446744073709551615';
      const record = {
        a: 'Ä',
        b: max,
        v: '\\x00',
        rows: [
          { a: 'Ä', b: max, n: '1', f: null },
          { a: 'ä', b: max, n: '2', f: '0.1' },
        ],
      };
      const [, last] = await records.scan('root', { after: null, until: null }, 9);
      expect(last).toEqual({ key: ['Ä', max], record });
      // Under latin1_swedish_ci Ä is behind b, and ä is the same letter.
      const answers = await records.read('root', [
        ['ä', max],
        ['B ', '02'],
        ['A', '1'],
        ['Ä', max],
      ]);
      expect(answers.map((answer) => answer.record)).toEqual([
        record,
        { a: 'b', b: '2', v: null, rows: [] },
        null,
        record,
      ]);
    });
  });
});
