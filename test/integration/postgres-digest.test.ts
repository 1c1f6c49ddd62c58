import { expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { goldenCells, goldenTable, unlikeDigests } from '../support/golden-digests.ts';
import { GOLDEN } from '../support/golden-reads.ts';
import { type GoldenType, postgresValues, typePairs } from '../support/golden-values.ts';

const databases = withDatabases(1);

test('PostgreSQL writes each value into a digest as JavaScript does', async () => {
  const types: readonly GoldenType[] = [
    ...postgresValues,
    ...typePairs.map(
      ({ postgres: type, values, postgresOnly = [] }): GoldenType => [
        type,
        ...values.map((value) => (typeof value === 'string' ? value : value[1])),
        ...postgresOnly,
      ],
    ),
  ];
  await databases.query(0, goldenTable(types));
  const store = await postgres({ url: databases.url(0) }).connect({
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
