import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Key, toRecord } from '../../src/record/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { query, withClient, withDatabases } from '../support/databases.ts';
import { aWrite, storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1, { scope: 'test' });
const stores = storesOn(() => databases.url(0));
afterEach(() => stores.closeAll());
afterAll(() => stores.closeAll());

const shapes = {
  people: {
    table: 'people',
    key: ['id'],
    children: {
      phones: { table: 'phones', key: ['id'], parent: ['person'] },
      notes: { table: 'notes', key: ['person', 'n'], parent: ['person'] },
    },
  },
};
const ddl = `
  CREATE TABLE people (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, city text DEFAULT 'Łódź',
    upper text GENERATED ALWAYS AS (upper(name)) STORED);
  CREATE TABLE phones (id int PRIMARY KEY, person int8 NOT NULL REFERENCES people ON DELETE CASCADE, number text NOT NULL, kind text DEFAULT 'home');
  CREATE TABLE notes (person int8 REFERENCES people ON DELETE CASCADE, n int, body text, PRIMARY KEY (person, n))`;

async function openPeople(): Promise<MigrationStore> {
  await databases.query(0, ddl);
  const store = await stores.open(shapes);
  await store.setup.install('authority', 1);
  return store;
}

describe('aggregates', () => {
  let store: MigrationStore;
  beforeEach(async () => {
    store = await openPeople();
  });

  const ada = {
    name: 'Ada',
    phones: [
      { id: '2', number: '22' },
      { id: '1', number: '11', kind: 'work' },
    ],
    notes: [
      { n: '10', body: 'ten' },
      { n: '9', body: null },
    ],
  };
  const stored = {
    id: '7',
    name: 'Ada',
    city: 'Łódź',
    phones: [
      { id: '1', person: '7', number: '11', kind: 'work' },
      { id: '2', person: '7', number: '22', kind: 'home' },
    ],
    notes: [
      { person: '7', n: '9', body: null },
      { person: '7', n: '10', body: 'ten' },
    ],
  };

  test('a put writes root and children and gives the whole record back', async () => {
    const written = await store.records.write(aWrite('people', ['07'], ada));
    expect(written).toMatchObject({ key: ['7'], record: stored });
    expect(written.version).toEqual({ epoch: 1, sequence: written.journalId });
    const [answer] = await store.records.read('people', [['7']]);
    expect(answer?.record).toEqual(stored);
    expect(await store.records.scan('people', { after: null, until: null }, 5)).toEqual([
      { key: ['7'], record: stored },
    ]);
  });

  test('what a put does not name stays; children that are given replace the whole set', async () => {
    await store.records.write(aWrite('people', ['7'], ada));
    const second = await store.records.write(
      aWrite('people', ['7'], {
        city: 'Roma',
        phones: [
          { id: '2', number: '23' },
          { id: '3', number: '33' },
        ],
      }),
    );
    expect(second.record).toEqual({
      ...stored,
      city: 'Roma',
      phones: [
        { id: '2', person: '7', number: '23', kind: 'home' },
        { id: '3', person: '7', number: '33', kind: 'home' },
      ],
    });
    const third = await store.records.write(aWrite('people', ['7'], { phones: [] }));
    expect(third.record).toMatchObject({ city: 'Roma', phones: [], notes: stored.notes });
  });

  test('an update of what does not exist does nothing and draws no version', async () => {
    const written = await store.records.write(
      aWrite(
        'people',
        ['8'],
        { name: 'Bob', notes: [{ n: '1', body: 'x' }] },
        { action: 'update' },
      ),
    );
    expect(written).toEqual({ key: ['8'], record: null, version: null, journalId: null });
    expect((await store.queue.depth()).waiting).toBe(0);
    expect(await databases.query(0, 'SELECT 1 FROM notes')).toEqual([]);
  });

  test('an update of children alone draws a version', async () => {
    await store.records.write(aWrite('people', ['7'], ada));
    const written = await store.records.write(
      aWrite('people', ['7'], { notes: [{ n: '1', body: 'x' }] }, { action: 'update' }),
    );
    expect(written.version).not.toBeNull();
    expect(written.record).toMatchObject({
      name: 'Ada',
      notes: [{ person: '7', n: '1', body: 'x' }],
    });
  });

  test('a delete takes the children along; a delete of nothing draws no version', async () => {
    await store.records.write(aWrite('people', ['7'], ada));
    const gone = await store.records.write(aWrite('people', ['7'], {}, { action: 'delete' }));
    expect(gone.record).toBeNull();
    expect(gone.version).not.toBeNull();
    expect(await databases.query(0, 'SELECT 1 FROM phones UNION ALL SELECT 1 FROM notes')).toEqual(
      [],
    );
    const again = await store.records.write(aWrite('people', ['07'], {}, { action: 'delete' }));
    expect(again).toEqual({ key: ['7'], record: null, version: null, journalId: null });
  });

  test("another record's child is not taken away from it", async () => {
    await store.records.write(aWrite('people', ['7'], ada));
    const theft = store.records.write(
      aWrite('people', ['8'], { name: 'Bob', phones: [{ id: '1', number: '0' }] }),
    );
    await expect(theft).rejects.toThrow(/STORE_REJECTED.*another record/);
    expect(await store.records.read('people', [['8']])).toEqual([{ record: null, fence: null }]);
  });

  test('a constraint is named, the values are not', async () => {
    const refused = store.records.write(aWrite('people', ['7'], { city: 'secret' }));
    await expect(refused).rejects.toMatchObject({
      code: 'STORE_REJECTED',
      data: { sqlState: '23502', column: 'name' },
    });
    await expect(refused).rejects.not.toThrow(/secret/);
  });

  test('of concurrent writers each reads its own write back, and versions follow the order of commits', async () => {
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        store.records.write(
          aWrite('people', ['7'], { name: `w${n}`, notes: [{ n: String(n), body: `w${n}` }] }),
        ),
      ),
    );
    results.forEach(({ record }, n) => {
      expect(record).toMatchObject({ name: `w${n}`, notes: [{ body: `w${n}` }] });
    });
    const last = results.reduce((a, b) => (a.version!.sequence > b.version!.sequence ? a : b));
    const [now] = await store.records.read('people', [['7']]);
    expect(now?.record).toEqual(last.record);
  });

  test('a throw before the commit rolls everything back, journal row included', async () => {
    const failing = store.records.write(
      aWrite('people', ['7'], ada, {
        beforeCommit: async (written) => {
          expect(written.record).toEqual(stored);
          throw new Error('the follower said no');
        },
      }),
    );
    await expect(failing).rejects.toThrow('the follower said no');
    expect(await databases.query(0, 'SELECT 1 FROM people')).toEqual([]);
    expect((await store.queue.depth()).waiting).toBe(0);
  });

  test('a write of another epoch is fenced, and without a journal while somebody follows; it needs none of our objects', async () => {
    const stale = store.records.write(aWrite('people', ['7'], ada, { epoch: 2 }));
    await expect(stale).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    const plain = store.records.write(aWrite('people', ['7'], ada, { journal: 'none' }));
    await expect(plain).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    await store.setup.uninstall();
    const written = await store.records.write(
      aWrite('people', ['7'], ada, { epoch: 2, journal: 'none' }),
    );
    expect(written).toMatchObject({ record: stored, version: null, journalId: null });
    await store.setup.install('authority', 2);
    const other = await stores.open(shapes);
    await expect(
      other.records.write(aWrite('people', ['7'], ada, { epoch: 2, journal: 'none' })),
    ).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
  });

  test('an intent is consumed once; a claimed one no more', async () => {
    const enqueue = async (): Promise<bigint> =>
      (
        await store.queue.enqueue([
          { collection: 'people', key: ['7'], kind: 'intent', graceMs: 0 },
        ])
      )[0] as bigint;
    const intent = await enqueue();
    const written = await store.records.write(
      aWrite('people', ['7'], ada, { journal: { intent } }),
    );
    expect(written.version!.sequence > intent).toBe(true);
    expect(written.journalId).toBeNull();
    expect((await store.queue.depth()).waiting).toBe(0);
    const again = store.records.write(aWrite('people', ['7'], ada, { journal: { intent } }));
    await expect(again).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    const claimed = await enqueue();
    expect(await store.queue.claim(5, 'healer', 1_000)).toMatchObject([
      { id: claimed, kind: 'intent' },
    ]);
    await store.queue.retryLater([claimed], 0, 'store down', false);
    const late = store.records.write(
      aWrite('people', ['7'], { name: 'late' }, { journal: { intent: claimed } }),
    );
    await expect(late).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    expect((await store.records.read('people', [['7']]))[0]?.record).toMatchObject({ name: 'Ada' });
  });

  test('a re-read is busy while a writer holds the key, and newer than every earlier write', async () => {
    const first = await store.records.write(aWrite('people', ['7'], ada));
    let during: unknown;
    await store.records.write(
      aWrite(
        'people',
        ['7'],
        { city: 'Oslo' },
        {
          beforeCommit: async () => {
            during = await store.records.reread('people', [['7'], ['8']], 1);
          },
        },
      ),
    );
    expect(during).toMatchObject([{ state: 'busy' }, { state: 'read', record: null }]);
    const [after] = await store.records.reread('people', [['7']], 1);
    expect(after).toMatchObject({ state: 'read', record: { city: 'Oslo' } });
    expect(after!.version.sequence > first.version!.sequence).toBe(true);
    await withClient(databases.url(0), async (client) => {
      await client.query('BEGIN');
      await client.query(`UPDATE people SET city = 'x' WHERE id = 7`);
      expect(await store.records.reread('people', [['7']], 1)).toMatchObject([{ state: 'busy' }]);
      await client.query('ROLLBACK');
    });
    await expect(store.records.reread('people', [['7']], 2)).rejects.toMatchObject({
      code: 'AUTHORITY_FENCED',
    });
  });

  test('what a deferred trigger does at COMMIT is in the record that is given back', async () => {
    await databases.query(
      0,
      `CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN UPDATE people SET city = upper(city) WHERE id = NEW.id AND city <> upper(city); RETURN NULL; END';
       CREATE CONSTRAINT TRIGGER shout AFTER INSERT OR UPDATE ON people DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION shout()`,
    );
    const fresh = await stores.open(shapes);
    const written = await fresh.records.write(
      aWrite('people', ['7'], { name: 'Ada', city: 'rom' }),
    );
    expect(written.record).toMatchObject({ city: 'ROM' });
    expect((await fresh.records.read('people', [['7']]))[0]?.record).toEqual(written.record);
  });

  test('half a character is refused, and so is a key with too few parts', async () => {
    const half = store.records.write(aWrite('people', ['7'], { name: '\ud83d' }));
    await expect(half).rejects.toMatchObject({ code: 'VALUE_INVALID' });
    await expect(store.records.read('people', [[]])).rejects.toMatchObject({ code: 'KEY_INVALID' });
    await expect(store.records.write(aWrite('people', [], {}))).rejects.toMatchObject({
      code: 'KEY_INVALID',
    });
  });

  test('loose values of an application become exact rows', async () => {
    const record = toRecord({ name: 'Zoë', phones: [{ id: 5, number: 1n }] }, ['phones']);
    const written = await store.records.write(aWrite('people', ['1'], record));
    expect(written.record).toMatchObject({ phones: [{ id: '5', number: '1' }] });
  });
});

