import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Key } from '../../src/record/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

/*
 * What a record is called is not what it equals: most collations take 'abc' and 'abc ' for one key, and a VARCHAR keeps the blank all the same.
 */

const databases = withMariadb(1);
const stores = mysqlStoresOn(() => databases.url(0));
const shapes = {
  texts: { table: 'texts', key: ['id'] },
  chars: { table: 'chars', key: ['id'] },
  numbers: { table: 'numbers', key: ['id'] },
  sets: { table: 'sets', key: ['id'] },
  bytes: { table: 'bytes', key: ['id'] },
  days: { table: 'days', key: ['id'] },
  moments: { table: 'moments', key: ['id'] },
};
let store: MigrationStore;

beforeAll(async () => {
  for (const [table, type, ...ids] of [
    ['texts', 'varchar(20) COLLATE utf8mb4_bin', 'abc ', 'def'],
    ['chars', 'char(20) COLLATE utf8mb4_bin', 'abc ', 'def'],
    ['numbers', 'double', '1e15', '5'],
    ['sets', `set('a', 'b')`, 'a,b', 'a'],
    ['bytes', 'varbinary(20)', 'abc', 'def'],
    ['days', 'date', '2024-01-01', '2024-01-02'],
    ['moments', 'datetime', '2024-01-01', '2024-01-02 03:04:05'],
  ] as const) {
    await databases.query(0, `CREATE TABLE ${table} (id ${type} PRIMARY KEY, note text)`);
    for (const id of ids) await databases.query(0, `INSERT INTO ${table} VALUES ('${id}', 'n')`);
  }
  store = await stores.open(shapes);
  await store.setup.install('authority', 1);
});
afterAll(() => stores.closeAll());

const keys = (...texts: readonly string[]): readonly Key[] => texts.map((text) => [text]);

test.each([
  ['texts', ['abc ', 'def'], ['abc ', 'def']],
  ['texts', ['abc', 'def  '], ['abc ', 'def']],
  ['chars', ['abc ', 'def'], ['abc', 'def']],
  ['numbers', ['1000000000000000', '5.0'], ['1000000000000000', '5']],
  ['numbers', ['1e15', '5'], ['1000000000000000', '5']],
  ['sets', ['b,a', 'a'], ['a,b', 'a']],
  ['bytes', ['abc', '\\x646566'], ['\\x616263', '\\x646566']],
  ['days', ['2024-01-01 00:00:00', '2024-01-02'], ['2024-01-01', '2024-01-02']],
  [
    'moments',
    ['2024-01-01', '2024-01-02 03:04:05'],
    ['2024-01-01 00:00:00', '2024-01-02 03:04:05'],
  ],
] as const)('several keys of %s at once are found: %j', async (name, given, stored) => {
  const read = await store.records.read(name, keys(...given));
  expect(read.map((one) => one?.record?.['id'])).toEqual(stored);
  const again = await store.records.reread(name, keys(...given), 1);
  expect(again.map(({ key, record }) => [key, record?.['id']])).toEqual(
    stored.map((id) => [[id], id]),
  );
});

test('a record that is gone keeps its name, but for what CHAR drops', async () => {
  const name = async (collection: string, key: string): Promise<unknown> => {
    const [gone] = await store.records.reread(collection, keys(key), 1);
    expect(gone).toMatchObject({ state: 'read', record: null });
    return gone?.key;
  };
  expect(await name('texts', 'gone ')).toEqual(['gone ']);
  expect(await name('chars', 'gone ')).toEqual(['gone']);
});

test('an entry is queued as the row is called, and without one as it was given', async () => {
  const entry = (collection: string, key: string) =>
    ({ collection, key: [key], kind: 'change', graceMs: 0 }) as const;
  const queued = [
    [entry('texts', 'abc'), 'abc '],
    [entry('texts', 'gone '), 'gone '],
    [entry('chars', 'gone '), 'gone'],
  ] as const;
  const ids = await store.queue.enqueue(queued.map(([one]) => one));
  const found = new Map((await store.queue.entries?.(null, 10))?.map(({ id, key }) => [id, key]));
  expect(ids.map((id) => found.get(id))).toEqual(queued.map(([, key]) => [key]));
});
