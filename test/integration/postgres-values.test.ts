import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MigrationStore } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { awkwardDdl, awkwardRows as rows } from '../support/postgres-awkward-values.ts';
import { aWrite, storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1);
const stores = storesOn(() => databases.url(0));

let store: MigrationStore;

beforeAll(async () => {
  await databases.query(
    0,
    `${awkwardDdl('"Werte"')};
     ALTER DATABASE ${(await databases.query<{ d: string }>(0, 'SELECT quote_ident(current_database()) AS d'))[0]?.d}
       SET DateStyle = 'German';`,
  );
  store = await stores.open({ values: { table: 'Werte', key: ['id'] } });
  await store.setup.install('authority', 1);
});
afterAll(() => stores.closeAll());

describe('a value comes back as the same text', () => {
  rows.forEach(({ type, column, given, stored }, id) => {
    test(`${type}: ${JSON.stringify(given.slice(0, 40))}`, async () => {
      const key = [String(id)];
      const written = await store.records.write(aWrite('values', key, { [column]: given }));
      expect(written.record?.[column]).toBe(stored);
      const [answer] = await store.records.read('values', [key]);
      expect(answer?.record?.[column]).toBe(stored);
      const [scanned] = await store.records.scan(
        'values',
        { after: [String(id - 1)], until: key },
        1,
      );
      expect(scanned?.record[column]).toBe(stored);
      const [canonical] = await store.records.canonicalise('values', [
        { id: String(id), [column]: given },
      ]);
      expect(canonical).toEqual({ id: String(id), [column]: stored });
      const [again] = await store.records.reread('values', [key], 1);
      expect(again).toMatchObject({ state: 'read', key });
      expect(again?.record?.[column]).toBe(stored);
    });
  });
});

test('NULL and the empty text are different', async () => {
  const column = rows.find(({ type }) => type === 'text')?.column as string;
  await store.records.write(aWrite('values', ['9001'], { [column]: null }));
  await store.records.write(aWrite('values', ['9002'], { [column]: '' }));
  const answers = await store.records.read('values', [['9001'], ['9002'], ['9003']]);
  expect(answers.map(({ record }) => record?.[column])).toEqual([null, '', undefined]);
});

test('a text that is too long is refused, never cut, and the message does not repeat it', async () => {
  const varchar = rows.find(({ type }) => type === 'varchar(3)')?.column as string;
  const domain = rows.find(({ type }) => type === 'short_name')?.column as string;
  for (const column of [varchar, domain]) {
    const refused = store.records.write(aWrite('values', ['9010'], { [column]: 'secret-text' }));
    await expect(refused).rejects.toMatchObject({ code: 'STORE_REJECTED' });
    await expect(refused).rejects.not.toThrow(/secret-text/);
  }
  expect(await store.records.read('values', [['9010']])).toEqual([{ record: null, fence: null }]);
});

test('a value that the type cannot take is refused without being repeated', async () => {
  const column = rows.find(({ type }) => type === 'int8')?.column as string;
  const refused = store.records.write(aWrite('values', ['9011'], { [column]: 'secret"12' }));
  await expect(refused).rejects.toThrow(/STORE_REJECTED/);
  await expect(refused).rejects.not.toThrow(/secret/);
});

test('a column that the table has not is named in the refusal', async () => {
  const refused = store.records.write(aWrite('values', ['9012'], { nope: '1' }));
  await expect(refused).rejects.toThrow(/no column "nope"/);
});
