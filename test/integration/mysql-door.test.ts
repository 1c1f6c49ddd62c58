import fc from 'fast-check';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Shape } from '../../src/migration/index.ts';
import type { Change, DataRecord, Origin } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1, { scope: 'test' });
const stores = mysqlStoresOn(() => databases.url(0));
const context = { epoch: 1, timeoutMs: 20_000 };
const sleep = (ms: number): Promise<void> => systemRuntime.clock.sleep(ms);

const shapes: Readonly<Record<string, Shape>> = {
  people: {
    table: 'people',
    key: ['id'],
    children: { pets: { table: 'pets', key: ['pet'], parent: ['owner'] } },
  },
  texts: { table: 'texts', key: ['id'] },
  names: { table: 'names', key: ['id'] },
};

let foreign: Connection;

const connect = (): Promise<MigrationStore> =>
  stores.open(shapes, { migration: 'door', side: 'target', logged: ['people'] });
const query = (sql: string): Promise<Record<string, string | null>[]> => databases.query(0, sql);

const person = (id: string, name: string, pets: readonly string[] = []): DataRecord => ({
  id,
  name,
  pets: pets.map((pet) => ({ pet, owner: id })),
});
const change = (
  id: string,
  sequence: number,
  value: DataRecord | null,
  origin: Origin = 'live',
  collection = 'people',
): Change => ({
  collection,
  key: [id],
  version: { epoch: 1, sequence: BigInt(sequence) },
  value,
  origin,
});
const copies = (...ids: readonly string[]) =>
  ids.map((id) => ({ key: [id], record: person(id, 'copied', [`${id}a`]) }));
const names = (): Promise<Record<string, unknown>[]> =>
  query('SELECT id, name FROM people ORDER BY id');
const settled = async (work: Promise<unknown>, ms = 250): Promise<boolean> =>
  Promise.race([
    work.then(
      () => true,
      () => true,
    ),
    sleep(ms).then(() => false),
  ]);

beforeEach(async () => {
  await query(
    'CREATE TABLE people (id int PRIMARY KEY, name text, email varchar(50) UNIQUE, boss int, FOREIGN KEY (boss) REFERENCES people (id))',
  );
  await query(
    'CREATE TABLE pets (pet varchar(20) PRIMARY KEY, owner int NOT NULL, FOREIGN KEY (owner) REFERENCES people (id))',
  );
  await query('CREATE TABLE texts (id varchar(500) COLLATE utf8mb4_bin PRIMARY KEY, name text)');
  await query(
    'CREATE TABLE names (id varchar(50) COLLATE utf8mb4_general_ci PRIMARY KEY, name text)',
  );
  foreign = await createConnection(databases.url(0));
});

afterEach(async () => {
  await stores.closeAll();
  await foreign.end();
  await query('DROP DATABASE IF EXISTS changeover_door_target');
});

async function follower(): Promise<MigrationStore> {
  const store = await connect();
  await store.setup.install('follower', 1);
  return store;
}

describe('a delete against a chunk that has read the record', () => {
  /** Begins to write a chunk and stops it in the middle: a foreign session holds row 5. */
  async function stoppedChunk(store: MigrationStore) {
    const ticket = await store.door.beginChunk('people', 1, { after: null, until: ['9'] }, 'w');
    await foreign.query('BEGIN');
    await foreign.query("INSERT INTO people (id, name) VALUES (5, 'foreign')");
    const written = store.door.writeChunk(ticket, copies('1', '3', '5', '7'), context);
    written.catch(() => {});
    await sleep(120);
    return { ticket, written };
  }

  test('that comes while the chunk is being written waits, and then deletes root and children', async () => {
    const store = await follower();
    const { written } = await stoppedChunk(store);
    const deleting = store.door.apply([change('3', 9, null)], context);
    expect(await settled(deleting, 150)).toBe(false);
    await foreign.query('ROLLBACK');
    expect(await written).toEqual({ inserted: 4 });
    expect(await deleting).toEqual(['applied']);
    expect(await names()).toEqual(['1', '5', '7'].map((id) => ({ id, name: 'copied' })));
    const pets = await query('SELECT pet FROM pets ORDER BY 1');
    expect(pets.map(({ pet }) => pet)).toEqual(['1a', '5a', '7a']);
  });

  test('that was made and undone while the rows were on their way is not undone by the chunk', async () => {
    const store = await follower();
    const other = await connect();
    const { written } = await stoppedChunk(store);
    // 7 has not been reached by the chunk: it comes and goes, and its root is present when the delete looks.
    await other.door.apply([change('7', 1, person('7', 'live', ['7a']))], context);
    await other.door.apply([change('7', 2, null)], context);
    await foreign.query('ROLLBACK');
    await written;
    expect(await names()).toEqual(['1', '3', '5'].map((id) => ({ id, name: 'copied' })));
    expect(await query("SELECT 1 FROM pets WHERE pet = '7a'")).toEqual([]);
  });

  test('and updates meanwhile win over the copy', async () => {
    const store = await follower();
    const other = await connect();
    const { written } = await stoppedChunk(store);
    const applied = other.door.apply(
      [change('1', 4, person('1', 'live', ['x'])), change('7', 5, person('7', 'live'))],
      context,
    );
    await sleep(50);
    await foreign.query('ROLLBACK');
    await Promise.all([written, applied]);
    const found = await store.records.read('people', [['1'], ['7']]);
    expect(found.map(({ record }) => record)).toEqual([
      { id: '1', name: 'live', email: null, boss: null, pets: [{ pet: 'x', owner: '1' }] },
      { id: '7', name: 'live', email: null, boss: null, pets: [] },
    ]);
  });
});

