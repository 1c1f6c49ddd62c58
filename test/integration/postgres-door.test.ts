import fc from 'fast-check';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import type { Shape, Side } from '../../src/migration/index.ts';
import type { Change, DataRecord, Origin } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { query, withDatabases } from '../support/databases.ts';

const databases = withDatabases(1);
const url = (): string => databases.url(0);
const context = { epoch: 1, timeoutMs: 20_000 };
const sleep = (ms: number): Promise<void> => systemRuntime.clock.sleep(ms);

const shapes: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  [
    'people',
    {
      table: 'people',
      key: ['id'],
      children: { pets: { table: 'pets', key: ['pet'], parent: ['owner'] } },
    },
  ],
  ['texts', { table: 'texts', key: ['id'] }],
]);

let opened: MigrationStore[] = [];
let foreign: pg.Client;

async function connect(side: Side = 'target'): Promise<MigrationStore> {
  const store = await postgres({ url: url() }).connect({
    migration: 'door',
    side,
    shapes,
    runtime: systemRuntime,
  });
  opened.push(store);
  return store;
}

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
): Change => ({
  collection: 'people',
  key: [id],
  version: { epoch: 1, sequence: BigInt(sequence) },
  value,
  origin,
});
const copies = (...ids: readonly string[]) =>
  ids.map((id) => ({ key: [id], record: person(id, 'copied', [`${id}a`]) }));
const names = (): Promise<Record<string, unknown>[]> =>
  query(url(), 'SELECT id, name FROM people ORDER BY id');
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
    url(),
    `CREATE TABLE people (id int PRIMARY KEY, name text, email text UNIQUE);
     CREATE TABLE pets (pet text PRIMARY KEY, owner int NOT NULL REFERENCES people);
     CREATE TABLE texts (id text PRIMARY KEY, name text)`,
  );
  foreign = new pg.Client({ connectionString: url() });
  await foreign.connect();
});

afterEach(async () => {
  await Promise.all(opened.map((store) => store.close()));
  opened = [];
  await foreign.end();
  await query(
    url(),
    'DROP TABLE pets, people, texts; DROP SCHEMA IF EXISTS changeover_door_target CASCADE',
  );
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
    await foreign.query("INSERT INTO people VALUES (5, 'foreign')");
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
    expect(await names()).toEqual([1, 5, 7].map((id) => ({ id, name: 'copied' })));
    const pets = await query(url(), 'SELECT pet FROM pets ORDER BY 1');
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
    expect(await names()).toEqual([1, 3, 5].map((id) => ({ id, name: 'copied' })));
    expect(await query(url(), "SELECT 1 FROM pets WHERE pet = '7a'")).toEqual([]);
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
      { id: '1', name: 'live', email: null, pets: [{ pet: 'x', owner: '1' }] },
      { id: '7', name: 'live', email: null, pets: [] },
    ]);
  });
});

test('keys that the sides order differently are copied all the same, and deletes find the chunk', async () => {
  const store = await follower();
  // By number 9 < 10 < 95; as texts here '9' lies beyond '10'.
  const range = { after: ['9'], until: ['100'] };
  const ticket = await store.door.beginChunk('texts', 1, range, 'w');
  const records = ['10', '95', '100'].map((id) => ({ key: [id], record: { id, name: 'copied' } }));
  const gone = { ...change('95', 3, null), collection: 'texts' };
  await store.door.apply([gone], context);
  expect(await store.door.writeChunk(ticket, records, context)).toEqual({ inserted: 2 });
  const found = await query(url(), 'SELECT id FROM texts ORDER BY 1');
  expect(found.map(({ id }) => id)).toEqual(['10', '100']);
  await expect(store.door.writeChunk(ticket, records, context)).rejects.toThrow(/CHUNK_LOST/);
});

describe('a chunk into a range that is not empty', () => {
  const range = { after: null, until: ['z'] };
  const records = ['a', 'b', 'c', 'd', 'e'].map((id) => ({
    key: [id],
    record: { id, name: 'copied' },
  }));
  const texts = (): Promise<Record<string, unknown>[]> =>
    query(url(), 'SELECT id, name FROM texts ORDER BY 1');
  const text = (id: string, sequence: number, name: string | null): Change => ({
    ...change(id, sequence, name === null ? null : { id, name }),
    collection: 'texts',
  });

  test('leaves rows that are there as they are, and does not bring deleted ones back', async () => {
    const store = await follower();
    await store.door.apply([text('b', 3, 'live'), text('d', 4, null)], context);
    await query(url(), "INSERT INTO texts VALUES ('zz', 'beyond')");
    const ticket = await store.door.beginChunk('texts', 1, range, 'w');
    expect(await store.door.writeChunk(ticket, records, context)).toEqual({ inserted: 3 });
    expect(await texts()).toEqual([
      { id: 'a', name: 'copied' },
      { id: 'b', name: 'live' },
      { id: 'c', name: 'copied' },
      { id: 'e', name: 'copied' },
      { id: 'zz', name: 'beyond' },
    ]);
  });

  test('meets a row that comes while it is being written, and leaves that one, too', async () => {
    const store = await follower();
    await store.door.apply([text('b', 3, 'live')], context);
    const ticket = await store.door.beginChunk('texts', 1, range, 'w');
    await foreign.query('BEGIN');
    await foreign.query("INSERT INTO texts VALUES ('c', 'foreign')");
    const written = store.door.writeChunk(ticket, records, context);
    await sleep(120);
    await foreign.query('COMMIT');
    expect(await written).toEqual({ inserted: 3 });
    expect((await texts()).map(({ name }) => name)).toEqual([
      'copied',
      'live',
      'foreign',
      'copied',
      'copied',
    ]);
  });
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

test('a constraint violation names the constraint and shows no values', async () => {
  const store = await follower();
  await store.door.apply([change('1', 1, { id: '1', name: 'n', email: 'secret@b' })], context);
  const twice = store.door.apply(
    [change('2', 2, { id: '2', name: 'n', email: 'secret@b' })],
    context,
  );
  await expect(twice).rejects.toThrow(/STORE_REJECTED.*people_email_key/s);
  await expect(twice).rejects.not.toThrow(/secret/);
});

test('a field that the table does not have, and a key that the transform changed, are refused', async () => {
  const store = await follower();
  const unknown = store.door.apply([change('1', 1, { id: '1', nmae: 'x' })], context);
  await expect(unknown).rejects.toThrow(/STORE_REJECTED.*nmae/s);
  const moved = store.door.apply([change('1', 1, person('2', 'x'))], context);
  await expect(moved).rejects.toThrow(/STORE_REJECTED.*key column/s);
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
          const ticket = await store.door.beginChunk(
            'people',
            chunk,
            { after: null, until: null },
            'w',
          );
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
        expect([id, found[index]?.record]).toEqual([id, wanted && { ...wanted, email: null }]);
      }
    },
  );
  await fc.assert(property, { numRuns: 15, endOnFailure: true });
}, 120_000);
