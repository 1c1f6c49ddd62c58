import { beforeAll, describe, expect, test } from 'vitest';
import { mysql } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { StoreConnector } from '../../src/store/index.ts';
import {
  everyWay,
  GOLDEN,
  type GoldenAnswer,
  type GoldenCell,
  goldenAnswers,
} from '../support/golden-reads.ts';
import {
  type GoldenType,
  mysqlValues,
  postgresValues,
  type TypePair,
  typePairs,
} from '../support/golden-values.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { useServer } from '../support/private-postgres.ts';
import { missingMariadb } from '../support/requirements.ts';
import { runIn } from '../support/run-in.ts';

interface Cell extends GoldenCell {
  readonly type: string;
  readonly stored: string;
}

/** One column for each type, one row for each value. */
function cellsOf(types: readonly GoldenType[]): readonly Cell[] {
  const cells: Cell[] = [];
  types.forEach(([type, ...texts], column) => {
    for (const text of texts) {
      const [given, stored] = typeof text === 'string' ? [text, text] : text;
      cells.push({ id: String(cells.length + 1), column: `c${column}`, type, given, stored });
    }
  });
  return cells;
}

const columnsOf = (types: readonly GoldenType[]): string =>
  types.map(([type], index) => `c${index} ${type}`).join(', ');

/** The store of the golden table in an empty database that `create` fills. */
async function answersOf(
  connector: StoreConnector,
  cells: readonly Cell[],
): Promise<ReadonlyMap<string, GoldenAnswer>> {
  const store = await connector.connect({
    migration: 'shop',
    side: 'source',
    shapes: new Map([[GOLDEN, { table: GOLDEN, key: ['id'] }]]),
    logged: new Set([GOLDEN]),
    runtime: systemRuntime,
  });
  try {
    return await goldenAnswers(store, cells);
  } finally {
    await store.close();
  }
}

/** The values of one engine alone, and of the pairs. */
const typesOf = (
  own: readonly GoldenType[],
  ofPair: (pair: TypePair) => GoldenType,
): readonly GoldenType[] => [...own, ...typePairs.map(ofPair)];

describe('PostgreSQL gives one text for a value, however it is read', () => {
  const types = typesOf(postgresValues, ({ postgres: type, values, postgresOnly = [] }) => [
    type,
    ...values.map((value) => (typeof value === 'string' ? value : value[1])),
    ...postgresOnly,
  ]);
  const cells = cellsOf(types);
  let answers: ReadonlyMap<string, GoldenAnswer>;

  beforeAll(async () => {
    const server = await useServer({ settings: { wal_level: 'logical' } });
    const url = await server.createDatabase('golden');
    await runIn(url, [
      `CREATE TABLE ${GOLDEN} (id int PRIMARY KEY, touched int, ${columnsOf(types)})`,
      `ALTER TABLE ${GOLDEN} REPLICA IDENTITY FULL`,
    ]);
    answers = await answersOf(postgres({ url }), cells);
  }, 120_000);

  for (const { id, type, given, stored } of cells) {
    test(`${type}: ${JSON.stringify(given.slice(0, 40))}`, () => {
      expect(answers.get(id)).toEqual(everyWay(stored));
    });
  }
});

describe.skipIf(missingMariadb())('MariaDB gives one text for a value, however it is read', () => {
  const databases = withMariadb(1);
  const types = typesOf(mysqlValues, ({ mysql: type, values, mysqlOnly = [] }) => [
    type,
    ...values.map((value) => (typeof value === 'string' ? value : value[0])),
    ...mysqlOnly,
  ]);
  const cells = cellsOf(types);
  let answers: ReadonlyMap<string, GoldenAnswer>;

  beforeAll(async () => {
    await databases.query(
      0,
      `CREATE TABLE ${GOLDEN} (id int PRIMARY KEY, touched int, ${columnsOf(types)}) CHARACTER SET utf8mb4`,
    );
    answers = await answersOf(mysql({ url: databases.url(0) }), cells);
  }, 120_000);

  for (const { id, type, given, stored } of cells) {
    test(`${type}: ${JSON.stringify(given.slice(0, 40))}`, () => {
      expect(answers.get(id)).toEqual(everyWay(stored));
    });
  }
});