test('keys that the sides order differently are copied all the same, and deletes find the chunk', async () => {
  const store = await follower();
  // By number 9 < 10 < 95; as texts here '9' lies beyond '10'.
  const range = { after: ['9'], until: ['100'] };
  const ticket = await store.door.beginChunk('texts', 1, range, 'w');
  const records = ['10', '95', '100'].map((id) => ({ key: [id], record: { id, name: 'copied' } }));
  await store.door.apply([change('95', 3, null, 'live', 'texts')], context);
  expect(await store.door.writeChunk(ticket, records, context)).toEqual({ inserted: 2 });
  const found = await query('SELECT id FROM texts ORDER BY 1');
  expect(found.map(({ id }) => id)).toEqual(['10', '100']);
  await expect(store.door.writeChunk(ticket, records, context)).rejects.toThrow(/CHUNK_LOST/);
});

test('a unique value may move from a deleted record to another one in a batch', async () => {
  const store = await follower();
  const with_ = (id: string): DataRecord => ({ id, name: 'n', email: 'a@b' });
  await store.door.apply([change('1', 1, with_('1'))], context);
  const verdicts = await store.door.apply(
    [change('2', 3, with_('2')), change('1', 2, null)],
    context,
  );
  expect(verdicts).toEqual(['applied', 'applied']);
});

test('a unique value of another record refuses the change, and that record stays as it is', async () => {
  const store = await follower();
  const with_ = (id: string, name: string): DataRecord => ({ id, name, email: 'secret@b' });
  await store.door.apply([change('1', 1, with_('1', 'one'))], context);
  const batch = [change('3', 2, person('3', 'three')), change('2', 2, with_('2', 'two'))];
  const twice = store.door.apply(batch, context);
  await expect(twice).rejects.toMatchObject({ code: 'STORE_REJECTED', data: { waits: true } });
  await expect(twice).rejects.not.toThrow(/secret/);
  expect(await names()).toEqual([{ id: '1', name: 'one' }]);
  expect(await store.door.fences('people', [['2'], ['3']])).toEqual([null, null]);
  // The same out of a chunk: the record that is there is somebody else's.
  const ticket = await store.door.beginChunk('people', 1, { after: null, until: null }, 'w');
  const chunk = store.door.writeChunk(
    ticket,
    [{ key: ['4'], record: with_('4', 'four') }],
    context,
  );
  await expect(chunk).rejects.toMatchObject({ code: 'STORE_REJECTED', data: { waits: true } });
  expect(await names()).toEqual([{ id: '1', name: 'one' }]);
});

test('rows of every kind of key are inserted, updated and deleted', async () => {
  const kinds: Readonly<Record<string, readonly [type: string, text: string]>> = {
    big: ['bigint unsigned', '18446744073709551615'],
    money: ['decimal(65,30)', '-1.500000000000000000000000000000'],
    bits: ['bit(10)', '0000000101'],
    raw: ['varbinary(20)', String.raw`\x00ff5c22`],
    label: ["enum('a','b\"')", 'b"'],
    year: ['year', '2024'],
    span: ['time(3)', '-101:02:03.500'],
    instant: ['timestamp', '2024-01-01 10:00:00'],
    id: ['uuid', 'a0000000-0000-4000-8000-00000000000f'],
    address: ['inet6', '2001:db8::1'],
  };
  for (const [name, [type]] of Object.entries(kinds))
    await query(`CREATE TABLE t_${name} (k ${type} NOT NULL PRIMARY KEY, v text)`);
  const tables = Object.keys(kinds).map((name) => [name, { table: `t_${name}`, key: ['k'] }]);
  const store = await stores.open(Object.fromEntries(tables), {
    migration: 'door',
    side: 'target',
  });
  await store.setup.install('follower', 1);
  for (const [name, [, k]] of Object.entries(kinds)) {
    const send = (sequence: number, v: string | null) =>
      store.door.apply([change(k, sequence, v === null ? null : { k, v }, 'live', name)], context);
    const look = async () => (await store.records.read(name, [[k]]))[0]?.record;
    await send(1, 'one');
    await send(2, 'two');
    expect([name, await look()]).toEqual([name, { k, v: 'two' }]);
    await send(3, null);
    expect([name, await look()]).toEqual([name, null]);
    const ticket = await store.door.beginChunk(name, 1, { after: null, until: [k] }, 'w');
    await store.door.writeChunk(ticket, [{ key: [k], record: { k, v: 'copied' } }], context);
    expect([name, await look()]).toEqual([name, null]);
  }
});

