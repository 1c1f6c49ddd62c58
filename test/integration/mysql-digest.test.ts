import { describe, expect, test } from 'vitest';
import { mysql } from '../../src/adapters/mysql/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { goldenCells, goldenTable, unlikeDigests } from '../support/golden-digests.ts';
import { GOLDEN } from '../support/golden-reads.ts';
import { type GoldenType, mysqlValues, typePairs } from '../support/golden-values.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

describe.skipIf(missingMariadb())('MariaDB', () => {
  const databases = withMariadb(1);

  test('writes each value into a digest as JavaScript does', async () => {
    const types: readonly GoldenType[] = [
      ...mysqlValues,
      ['int(6) unsigned zerofill', ['000042', '42']],
      ['decimal(8,2) zerofill', ['000042.10', '42.10']],
      ['varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci', 'Ünï', 'a|b\n'],
      ['varchar(20) CHARACTER SET utf8mb3', 'Ünï'],
      ...typePairs.map(
        ({ mysql: type, values, mysqlOnly = [] }): GoldenType => [
          type,
          ...values.map((value) => (typeof value === 'string' ? value : value[0])),
          ...mysqlOnly,
        ],
      ),
    ];
    await databases.query(0, `${goldenTable(types)} CHARACTER SET utf8mb4`);
    const store = await mysql({ url: databases.url(0) }).connect({
      migration: 'shop',
      side: 'source',
      shapes: new Map([[GOLDEN, { table: GOLDEN, key: ['id'] }]]),
      runtime: systemRuntime,
    });
    try {
      const { tried, unlike } = await unlikeDigests(store, goldenCells(types));
      expect(tried).toBeGreaterThan(3_000);
      expect(unlike).toEqual([]);
    } finally {
      await store.close();
    }
  }, 60_000);
});
