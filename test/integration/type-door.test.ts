import { describe, expect, test } from 'vitest';
import { MemoryControl, memoryControl } from '../../src/adapters/memory/index.ts';
import { mysql } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import { collectionOf, otherSide, type Side, toFollower } from '../../src/migration/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import type { StoredRecord } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { GOLDEN } from '../support/golden-reads.ts';
import { typePairs } from '../support/golden-values.ts';
import { aWrite } from '../support/postgres-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const everything = { after: null, until: null };
const door = { epoch: 1, timeoutMs: 20_000 };

/** One record for each value of each pair, as this side writes it. */
function recordsOf(side: Side): readonly DataRecord[] {
  return typePairs.flatMap(({ values }, index) =>
    values.map((value, at) => {
      const [source, target] = typeof value === 'string' ? [value, value] : value;
      const text = side === 'source' ? source : target;
      return { id: String(index * 100 + at + 1), [`p${index}`]: text };
    }),
  );
}

describe.skipIf(missingMariadb())('all values of all types enter the follower by its door', () => {
  const mariadb = withMariadb(2);
  const databases = withDatabases(2);

  const open = async (index: number, authority: Side): Promise<OpenedMigration> => {
    const columns = (type: (pair: (typeof typePairs)[number]) => string): string =>
      `id int PRIMARY KEY, ${typePairs.map((pair, at) => `p${at} ${type(pair)}`).join(', ')}`;
    await mariadb.query(
      index,
      `CREATE TABLE ${GOLDEN} (${columns((pair) => pair.mysql)}) CHARACTER SET utf8mb4`,
    );
    await databases.query(index, `CREATE TABLE ${GOLDEN} (${columns((pair) => pair.postgres)})`);
    const migration = await openMigration(
      defineMigration({
        name: `golden${index}`,
        source: mysql({ url: mariadb.url(index) }),
        target: postgres({ url: databases.url(index) }),
        control: memoryControl({ control: new MemoryControl() }),
        collections: { [GOLDEN]: {} },
      }),
    );
    await migration.stores[authority].setup.install('authority', 1);
    await migration.stores[otherSide[authority]].setup.install('follower', 1);
    return migration;
  };

  const cases = [
    [0, 'source', 'from MariaDB to PostgreSQL'],
    [1, 'target', 'from PostgreSQL to MariaDB'],
  ] as const;
  for (const [index, authority, title] of cases) {
    test(`${title}: by a chunk, by single changes, and by what the log brings`, async () => {
      const migration = await open(index, authority);
      try {
        const follower = migration.stores[otherSide[authority]];
        const { records } = migration.stores[authority];
        for (const record of recordsOf(authority))
          await records.write(aWrite(GOLDEN, [record['id'] as string], record));
        const rows = await records.scan(GOLDEN, everything, 10_000);
        const collection = collectionOf(migration.migration, GOLDEN);
        const expected = rows.map(({ key, record }): StoredRecord => {
          const value = toFollower(collection, follower.side, record);
          return { key, record: value as DataRecord };
        });
        expect(expected.length).toBe(recordsOf(authority).length);
        const seen = () => follower.records.scan(GOLDEN, everything, 10_000);

        const ticket = await follower.door.beginChunk(GOLDEN, 1, everything, 'golden');
        await follower.door.writeChunk(ticket, expected, door);
        expect(await seen()).toEqual(expected);

        const change = (sequence: bigint, erase: boolean) =>
          expected.map(({ key, record }) => ({
            collection: GOLDEN,
            key,
            version: { epoch: 1, sequence },
            value: erase ? null : record,
            origin: 'live' as const,
          }));
        await follower.door.apply(change(1n, true), door);
        expect(await seen()).toEqual([]);
        await follower.door.apply(change(2n, false), door);
        expect(await seen()).toEqual(expected);

        const log = follower.door.log;
        if (log === undefined) throw new Error('the door takes in no log');
        const stream = `changeover_golden${index}_${authority[0]}_1`;
        const start = { identity: 'golden', position: { sequence: 10n, text: '10' } };
        const from = await log.begin(stream, start);
        await follower.door.apply(change(9n, true), door);
        const to = { ...from, position: { sequence: 20n, text: '20' } };
        const changes = change(20n, false).map((one) => ({ ...one, origin: 'log' as const }));
        await log.apply({ stream, from, to, changes }, door);
        expect(await seen()).toEqual(expected);
      } finally {
        await migration.close();
      }
    }, 60_000);
  }
});