test('a change that refers to what is not there yet is refused, and may wait for it', async () => {
  const store = await follower();
  const worker: DataRecord = { id: '2', name: 'worker', boss: '1' };
  const early = store.door.apply([change('2', 1, worker)], context);
  await expect(early).rejects.toMatchObject({ code: 'STORE_REJECTED', data: { waits: true } });
  await store.door.apply([change('1', 2, person('1', 'boss'))], context);
  expect(await store.door.apply([change('2', 1, worker)], context)).toEqual(['applied']);
});

test('what comes from a log may refer to what comes later, and the checks are back afterwards', async () => {
  const store = await stores.open(shapes, {
    migration: 'door',
    side: 'target',
    logged: ['people'],
    poolMax: 1,
  });
  await store.setup.install('follower', 1);
  const position = (sequence: bigint) => ({ sequence, text: `log:${sequence}` });
  await store.door.log?.begin('s', { identity: 'one', position: position(0n) });
  const changes = [
    change('1', 5, { id: '1', name: 'a', boss: '2' }, 'log'),
    change('2', 5, { id: '2', name: 'b', boss: '1' }, 'log'),
  ];
  const from = { identity: 'one', position: position(0n), skip: 0 };
  const to = { identity: 'one', position: position(5n), skip: 0 };
  expect(await store.door.log?.apply({ stream: 's', from, to, changes }, context)).toEqual({
    applied: 2,
    stale: 0,
    durable: true,
  });
  const orphan = change('3', 6, { id: '3', name: 'c', boss: '9' });
  await expect(store.door.apply([orphan], context)).rejects.toThrow(/STORE_REJECTED/);
});

test('a field that the table does not have, and a key that the transform changed, are refused', async () => {
  const store = await follower();
  const unknown = store.door.apply([change('1', 1, { id: '1', nmae: 'x' })], context);
  await expect(unknown).rejects.toThrow(/STORE_REJECTED.*nmae/s);
  const moved = store.door.apply([change('1', 1, person('2', 'x'))], context);
  await expect(moved).rejects.toThrow(/STORE_REJECTED.*key column/s);
});

test('keys that are too long for an index have fences of their own', async () => {
  const store = await follower();
  const long = (end: string): string => `${'é'.repeat(300)}"\\${end}`;
  const put = (id: string, sequence: number, name: string): Change =>
    change(id, sequence, { id, name }, 'live', 'texts');
  await store.door.apply([put(long('a'), 5, 'a'), put(long('b'), 3, 'b')], context);
  const again = [put(long('a'), 4, 'old'), put(long('b'), 4, 'new')];
  expect(await store.door.apply(again, context)).toEqual(['stale', 'applied']);
  expect(await store.door.fences('texts', [[long('b')], [long('c')]])).toEqual([
    { epoch: 1, sequence: 4n },
    null,
  ]);
  expect(await store.records.read('texts', [[long('b')]], { withFence: true })).toEqual([
    { record: { id: long('b'), name: 'new' }, fence: { epoch: 1, sequence: 4n } },
  ]);
});

test('a record whose key is only spelled anew is one row with one fence, where the collation folds', async () => {
  const store = await follower();
  const put = (id: string, sequence: number): Change =>
    change(id, sequence, { id, name: `v${sequence}` }, 'live', 'names');
  await store.door.apply([put('Ada', 1)], context);
  const renamed = [change('Ada', 2, null, 'live', 'names'), put('ADA', 2)];
  await store.door.apply(renamed, context);
  expect(await query('SELECT id, name FROM names')).toEqual([{ id: 'ADA', name: 'v2' }]);
  expect(await store.door.apply([put('ada', 1)], context)).toEqual(['stale']);
  await store.door.apply([change('ada', 3, null, 'live', 'names')], context);
  expect(await query('SELECT id FROM names')).toEqual([]);
  const ticket = await store.door.beginChunk('names', 1, { after: null, until: ['zoe'] }, 'w');
  const copied = ['ADA', 'Bob', 'zoe'].map((id) => ({ key: [id], record: { id, name: 'copied' } }));
  await store.door.apply([put('BOB', 9)], context);
  expect(await store.door.writeChunk(ticket, copied, context)).toEqual({ inserted: 1 });
  expect(await query('SELECT id, name FROM names ORDER BY 1')).toEqual([
    { id: 'BOB', name: 'v9' },
    { id: 'zoe', name: 'copied' },
  ]);
});

