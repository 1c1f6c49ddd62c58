import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MemoryControl, memoryControl } from '../../src/adapters/memory/index.ts';
import { mysql } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import type { ColumnMapping, StoredColumn } from '../../src/mapping/index.ts';
import { collectionOf, type Side, toFollower } from '../../src/migration/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { withDatabases } from '../support/databases.ts';
import { GOLDEN } from '../support/golden-reads.ts';
import { typePairs } from '../support/golden-values.ts';
import { aWrite } from '../support/postgres-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

interface Trip {
  readonly id: string;
  readonly column: string;
  readonly title: string;
  readonly texts: Readonly<Record<Side, string>>;
}

const trips: Trip[] = [];
typePairs.forEach(({ mysql: here, postgres: there, values }, index) => {
  for (const value of values) {
    const [source, target] = typeof value === 'string' ? [value, value] : value;
    trips.push({
      id: String(trips.length + 1),
      column: `p${index}`,
      title: `${here} and ${there}: ${JSON.stringify(source.slice(0, 40))}`,
      texts: { source, target },
    });
  }
});

/** As people declare it: without display widths. */
const typeName = ({ declared, kind }: StoredColumn): string =>
  kind === 'json' && declared === 'longtext'
    ? 'json'
    : declared.replace(/^((?!tinyint)\w*int|year)\(\d+\)/, '$1').replace('tinyint(4)', 'tinyint');

const columns = (type: (pair: (typeof typePairs)[number]) => string): string =>
  typePairs.map((pair, index) => `p${index} ${type(pair)}`).join(', ');

describe.skipIf(missingMariadb())('MariaDB and PostgreSQL', () => {
  const mariadb = withMariadb(1);
  const databases = withDatabases(1);
  let migration: OpenedMigration;

  beforeAll(async () => {
    await mariadb.query(
      0,
      `CREATE TABLE ${GOLDEN} (id int PRIMARY KEY, ${columns((pair) => pair.mysql)}) CHARACTER SET utf8mb4`,
    );
    await databases.query(
      0,
      `CREATE TABLE ${GOLDEN} (id int PRIMARY KEY, ${columns((pair) => pair.postgres)})`,
    );
    migration = await openMigration(
      defineMigration({
        name: 'golden',
        source: mysql({ url: mariadb.url(0) }),
        target: postgres({ url: databases.url(0) }),
        control: memoryControl({ control: new MemoryControl() }),
        collections: { [GOLDEN]: {} },
      }),
    );
    for (const side of ['source', 'target'] as const)
      await migration.stores[side].setup.install('authority', 1);
  });
  afterAll(() => migration?.close());

  test('the guide has the table of what becomes of types, as it is', () => {
    const columns = migration.mappings.get(GOLDEN)?.columns ?? [];
    const words = (mapping: ColumnMapping | null): string =>
      [
        ...(mapping?.refuses ?? []).map((what) => `refused: ${what}`),
        ...(mapping?.loses ?? []).map((what) => `changed: ${what}`),
      ]
        .join('; ')
        .replaceAll('|', '\\|') || '–';
    const lines = columns
      .filter(({ field }) => field !== 'id')
      .map(
        ({ from, to, forward, backward }) =>
          `| \`${typeName(from)}\` | \`${typeName(to)}\` | ${words(forward)} | ${words(backward)} |`,
      );
    const guide = readFileSync(new URL('../../docs/guides/types.md', import.meta.url), 'utf8');
    const [, table = ''] = guide.split(/\| --- \| --- \| --- \| --- \|\n/);
    expect(table.slice(0, table.indexOf('\n\n'))).toBe(lines.join('\n'));
  });

  const other = { source: 'target', target: 'source' } as const;
  const mapped = (to: Side, record: DataRecord): DataRecord | null =>
    toFollower(collectionOf(migration.migration, GOLDEN), to, record);
  /** Writes the record and reads it back. */
  const stored = async (side: Side, record: DataRecord): Promise<DataRecord> => {
    const { records } = migration.stores[side];
    const key = [record['id'] as string];
    await records.write(aWrite(GOLDEN, key, record));
    const [answer] = await records.read(GOLDEN, [key]);
    if (!answer?.record) throw new Error('the record is not there');
    return answer.record;
  };

  for (const from of ['source', 'target'] as const) {
    const to = other[from];
    describe(`from the ${from} and back`, () => {
      for (const { id, column, title, texts } of trips) {
        test(title, async () => {
          const base = from === 'source' ? 0 : trips.length;
          const record = await stored(from, {
            id: String(Number(id) + base),
            [column]: texts[from],
          });
          expect(record[column]).toBe(texts[from]);
          const there = mapped(to, record) as DataRecord;
          expect(there[column]).toBe(texts[to]);
          // The mapping spells a value as the other store does: equal without asking it.
          expect(await stored(to, there)).toEqual(there);
          expect(mapped(from, there)).toEqual(record);
        });
      }
    });
  }

  typePairs.forEach(
    ({ mysql: here, postgres: there, mysqlOnly = [], postgresOnly = [] }, index) => {
      if (mysqlOnly.length + postgresOnly.length === 0) return;
      test(`${here} and ${there}: what the other cannot hold is refused`, async () => {
        for (const [to, texts] of [
          ['target', mysqlOnly],
          ['source', postgresOnly],
        ] as const) {
          for (const text of texts) {
            const id = String(1_000 + index);
            const record = await stored(other[to], { id, [`p${index}`]: text });
            expect(record[`p${index}`]).toBe(text);
            expect(() => mapped(to, record)).toThrow(/^MAPPING_REFUSED: Column "p/);
          }
        }
      });
    },
  );
});
