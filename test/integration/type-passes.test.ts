import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { mysql } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import { type ColumnMapping, passesText } from '../../src/mapping/index.ts';
import { withDatabases } from '../support/databases.ts';
import { typePairs } from '../support/golden-values.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

/** Beside the pairs that go together: ones that do not quite, with values at the edges. */
const narrow: readonly (readonly [mysql: string, postgres: string, ...texts: string[]])[] = [
  [
    'varchar(40)',
    'varchar(3)',
    'abc',
    'abcd',
    'abc  ',
    'ab   ',
    '\0',
    'a\0b',
    '😀😀😀',
    '😀😀😀😀',
  ],
  ['varchar(40)', 'char(3)', 'ab', 'abcd', 'abc  ', '', 'ü'],
  ['char(5)', 'char(3)', 'ab', 'abcd', 'abc'],
  ['char(5)', 'text', 'ab', ''],
  ['int unsigned', 'integer', '2147483647', '2147483648', '0'],
  ['bigint', 'smallint', '32767', '32768', '-32769', '-32768'],
  ['tinyint(1)', 'boolean', '0', '1', '2', '-1', '10', '127'],
  ['datetime(6)', 'timestamp(3)', '2024-01-02 03:04:05.123000', '2024-01-02 03:04:05.123456'],
  [
    'datetime(3)',
    'timestamp(3)',
    '2024-01-02 03:04:05.120',
    '0000-00-00 00:00:00.000',
    '2024-00-10 00:00:00.000',
  ],
  ['timestamp(6) NULL', 'timestamptz(3)', '2024-01-02 03:04:05.123456'],
  ['timestamp(3) NULL', 'timestamptz', '2024-01-02 03:04:05.120', '0000-00-00 00:00:00.000'],
  ['datetime', 'timestamptz', '2024-01-02 03:04:05'],
  ['date', 'date', '2024-02-30', '0000-01-01', '2024-01-00', '2024-12-31', '0001-01-01'],
  ['date', 'timestamp', '2024-02-29'],
  ['decimal(12,3)', 'numeric(8,1)', '1.100', '1.234', '99999999.000'],
  ["enum('a','b')", 'text', 'a', ''],
];

const cases = [
  ...typePairs.map(({ mysql: from, postgres: to, values, mysqlOnly = [] }) => ({
    from,
    to,
    texts: [...values.map((value) => (typeof value === 'string' ? value : value[0])), ...mysqlOnly],
  })),
  ...narrow.map(([from, to, ...texts]) => ({ from, to, texts })),
];

describe.skipIf(missingMariadb())(
  'a text that passes from MariaDB to PostgreSQL unconverted',
  () => {
    const mariadb = withMariadb(1);
    const databases = withDatabases(1);
    let opened: OpenedMigration;

    beforeAll(async () => {
      const columns = (type: 'from' | 'to') =>
        cases.map((one, index) => `p${index} ${one[type]}`).join(', ');
      await mariadb.query(
        0,
        `CREATE TABLE passing (id int PRIMARY KEY, ${columns('from')}) CHARACTER SET utf8mb4`,
      );
      await databases.query(0, `CREATE TABLE passing (id int PRIMARY KEY, ${columns('to')})`);
      opened = await openMigration(
        defineMigration({
          name: 'passing',
          source: mysql({ url: mariadb.url(0) }),
          target: postgres({ url: databases.url(0) }),
          control: memoryControl(),
          collections: { passing: {} },
        }),
      );
    });
    afterAll(() => opened?.close());

    const mappingOf = (index: number): ColumnMapping | null =>
      opened.mappings.get('passing')?.columns.find(({ field }) => field === `p${index}`)?.forward ??
      null;

    /** What the target makes of a text; null: it refuses it. */
    const stored = async (index: number, text: string | null): Promise<string | null> => {
      try {
        const [row] = await databases.query<{ stored: string }>(
          0,
          `WITH made AS (INSERT INTO passing (id, p${index}) VALUES (1, $1) RETURNING p${index} AS value) SELECT format('%s', value) AS stored FROM made`,
          [text],
        );
        return `stored ${row?.stored}`;
      } catch {
        return null;
      } finally {
        await databases.query(0, 'TRUNCATE passing');
      }
    };

    test.each(cases.map((one, index) => ({ ...one, index })))(
      '$from to $to',
      async ({ index, texts }) => {
        const mapping = mappingOf(index);
        if (mapping === null || !passesText(mapping)) return;
        for (const text of texts) {
          let converted: string | null = null;
          try {
            converted = await stored(index, mapping.convert(text));
          } catch {
            // Refused, as it then has to be by the target.
          }
          expect(await stored(index, text), JSON.stringify(text)).toBe(converted);
        }
      },
    );

    test('is what most columns have', () => {
      const passing = cases.filter((_, index) => {
        const mapping = mappingOf(index);
        return mapping !== null && passesText(mapping);
      });
      expect(passing.map(({ from, to }) => `${from} → ${to}`)).toEqual(
        expect.arrayContaining([
          'varchar(40) → varchar(40)',
          'timestamp(6) NULL → timestamptz',
          'tinyint(1) → boolean',
          'int unsigned → integer',
          'date → date',
          'decimal(12,2) → numeric(12,2)',
        ]),
      );
      expect(passing.map(({ from, to }) => `${from} → ${to}`)).not.toContain(
        'datetime(6) → timestamp(3)',
      );
    });
  },
);