test('the first row event of every door transaction is on a table of ours', async () => {
  const store = await follower();
  await query('FLUSH BINARY LOGS');
  await store.door.apply([change('1', 1, person('1', 'a', ['x']))], context);
  await store.door.apply([change('1', 2, person('1', 'b', ['x', 'y']))], context);
  for (const [sequence, value] of [person('1', 'c'), null, person('1', 'd')].entries()) {
    const { version: _, ...rest } = change('1', 0, value);
    const opened = await store.door.open(rest, context);
    await opened.commit({ epoch: 1, sequence: BigInt(sequence + 3) });
  }
  const ticket = await store.door.beginChunk('people', 1, { after: null, until: null }, 'w');
  await store.door.writeChunk(ticket, copies('8', '9'), context);
  const position = (sequence: bigint) => ({ sequence, text: 'at' });
  await store.door.log?.begin('s', { identity: 'one', position: position(0n) });
  await store.door.log?.apply(
    {
      stream: 's',
      from: { identity: 'one', position: position(0n), skip: 0 },
      to: { identity: 'one', position: position(9n), skip: 0 },
      changes: [change('8', 9, person('8', 'logged'), 'log')],
    },
    context,
  );
  const files = await query('SHOW BINARY LOGS');
  const events = await query(`SHOW BINLOG EVENTS IN '${files.at(-1)?.['Log_name']}'`);
  const transactions: string[][] = [];
  for (const { Event_type: type, Info: info } of events) {
    if (type === 'Gtid') transactions.push([]);
    const table = type === 'Table_map' ? /\((.*)\)/.exec(info ?? '')?.[1] : undefined;
    if (table !== undefined) transactions.at(-1)?.push(table);
  }
  const door = transactions.filter((tables) => tables.some((one) => /\.(people|pets)$/.test(one)));
  expect(door).toHaveLength(7);
  for (const [first = ''] of door) expect(first).toMatch(/^changeover_door_target\./);
});

test('live changes, retries, repairs and chunks in any order end with the newest version of each key', async () => {
  const store = await follower();
  const doors = [store, await connect(), await connect()];
  const keys = Array.from({ length: 20 }, (_, index) => String(index + 1));
  const step = fc.record({
    key: fc.integer({ min: 0, max: keys.length - 1 }),
    deleted: fc.boolean(),
    pauseMs: fc.integer({ min: 0, max: 8 }),
    origin: fc.constantFrom<Origin>('live', 'retry', 'outbox', 'repair'),
    again: fc.boolean(),
  });
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 30, maxLength: 90 }),
    fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 2, maxLength: 4 }),
    async (steps, chunkPauses) => {
      await store.setup.truncate('people');
      // The source: versions are positions in the list; a chunk reads it as it is at that moment.
      const source = new Map<string, Change>(
        keys.map((key) => [key, change(key, 0, person(key, 'v0', [`${key}p0`]))]),
      );
      const sent: Promise<unknown>[] = [];
      const writing = (async () => {
        for (const [index, { key, deleted, pauseMs, origin, again }] of steps.entries()) {
          const id = keys[key] ?? '';
          const version = index + 1;
          const value = deleted ? null : person(id, `v${version}`, [`${id}p${version % 3}`]);
          const made = change(id, version, value, origin);
          source.set(id, made);
          const send = async (): Promise<void> => {
            await sleep(pauseMs * 3);
            await doors[index % 3]?.door.apply([made], context);
          };
          sent.push(send(), ...(again ? [send()] : []));
          await sleep(pauseMs / 4);
        }
      })();
      const copying = (async () => {
        for (const [chunk, pauseMs] of chunkPauses.entries()) {
          await sleep(pauseMs / 4);
          const everything = { after: null, until: null };
          const ticket = await store.door.beginChunk('people', chunk, everything, 'w');
          const read = [...source.values()].flatMap(({ key, value }) =>
            value ? [{ key, record: value }] : [],
          );
          await sleep(pauseMs);
          await store.door.writeChunk(ticket, read, context);
        }
      })();
      await Promise.all([writing, copying]);
      await Promise.all(sent);
      const found = await store.records.read(
        'people',
        keys.map((key) => [key]),
      );
      for (const [index, id] of keys.entries()) {
        const wanted = source.get(id)?.value ?? null;
        const whole = wanted && { ...wanted, email: null, boss: null };
        expect([id, found[index]?.record]).toEqual([id, whole]);
      }
    },
  );
  await fc.assert(property, { numRuns: 15, endOnFailure: true });
}, 120_000);