describe('keys', () => {
  test('text keys are ordered bytewise whatever the collation of the database says', async () => {
    await databases.query(
      0,
      `CREATE TABLE t (a text COLLATE "en-x-icu", b int, PRIMARY KEY (a, b))`,
    );
    const store = await stores.open({ t: { table: 't', key: ['a', 'b'] } });
    const keys: Key[] = [
      ['a', '10'],
      ['a', '9'],
      ['B', '1'],
      ['é', '1'],
      ['z', '1'],
      ['Z', '-1'],
      ['', '0'],
      ['a"\\', '1'],
      ['😀', '1'],
      ['～', '1'],
    ];
    for (const [a, b] of keys)
      await query(databases.url(0), 'INSERT INTO t VALUES ($1, $2)', [a, b]);
    const sorted = [...keys].sort(
      (x, y) =>
        Buffer.compare(Buffer.from(x[0] as string), Buffer.from(y[0] as string)) ||
        Number(x[1]) - Number(y[1]),
    );
    const all = await store.records.scan('t', { after: null, until: null }, 100);
    expect(all.map(({ key }) => key)).toEqual(sorted);
    const paged: Key[] = [];
    for (let after: Key | null = null; ; ) {
      const until = await store.records.boundary('t', { after, until: null }, 3);
      if (until === null) break;
      paged.push(...(await store.records.scan('t', { after, until }, 100)).map(({ key }) => key));
      after = until;
    }
    expect(paged).toEqual(sorted);
    expect(await store.records.extent('t')).toMatchObject({ last: sorted.at(-1) });
    const answers = await store.records.read('t', keys);
    expect(answers.map(({ record }) => [record?.['a'], record?.['b']])).toEqual(keys);
  });

  test('different spellings of a key serialize on one lock', async () => {
    await databases.query(0, `CREATE TABLE u (id uuid PRIMARY KEY, n numeric(6,2))`);
    const store = await stores.open({ u: { table: 'u', key: ['id'] } });
    await store.setup.install('authority', 1);
    const id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
    let during: unknown;
    await store.records.write(
      aWrite(
        'u',
        [id.toUpperCase()],
        { n: '1' },
        {
          beforeCommit: async () => {
            during = await store.records.reread('u', [[`{${id}}`]], 1);
          },
        },
      ),
    );
    expect(during).toMatchObject([{ state: 'busy', key: [id] }]);
    expect(await store.queue.claim(1, 'w', 1_000)).toMatchObject([{ key: [id] }]);
  });

  test('keys of several spellings and deletes that cascade are warned of, children of a record are not', async () => {
    await databases.query(
      0,
      `CREATE TABLE loose (id numeric PRIMARY KEY, up numeric REFERENCES loose ON DELETE SET NULL);
       CREATE TABLE parts (id int PRIMARY KEY, loose_id numeric REFERENCES loose ON DELETE CASCADE);
       CREATE TABLE exact (id numeric(8,2) PRIMARY KEY)`,
    );
    const children = { parts: { table: 'parts', key: ['id'], parent: ['loose_id'] } };
    const store = await stores.open({
      loose: { table: 'loose', key: ['id'], children },
      parts: { table: 'parts', key: ['id'] },
      exact: { table: 'exact', key: ['id'] },
    });
    const findings = await store.setup.inspect('authority');
    const ids = ['postgres/key-spelling', 'postgres/cascade'];
    expect(
      findings.filter(({ id }) => ids.includes(id)).map(({ id, message }) => [id, message]),
    ).toEqual([
      ['postgres/key-spelling', expect.stringContaining('"loose"')],
      ['postgres/cascade', expect.stringContaining('SET NULL')],
      ['postgres/cascade', expect.stringContaining('"parts"')],
    ]);
  });

  test('a table without a key, a missing table and a missing column are said plainly', async () => {
    await databases.query(
      0,
      `CREATE TABLE heap (id int); CREATE TABLE nullable (id int UNIQUE); CREATE TABLE ok (id int PRIMARY KEY)`,
    );
    const store = await stores.open({
      heap: { table: 'heap', key: ['id'] },
      nullable: { table: 'nullable', key: ['id'] },
      gone: { table: 'gone', key: ['id'] },
      column: { table: 'ok', key: ['id'], columns: ['id', 'nope'] },
    });
    const range = { after: null, until: null };
    await expect(store.records.scan('heap', range, 1)).rejects.toThrow(
      /KEY_INVALID.*"heap".*no primary key/,
    );
    await expect(store.records.scan('nullable', range, 1)).rejects.toThrow(
      /KEY_INVALID.*admits NULL/,
    );
    await expect(store.records.scan('gone', range, 1)).rejects.toThrow(
      /STORE_REJECTED.*no table "gone"/,
    );
    await expect(store.records.scan('column', range, 1)).rejects.toThrow(/no column "nope"/);
    await expect(store.records.scan('other', range, 1)).rejects.toThrow(/COLLECTION_UNKNOWN/);
    const findings = await store.setup.inspect('authority');
    expect(findings.filter(({ verdict }) => verdict === 'fail').map(({ id }) => id)).toEqual([
      'postgres/no-key',
      'postgres/no-key',
      'postgres/table',
      'postgres/table',
    ]);
  });
});
