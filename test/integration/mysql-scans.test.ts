import { describe, expect, test } from 'vitest';
import type { Shape } from '../../src/migration/index.ts';
import type { Key } from '../../src/record/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { mysqlRecords } from '../support/mysql-records-rig.ts';
import { missingMariadb } from '../support/requirements.ts';

describe.skipIf(missingMariadb())('records in MariaDB', () => {
  const { stores, query } = mysqlRecords();

  describe('scans', () => {
    const shape = (key: readonly string[]): Shape => ({ table: 's', key });

    async function walk(store: MigrationStore, step: number): Promise<readonly Key[]> {
      const keys: Key[] = [];
      for (let after: Key | null = null; ; ) {
        const until = await store.records.boundary('s', { after, until: null }, step);
        if (until === null) return keys;
        const page = await store.records.scan('s', { after, until }, 5_000);
        keys.push(...page.map(({ key }) => key));
        after = until;
      }
    }

    test.for([
      ["enum('z','a','m')", "('m'), ('z'), ('a')", ['z', 'a', 'm']],
      ["set('b','a')", "('a'), ('b'), (''), ('a,b')", ['', 'b', 'a', 'b,a']],
      [
        'varchar(9) COLLATE utf8mb4_general_ci',
        "('b'), ('A'), ('á9'), ('B1'), ('')",
        ['', 'A', 'á9', 'b', 'B1'],
      ],
      ['varchar(9) COLLATE utf8mb4_bin', "('b'), ('A'), ('é'), ('B')", ['A', 'B', 'b', 'é']],
      [
        'bigint unsigned',
        '(18446744073709551615), (9), (10), (0)',
        ['0', '9', '10', '18446744073709551615'],
      ],
      ['decimal(20,2)', '(-1), (10), (9.5), (9.25)', ['-1.00', '9.25', '9.50', '10.00']],
      [
        'double',
        '(0.1), (-5), (1e300), (0.30000000000000004)',
        ['-5', '0.1', '0.30000000000000004', '1e+300'],
      ],
      ['bit(9)', "(b'100000000'), (b'1'), (b'11')", ['000000001', '000000011', '100000000']],
      ['year', "(2024), ('0000'), (1999)", ['0000', '1999', '2024']],
      [
        'time(3)',
        "('-10:00:00'), ('100:00:00.5'), ('9:00:00')",
        ['-10:00:00.000', '09:00:00.000', '100:00:00.500'],
      ],
      [
        'datetime(6)',
        "('2024-01-01'), ('0000-00-00'), ('2023-01-01 00:00:00.000001')",
        ['0000-00-00 00:00:00.000000', '2023-01-01 00:00:00.000001', '2024-01-01 00:00:00.000000'],
      ],
      [
        'timestamp',
        "('2024-01-01'), ('2023-01-01')",
        ['2023-01-01 00:00:00', '2024-01-01 00:00:00'],
      ],
      ['varbinary(5)', "(X'ff'), (X'00'), (X''), (X'0000')", ['\\x', '\\x00', '\\x0000', '\\xff']],
      ['binary(2)', "(X'ff'), (X'00'), (X'01')", ['\\x0000', '\\x0100', '\\xff00']],
      [
        'uuid',
        "('ffffffff-0000-0000-0000-000000000000'), ('00000000-0000-0000-0000-00000000000a')",
        ['00000000-0000-0000-0000-00000000000a', 'ffffffff-0000-0000-0000-000000000000'],
      ],
    ] as const)(
      'a key of type %s goes in the order of its index, and every key is found',
      async ([type, rows, expected]) => {
        await query(
          `CREATE TABLE s (k ${type} NOT NULL PRIMARY KEY, v int) DEFAULT CHARSET utf8mb4`,
        );
        await query(
          `BEGIN NOT ATOMIC SET sql_mode = ''; SET time_zone = '+00:00'; INSERT INTO s (k) VALUES ${rows}; END`,
        );
        const store = await stores.open({ s: shape(['k']) });
        for (const step of [1, 2, 100]) {
          expect((await walk(store, step)).map(([key]) => key)).toEqual(expected);
        }
        const answers = await store.records.read(
          's',
          expected.map((key) => [key]),
        );
        expect(answers.map(({ record }) => record?.['k'])).toEqual(expected);
        expect((await store.records.extent('s')).last).toEqual([expected.at(-1)]);
      },
    );

    test('a page of a large table is read by the index, also by a unique key with several parts', async () => {
      await query(
        'CREATE TABLE s (id int PRIMARY KEY, a int NOT NULL, b varchar(9) NOT NULL, pad char(200), UNIQUE KEY (a, b))',
      );
      await query(`INSERT INTO s SELECT seq, seq DIV 10, seq MOD 10, '' FROM seq_1_to_20000`);
      const store = await stores.open({ s: shape(['a', 'b']) });
      const reads = async (): Promise<number> => {
        const rows = await query(
          `SELECT SUM(VARIABLE_VALUE) AS n FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME LIKE 'HANDLER_READ%'`,
        );
        return Number(rows[0]?.['n']);
      };
      await store.records.scan('s', { after: ['1', '1'], until: null }, 10);
      const before = await reads();
      const page = await store.records.scan(
        's',
        { after: ['1000', '5'], until: ['1500', '2'] },
        100,
      );
      expect(page.map(({ key }) => key)[99]).toEqual(['1010', '5']);
      expect((await reads()) - before).toBeLessThan(1_000);
      expect(await walk(store, 3_000)).toHaveLength(20_000);
    });
  });
});
